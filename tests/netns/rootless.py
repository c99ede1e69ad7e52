"""A user of this machine for tests of `codetainer up` without root, and sandboxes that this user starts.

The user exists only in a mount namespace of the test run, which has its own /etc/passwd, /etc/subuid and so on, its own
/dev/net/tun, and a way to this clone that the user may read.
"""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.sandbox import first_process, namespaces
from backend.sandbox.namespaces import Mount, Namespace
from tests.documentation import ROOT
from tests.netns import sandbox
from tests.netns.sandbox import PATIENCE, Running, eventually

UID = 61184  # systemd's first uid that no distribution gives to accounts (uids-gids.html)
NAME = "codetainer-test"
SUBORDINATE = (1 << 30, 65536)  # far from the ids of other users
FIND = "import sys; from backend.sandbox import registry; print(registry.find(sys.argv[1]))"


@dataclass(frozen=True, slots=True)
class User:
    """An ordinary user of a mount namespace. `pid` is a process that sleeps in it."""

    pid: int

    def called(self, *argv: str) -> list[str]:
        """The command that runs `argv` as this user."""
        into = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--", "env", f"--chdir={ROOT}"]
        return [*into, "setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--", *argv]

    def run(self, *argv: str, seconds: float = PATIENCE * 2, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.called(*argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False,
            env={**os.environ, "HOME": "/nonexistent", **environment},
        )  # fmt: skip

    def find(self, name: str) -> int:
        """The pid of the first process of the user's sandbox, 0 if there is none. Only its owner may ask for it."""
        return int(self.run(sys.executable, "-I", "-c", FIND, name).stdout or 0)

    def start(self, folder: Path, name: str, *options: str, **more: Any) -> Running:
        """`sandbox.start` as this user."""
        give(folder)
        return sandbox.start_as(self, folder, name, *options, **more)


def give(folder: Path) -> None:
    """Gives a folder of a test to the user, and lets the user reach it."""
    for above in folder.parents:
        if above.stat().st_uid == os.geteuid() and not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    os.chown(folder, UID, UID)


@contextlib.contextmanager
def user(
    prepare: Callable[[Path], None] = lambda _: None,
    *,
    base: Path | None = None,
    subordinate: bool = True,
    kinds: Namespace = Namespace.MOUNT,
) -> Iterator[User]:
    """Creates the user. `prepare` gets a folder, and may change what the user sees of the machine.

    `base` is a folder of pytest's, below which the user may be given folders.

    With Namespace.NET among `kinds`, the user's machine has a network of its own.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)

        def begin() -> None:
            namespaces.mount("none", Path("/"), flags=Mount.REC | Mount.PRIVATE)
            _accounts(folder, subordinate=subordinate)
            _tun(folder)
            _open(ROOT, folder / "clone")
            if base is not None:
                _open_numbered(base, folder / "numbered")
            prepare(folder)
            first_process.reset_signals()
            os.execvp("sleep", ["sleep", "infinity"])

        holder = first_process.FirstProcess("the user's machine")
        holder.start(kinds | Namespace.PID, begin)
        try:
            comm = Path(f"/proc/{holder.pid}/comm")
            eventually("the user's machine is ready", lambda: comm.exists() and comm.read_text() == "sleep\n")
            yield User(holder.pid)
        finally:
            holder.end(0)


def _accounts(folder: Path, *, subordinate: bool) -> None:
    first, count = SUBORDINATE
    ids = f"{NAME}:{first}:{count}\n" if subordinate else ""
    for name, text in (
        ("passwd", f"{NAME}:x:{UID}:{UID}::/nonexistent:/bin/sh\n"),
        ("group", f"{NAME}:x:{UID}:\n"),
        ("subuid", ids),
        ("subgid", ids),
    ):
        machines = Path("/etc") / name
        (folder / name).write_text((machines.read_text() if name in ("passwd", "group") else "") + text)
        if not machines.exists():
            raise AssertionError(f"{machines} does not exist: install uidmap")
        namespaces.mount(str(folder / name), machines, flags=Mount.BIND)


def _tun(folder: Path) -> None:
    """Every user may open /dev/net/tun where udev has made it; here, on a file system of our own."""
    device = folder / "dev"
    device.mkdir()
    namespaces.mount("tmpfs", device, "tmpfs")
    os.mknod(device / "tun", stat.S_IFCHR, os.makedev(10, 200))
    (device / "tun").chmod(0o666)
    if Path("/dev/net/tun").exists():
        namespaces.mount(str(device / "tun"), Path("/dev/net/tun"), flags=Mount.BIND)


def _open(path: Path, here: Path) -> None:
    """Opens the way to `path` at the first folder above it that not everybody may enter. `here` is a new folder."""
    for above in reversed(path.parents):
        if not above.stat().st_mode & 0o001:
            _only(path, above, here)
            return


def _open_numbered(base: Path, here: Path) -> None:
    """Opens the way to pytest's numbered folder. Each other run of pytest closes the folder above it again (pytest-of-USER)."""
    for numbered in (base, *base.parents):
        if numbered.parent.name.startswith("pytest-of-"):
            _only(numbered, numbered.parent, here)
            return


def _only(path: Path, above: Path, here: Path) -> None:
    """Covers the folder `above` with one that leads only to `path`."""
    here.mkdir()
    namespaces.mount(str(path), here, flags=Mount.BIND | Mount.REC)
    namespaces.mount("tmpfs", above, "tmpfs", options="mode=0755")
    path.mkdir(parents=True)
    namespaces.mount(str(here), path, flags=Mount.BIND | Mount.REC)
