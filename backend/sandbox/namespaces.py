"""System calls that are missing in Python 3.11: unshare(2), setns(2), mount(2), pivot_root(2), prctl(2), keyctl(2)."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
from enum import IntFlag
from pathlib import Path

from backend import processes

_libc = ctypes.CDLL(None, use_errno=True)


class Namespace(IntFlag):
    """Kinds of namespaces, sched.h's CLONE_NEW* flags."""

    MOUNT = 0x00020000
    UTS = 0x04000000
    IPC = 0x08000000
    PID = 0x20000000
    NET = 0x40000000
    USER = 0x10000000
    CGROUP = 0x02000000


SANDBOX = Namespace.MOUNT | Namespace.UTS | Namespace.IPC | Namespace.PID | Namespace.NET
# In the order in which they are joined: the user namespace first, because it gives the right to join the others; the mount
# namespace last, because /proc is a different one afterwards.
_FILES = {
    Namespace.USER: "user", Namespace.CGROUP: "cgroup", Namespace.UTS: "uts", Namespace.IPC: "ipc", Namespace.PID: "pid",
    Namespace.NET: "net", Namespace.MOUNT: "mnt",
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
    NOATIME = 1 << 10
    NODIRATIME = 1 << 11
    RELATIME = 1 << 21
    PRIVATE = 1 << 18


_OPTIONS = {"mnt": "mount"}  # nsenter(1) names these differently
# statvfs(3) and mount(2) flags of a mount that a remount in a user namespace has to repeat (mount_namespaces(7), "Locked").
_LOCKED = {
    os.ST_NODEV: 4, os.ST_NOEXEC: 8, os.ST_NOATIME: 1 << 10, os.ST_NODIRATIME: 1 << 11, os.ST_RELATIME: 1 << 21,
}  # fmt: skip
_PR_SET_PDEATHSIG = 1
_MNT_DETACH = 2
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_SYS_KEYCTL = {"x86_64": 250, "aarch64": 219}
_KEYCTL_JOIN_SESSION_KEYRING = 1


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot {what}: {os.strerror(number)}")


def unshare(kinds: Namespace) -> None:
    """Moves this process into new namespaces. A new PID namespace is for its children only. Raises OSError."""
    _check(_libc.unshare(int(kinds)), f"unshare {kinds!r}")


def enter(pid: int) -> None:
    """Joins all namespaces of a process in which this one is not yet, and becomes root of its user namespace. Raises OSError.

    Its PID namespace is for children of this process only.
    """
    opened: dict[Namespace, int] = {}
    try:
        for kind in _differing(pid):
            opened[kind] = os.open(f"/proc/{pid}/ns/{_FILES[kind]}", os.O_RDONLY | os.O_CLOEXEC)
        for kind, descriptor in opened.items():
            _check(_libc.setns(descriptor, int(kind)), f"join the {_FILES[kind]} namespace of process {pid}")
            if kind is Namespace.USER:
                become_root()
    finally:
        for descriptor in opened.values():
            os.close(descriptor)


def join_user(pid: int) -> None:
    """Joins a process's user namespace as its root. The process must have a single thread. Raises OSError."""
    join(pid, Namespace.USER)
    become_root()


def join(pid: int, kind: Namespace) -> None:
    """Joins one namespace of a process. Raises OSError."""
    descriptor = os.open(f"/proc/{pid}/ns/{_FILES[kind]}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(descriptor, int(kind)), f"join the {_FILES[kind]} namespace of process {pid}")
    finally:
        os.close(descriptor)


def become_root() -> None:
    """Becomes root of the user namespace that was joined, and leaves the user's groups, which may open files of the machine."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def nsenter(pid: int, *kinds: Namespace) -> list[str]:
    """The nsenter(1) command that joins namespaces of a process, all that differ if none is named; without the final --.

    `nsenter --all` fails in a user namespace, because it joins the machine's time namespace, too.
    """
    options = [f"--{_OPTIONS.get(_FILES[kind], _FILES[kind])}" for kind in kinds or _differing(pid)]
    return ["nsenter", f"--target={pid}", *options]


def nsenter_from_machine(pid: int, kind: Namespace) -> list[str]:
    """`nsenter` for an operator to type, who is outside of the user namespace that this process may be in."""
    if not processes.in_user_namespace():
        return ["nsenter", f"--{_OPTIONS.get(_FILES[kind], _FILES[kind])}=/proc/{pid}/ns/{_FILES[kind]}"]
    return [*nsenter(pid, Namespace.USER, kind), "--preserve-credentials"]


def _differing(pid: int) -> list[Namespace]:
    """The kinds of namespaces in which a process differs from this one, in the order in which they are joined."""
    own, other = Path("/proc/self/ns"), Path(f"/proc/{pid}/ns")
    return [kind for kind, name in _FILES.items() if not (own / name).samefile(other / name)]


def mount(source: str, target: Path, kind: str = "", flags: Mount = Mount.NONE, options: str = "") -> None:
    """Calls mount(2). Raises OSError that names the target."""
    result = _libc.mount(source.encode(), str(target).encode(), kind.encode() or None, int(flags), options.encode() or None)
    _check(result, f"mount {kind or source} on {target}")


def bind(source: Path, target: Path, *, read_only: bool = True) -> None:
    """Bind-mounts a file or folder, and creates the target if it does not exist. Raises OSError."""
    if source.is_dir():
        if not target.is_dir():
            target.mkdir(parents=True)
    else:
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True)
        if not target.exists():  # touch would fail in a read-only file system even then
            target.touch()
    mount(str(source), target, flags=Mount.BIND | Mount.REC)
    if read_only:
        _make_read_only(target)


def bind_regular(source: Path, target: Path) -> None:
    """Bind-mounts a regular file read-only on the file `target`, and nothing else, even if `source` is replaced meanwhile.

    Raises OSError.
    """
    opened = os.open(source, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError(f"cannot show {source} in the sandbox: it is not a regular file")
        mount(f"/proc/self/fd/{opened}", target, flags=Mount.BIND)
    finally:
        os.close(opened)
    _make_read_only(target)


def _make_read_only(target: Path) -> None:
    """mount(2) ignores flags when it creates a bind mount; they need a remount."""
    kept = 0
    if processes.in_user_namespace():
        kept = sum(flag for seen, flag in _LOCKED.items() if os.statvfs(target).f_flag & seen)
    mount("none", target, flags=Mount.BIND | Mount.REMOUNT | Mount.RDONLY | Mount.NOSUID | Mount(kept))


def detach(target: Path) -> None:
    """Unmounts a file system, which ends when nothing uses it any more (umount2(2), MNT_DETACH). Raises OSError."""
    _check(_libc.umount2(str(target).encode(), _MNT_DETACH), f"detach {target}")


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


def leave_keyring() -> None:
    """Gives this process and its children an empty session keyring (session-keyring(7)).

    Whoever inherits one may use its keys, under any uid; the operator's login may keep credentials there. Raises OSError.
    """
    number = _SYS_KEYCTL.get(os.uname().machine)
    if number is None:
        raise OSError(f"cannot leave the session keyring: unsupported architecture {os.uname().machine}")
    # Nobody can use keys if the kernel has none (ENOSYS), or if a filter, which children inherit, refuses the call (EPERM).
    if _libc.syscall(number, _KEYCTL_JOIN_SESSION_KEYRING, None) < 0 and ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM):
        _check(-1, "leave the session keyring")
