"""The sandbox's root: an overlay of this machine's, whose writes land in memory, with our own files where an image has them."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import backend
import codetainer_tui
import network
from backend.contract.paths import AGENT_UID, COREDNS_UID, GATE_UID, GUARD_UID
from backend.sandbox.namespaces import Mount, bind, mount, pivot

HOLDERS = ("/mnt", "/media", "/srv")  # one of them is covered by a tmpfs, in the new mount namespace only
HIDDEN = ("home", "root", "mnt", "media", "srv", "var/tmp", "var/log", "opt")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
WRITES_BYTES = 1 << 30
USERS = {"claude": AGENT_UID, "coredns": COREDNS_UID, "guard": GUARD_UID, "gate": GATE_UID}
LAUNCHERS = Path(backend.__file__).parent / "launchers"
SETTINGS = "claude-settings.json"


@dataclass(frozen=True, slots=True)
class Sources:
    """What is taken from this machine. `claude` is a file or None; `domains` and `certificate` replace the shipped ones."""

    coredns: Path
    claude: Path
    settings: Path
    domains: Path
    certificate: bytes = b""
    addresses: tuple[tuple[str, str], ...] = ()


def build(sources: Sources) -> None:
    """Makes the root and goes into it. Runs in new mount and pid namespaces, as their first process. Raises OSError."""
    mount("none", Path("/"), flags=Mount.REC | Mount.PRIVATE)
    holder = _holder(sources)
    mount("tmpfs", holder, "tmpfs", Mount.NOSUID | Mount.NODEV, f"size={WRITES_BYTES},mode=0755")
    root = holder / "root"
    for name in ("upper", "work", "root"):
        (holder / name).mkdir()
    mount("overlay", root, "overlay", Mount.NOSUID | Mount.NODEV,
          f"lowerdir=/,upperdir={holder}/upper,workdir={holder}/work")  # fmt: skip
    _hide(root)
    _install(root, sources)
    _accounts(root)
    _devices(root)
    mount("proc", root / "proc", "proc", Mount.NOSUID | Mount.NODEV | Mount.NOEXEC)
    mount("sysfs", root / "sys", "sysfs", Mount.NOSUID | Mount.NODEV | Mount.NOEXEC | Mount.RDONLY)
    mount("tmpfs", root / "run", "tmpfs", Mount.NOSUID | Mount.NODEV, "size=16m,mode=0755")
    _names(root, sources)
    pivot(root)


def _holder(sources: Sources) -> Path:
    """A folder that may be covered: nothing that has to be bound lies below it."""
    needed = (sources.coredns, sources.claude, sources.settings, sources.domains, Path(sys.prefix), LAUNCHERS)
    for name in HOLDERS:
        folder = Path(name)
        if folder.is_dir() and not any(path.is_relative_to(folder) for path in needed):
            return folder
    raise OSError(f"cannot make a root: none of {', '.join(HOLDERS)} can be covered")


def _hide(root: Path) -> None:
    """What people keep on this machine is none of the agent's business."""
    for name in HIDDEN:
        folder = root / name
        if folder.is_dir() and not folder.is_symlink():
            mount("tmpfs", folder, "tmpfs", Mount.NOSUID | Mount.NODEV, "size=64m,mode=0755")
    (root / "workspace").mkdir(exist_ok=True)
    (root / "home/claude").mkdir(parents=True, exist_ok=True)


def _install(root: Path, sources: Sources) -> None:
    """Our files under the names that the image gives them (docs/architecture.md)."""
    opt = root / "opt/codetainer"
    for package in (network, backend, codetainer_tui):
        assert package.__file__ is not None
        source = Path(package.__file__).parent
        bind(source, opt / "lib" / source.name)
    site = Path(sysconfig.get_path("purelib"))
    bind(site, opt / "site-packages")
    # A skeleton of a virtual environment: the interpreter finds its site-packages by pyvenv.cfg (PEP 405).
    venv = opt / "venv"
    own_site = venv / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    own_site.mkdir(parents=True)
    (venv / "bin").mkdir()
    interpreter = Path(sys._base_executable)  # type: ignore[attr-defined]
    (venv / "bin/python3").symlink_to(interpreter.resolve())
    (venv / "pyvenv.cfg").write_text(f"home = {interpreter.parent}\ninclude-system-site-packages = false\n")
    (own_site / "codetainer.pth").write_text("/opt/codetainer/lib\n/opt/codetainer/site-packages\n")
    local = root / "usr/local/bin"
    for launcher in sorted(LAUNCHERS.iterdir()):
        if launcher.is_file():
            _place(launcher, local / launcher.name, 0o755)
    bind(sources.coredns, local / "coredns")
    if sources.claude.parent == LAUNCHERS.parent / "sandbox":
        _place(sources.claude, local / "claude", 0o755)
    else:
        bind(sources.claude, local / "claude")
    _place(sources.domains, root / "opt/network/domains.conf", 0o644)
    _place(sources.settings, root / "opt/claude/settings.json", 0o644)
    (root / "opt/gh-config").mkdir()
    if sources.certificate:
        bundle = root / "etc/ssl/certs/ca-certificates.crt"
        _write(bundle, bundle.read_bytes() + sources.certificate)


def _place(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _write(path: Path, data: bytes) -> None:
    """A file of its own in place of what is there: on this machine it may be a link to somewhere else."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def _accounts(root: Path) -> None:
    """Our four users, in place of whoever has their numbers on this machine."""
    taken = {str(uid) for uid in USERS.values()}
    for name, line in (("passwd", "{user}:x:{uid}:{uid}::{home}:{shell}\n"), ("group", "{user}:x:{uid}:\n")):
        path = root / "etc" / name
        kept = [
            entry for entry in path.read_text().splitlines(keepends=True)
            if (fields := entry.split(":"))[0] not in USERS and (len(fields) < 3 or fields[2] not in taken)
        ]  # fmt: skip
        for user, uid in USERS.items():
            agent = uid == AGENT_UID
            home, shell = ("/home/claude", "/bin/bash") if agent else ("/nonexistent", "/usr/sbin/nologin")
            kept.append(line.format(user=user, uid=uid, home=home, shell=shell))
        _write(path, "".join(kept).encode())


def _devices(root: Path) -> None:
    """A /dev with what a program needs, and terminals of its own: none of this machine's is in it."""
    dev = root / "dev"
    held = {name: Path("/dev") / name for name in DEVICES}
    mount("tmpfs", dev, "tmpfs", Mount.NOSUID, "size=1m,mode=0755")
    for name, source in held.items():
        if stat.S_ISCHR(source.stat().st_mode):
            (dev / name).touch()
            mount(str(source), dev / name, flags=Mount.BIND)
    (dev / "pts").mkdir()
    mount("devpts", dev / "pts", "devpts", Mount.NOSUID | Mount.NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    (dev / "ptmx").symlink_to("pts/ptmx")
    (dev / "shm").mkdir()
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (dev / name).symlink_to(f"/proc/self/fd{target}")


def _names(root: Path, sources: Sources) -> None:
    _write(root / "etc/hostname", b"codetainer\n")
    _write(root / "etc/hosts", b"127.0.0.1 localhost codetainer\n::1 localhost\n")
    resolvers = "".join(f"nameserver {address}\n" for kind, address in sources.addresses if kind == "resolver")
    _write(root / "etc/resolv.conf", resolvers.encode())
    os.umask(0o022)
