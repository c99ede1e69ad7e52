"""System calls that are missing in Python 3.11: unshare(2), setns(2), mount(2), pivot_root(2), prctl(2)."""

from __future__ import annotations

import ctypes
import os
import signal
from enum import IntFlag
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)


class Namespace(IntFlag):
    """Kinds of namespaces, sched.h's CLONE_NEW* flags."""

    MOUNT = 0x00020000
    UTS = 0x04000000
    IPC = 0x08000000
    PID = 0x20000000
    NET = 0x40000000


SANDBOX = Namespace.MOUNT | Namespace.UTS | Namespace.IPC | Namespace.PID | Namespace.NET
_FILES = {
    Namespace.MOUNT: "mnt", Namespace.UTS: "uts", Namespace.IPC: "ipc", Namespace.PID: "pid", Namespace.NET: "net",
}  # fmt: skip


class Mount(IntFlag):
    """mount(2) flags, sys/mount.h."""

    NONE = 0
    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    REMOUNT = 32
    BIND = 4096
    REC = 16384
    PRIVATE = 1 << 18


_PR_SET_PDEATHSIG = 1
_MNT_DETACH = 2
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot {what}: {os.strerror(number)}")


def unshare(kinds: Namespace) -> None:
    """Moves this process into new namespaces. A new PID namespace is for its children only. Raises OSError."""
    _check(_libc.unshare(int(kinds)), f"unshare {kinds!r}")


def enter(pid: int, kinds: Namespace = SANDBOX) -> None:
    """Joins another process's namespaces. Its PID namespace is for children of this process only. Raises OSError."""
    opened = {kind: os.open(f"/proc/{pid}/ns/{_FILES[kind]}", os.O_RDONLY | os.O_CLOEXEC) for kind in _FILES if kind & kinds}
    try:
        # The mount namespace last, because /proc is a different one afterwards.
        for kind in sorted(opened, key=lambda k: k is Namespace.MOUNT):
            _check(_libc.setns(opened[kind], int(kind)), f"join the {_FILES[kind]} namespace of process {pid}")
    finally:
        for descriptor in opened.values():
            os.close(descriptor)


def mount(source: str, target: Path, kind: str = "", flags: Mount = Mount.NONE, options: str = "") -> None:
    """Calls mount(2). Raises OSError that names the target."""
    result = _libc.mount(source.encode(), str(target).encode(), kind.encode() or None, int(flags), options.encode() or None)
    _check(result, f"mount {kind or source} on {target}")


def bind(source: Path, target: Path, *, read_only: bool = True) -> None:
    """Bind-mounts a file or folder, and creates the target if it does not exist. Raises OSError."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(exist_ok=True)
    mount(str(source), target, flags=Mount.BIND | Mount.REC)
    if read_only:
        # mount(2) ignores flags when it creates a bind mount; they need a remount.
        mount("none", target, flags=Mount.BIND | Mount.REMOUNT | Mount.RDONLY | Mount.NOSUID)


def pivot(root: Path) -> None:
    """Makes `root` the root of this mount namespace and detaches the old one (pivot_root(2), "pivot_root(".", ".")")."""
    os.chdir(root)
    number = _SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(f"cannot pivot the root: unsupported architecture {os.uname().machine}")
    _check(_libc.syscall(number, b".", b"."), f"make {root} the root")
    _check(_libc.umount2(b".", _MNT_DETACH), "detach the old root")
    os.chdir("/")


def die_with_parent(parent: int) -> None:
    """Makes the kernel kill this process when its parent ends. Exits at once if the parent is no longer `parent` (a pid)."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "request a signal at the parent's death")
    if os.getppid() != parent:
        os._exit(1)  # it ended between fork and prctl
