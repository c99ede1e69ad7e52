"""Parts of `codetainer up` without root, tried as an ordinary user without a sandbox: `check`, and the layers of the root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.sandbox.namespaces import Mount, mount
from tests.netns import rootless
from tests.netns.rootless import UID, User
from tests.netns.sandbox import CODETAINER, PATIENCE

pytestmark = pytest.mark.netns


def check(who: User, *before: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = who.run(*before, *CODETAINER, "check", "--json", "--net", "pretend")
    return done.returncode, {entry["name"]: entry for entry in json.loads(done.stdout)}


def test_check_finds_everything_that_is_needed(user: User) -> None:
    code, found = check(user)
    assert [entry for entry in found.values() if entry["problem"]] == []
    assert {"root", "overlay", "proc and sysfs", "nf_tables"} <= found.keys()
    assert code == 0


def test_check_without_subordinate_ids_names_the_command_that_gives_them() -> None:
    with rootless.user(subordinate=False) as who:
        code, found = check(who)
        entry = found["subordinate uids and subordinate gids"]
        assert "only your own id is available" in entry["problem"]
        assert entry["remedy"].startswith("Run usermod --add-subuids ")
        assert entry["remedy"].endswith(f" {rootless.NAME} once, as root.")
        assert "root" not in found  # one message for one problem
        assert code == 1
        done = who.run(*CODETAINER, "up", "--net", "pretend", "--", "true")
        assert done.returncode == 1
        assert "only your own id is available" in done.stderr


def test_check_under_no_new_privileges_says_so(user: User) -> None:
    code, found = check(user, "setpriv", "--no-new-privs", "--")
    assert code == 1
    assert "no_new_privs" in found["new privileges"]["problem"]


def test_check_notices_a_newuidmap_that_is_not_setuid() -> None:
    def prepare(folder: Path) -> None:
        (folder / "newuidmap").write_bytes(Path("/usr/bin/newuidmap").read_bytes())
        (folder / "newuidmap").chmod(0o755)
        mount(str(folder / "newuidmap"), Path("/usr/bin/newuidmap"), flags=Mount.BIND)

    with rootless.user(prepare) as who:
        code, found = check(who)
        assert code == 1
        assert found["newuidmap"]["problem"] == "/usr/bin/newuidmap is not setuid"
        assert "apt-get install uidmap" in found["newuidmap"]["remedy"]


def test_check_for_nat_asks_for_the_device_with_the_users_groups() -> None:
    """A group of the user may open /dev/net/tun; root of the sandbox has left that group."""

    def prepare(_: Path) -> None:
        os.chown("/dev/net/tun", 0, UID + 1)
        Path("/dev/net/tun").chmod(0o660)

    with rootless.user(prepare) as who:
        for groups, problem in (("--clear-groups", "/dev/net/tun: Permission denied"), (f"--groups={UID + 1}", "")):
            argv = [groups if word == "--clear-groups" else word for word in who.called(*CODETAINER, "check", "--json")]
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False)
            found = {entry["name"]: entry["problem"] for entry in json.loads(done.stdout)}
            assert found.get("/dev/net/tun", "") == problem


def test_check_notices_what_covers_a_part_of_proc() -> None:
    """As in a container: the kernel then refuses a new /proc, which would show what is covered."""

    def prepare(folder: Path) -> None:
        mount("tmpfs", Path("/proc/scsi") if Path("/proc/scsi").is_dir() else Path("/proc/fs"), "tmpfs", Mount.RDONLY)

    with rootless.user(prepare) as who:
        code, found = check(who)
        assert code == 1
        assert "proc" in found["proc and sysfs"]["problem"]
        assert "mounted over" in found["proc and sysfs"]["remedy"]


# Builds layers over a small machine of its own, then looks at them as the agent. `way` leads to a mount point.
# Only the operator may enter `beside` and `way`.
LAYERS = """
import errno, json, os, socket, sys
from pathlib import Path
from backend.sandbox import check, layers, layout, namespaces, user_namespace
from backend.sandbox.namespaces import Mount, Namespace
user_namespace.enter(check.built("userns"))
namespaces.unshare(Namespace.MOUNT)
namespaces.mount("none", Path("/"), flags=Mount.REC | Mount.PRIVATE)
place = layout.holder([Path(sys.prefix)])
namespaces.mount("tmpfs", place, "tmpfs")
machine, root = place / "machine", place / "root"
os.umask(0o022)
for name in ("way/mounted", "beside", "hidden/inner", "open"):
    (machine / "var" / name).mkdir(parents=True)
    (machine / "var" / name / "file").write_text(name)
(machine / "var/way/file").write_text("way")
(machine / "var/way").chmod(0o700)
(machine / "var/beside").chmod(0o700)
sockets = [socket.socket(socket.AF_UNIX) for _ in range(2)]
for each, name in zip(sockets, ("socket", "open/socket")):
    os.chdir((machine / "var" / name).parent)  # the path of a socket is limited to 107 bytes
    each.bind("socket")
    os.chmod("socket", 0o666)
    each.listen()
os.mkfifo(machine / "var/pipe")
(machine / "var/link").symlink_to("open")
root.mkdir()
layers.lay(root, ["var"], [machine / "var/way/mounted"], ["var/hidden"], machine)
os.setgroups([])
os.setresgid(1000, 1000, 1000)
os.setresuid(1000, 1000, 1000)

def tried(action):
    try:
        return action()
    except OSError as error:
        return errno.errorcode[error.errno]

def connected(name):
    os.chdir((root / "var" / name).parent)
    with socket.socket(socket.AF_UNIX) as ours:
        return ours.connect("socket")

print(json.dumps({
    "names": tried(lambda: sorted(os.listdir(root / "var"))),
    "link": os.readlink(root / "var/link"),
    "read": {n: tried((root / "var" / n / "file").read_text) for n in ("way", "beside", "hidden/inner", "way/mounted", "open")},
    "sockets": [tried(lambda name=name: connected(name)) for name in ("socket", "open/socket")],
    "write": [tried(lambda n=n: (root / "var" / n).write_text("x")) for n in ("open/file", "open/new")],
}))
"""


def test_layers_open_nothing_that_was_closed(user: User) -> None:
    """Neither the operator's closed folders, nor a hidden folder, nor sockets; through a bind they would reach the machine."""
    done = user.run(sys.executable, "-I", "-c", LAYERS)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "names": ["beside", "hidden", "link", "open", "way"],
        "link": "open",
        "read": {
            "way": "EACCES", "beside": "EACCES", "hidden/inner": "ENOENT", "way/mounted": "EACCES", "open": "open",
        },
        "sockets": ["ENOENT", "ECONNREFUSED"],
        "write": ["EROFS", "EROFS"],
    }  # fmt: skip
