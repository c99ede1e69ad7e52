"""The sandbox's root without root: a tmpfs with our files, and read-only overlays of our files over the machine's.

In a user namespace the kernel refuses an overlay of a folder below which something is mounted, because it would show what
these mounts cover. There, each of its subfolders gets an overlay of its own, and its regular files are bound, read-only.
Sockets, pipes and devices are left out: through a bind mount, a connection to a socket of the machine would succeed. An overlay
without an upper layer copies nothing up, so it needs no rights over the machine's files, and is read-only from the start.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from backend.contract.immutable import dataclass
from backend.sandbox.namespaces import Mount, bind, bind_regular, detach, mount


def lay(
    root: Path, names: Iterable[str], mounts: Iterable[Path], hidden: Iterable[str] = (), machine: Path = Path("/")
) -> None:
    """Shows the machine's top-level folders `names` in `root`, below our files that are already there. Raises OSError.

    The caller will cover the folders `hidden`: their contents are not shown one by one.
    """
    covered = Covered(tuple(mounts), frozenset(machine / name for name in hidden))
    for name in sorted(names):
        source, target = machine / name, root / name
        if source.is_symlink():
            if not os.path.lexists(target):
                target.symlink_to(source.readlink())
        elif source.is_dir():
            _folder(source, target, covered)


def show(source: Path, target: Path, *, scratch: Path, empty: Path) -> None:
    """Shows a file or folder of this machine at `target`, read-only and without its path in mountinfo. Raises OSError.

    The kernel reports the path of a bind mount within its file system, but the options of an overlay as they were given. So
    this binds from an overlay whose layers are descriptors. `scratch` and `empty` are empty folders. If the kernel refuses the
    overlay, as for a folder below which something is mounted, the path can be seen.
    """
    folder = source if source.is_dir() else source.parent
    opened = [os.open(each, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for each in (empty, folder)]
    try:
        lower = ":".join(f"/proc/self/fd/{each}" for each in opened)
        mount("overlay", scratch, "overlay", Mount.NOSUID | Mount.NODEV | Mount.RDONLY, f"lowerdir={lower}")
    except OSError:
        bind(source, target)
        return
    finally:
        for each in opened:
            os.close(each)
    try:
        bind(scratch if folder == source else scratch / source.name, target)
    finally:
        detach(scratch)


def without(place: Path) -> None:
    """Hides a file of the machine: an overlay takes a device with the number 0:0 in a layer above as its removal."""
    place.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(place, stat.S_IFCHR, os.makedev(0, 0))


def _is_removed(place: Path) -> bool:
    """True for a device made by `without`."""
    return os.path.lexists(place) and stat.S_ISCHR(place.lstat().st_mode) and place.lstat().st_rdev == os.makedev(0, 0)


def mount_points(text: str) -> tuple[Path, ...]:
    """The mount points in a text of /proc/self/mountinfo (proc(5)), in which spaces and the like are octal."""
    fields = (line.split() for line in text.splitlines())
    return tuple(
        Path(f[4].encode().decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape"))
        for f in fields
        if len(f) > 4
    )


@dataclass(frozen=True, slots=True)
class Covered:
    """The machine's folders that have other contents in the sandbox: mount points, and folders that `up` hides."""

    points: tuple[Path, ...]
    hidden: frozenset[Path]


def _folder(source: Path, target: Path, covered: Covered) -> None:
    if not os.path.lexists(target):
        target.mkdir()
        target.chmod(stat.S_IMODE(source.stat().st_mode))  # the upper folder's mode counts, also in an overlay
    elif target.is_symlink() or not target.is_dir():
        return  # a file of ours replaces the folder
    if not any(source in point.parents for point in covered.points):
        _overlay(source, target)
        return
    try:
        entries = sorted(os.scandir(source), key=lambda entry: entry.name)
    except PermissionError:
        return  # closed to this user, so it stays empty
    for entry in entries:
        with suppress(FileNotFoundError):  # removed meanwhile
            _entry(entry, source / entry.name, target / entry.name, covered)


def _entry(entry: os.DirEntry[str], source: Path, target: Path, covered: Covered) -> None:
    """Shows an entry of a folder that cannot be an overlay. A mount point or a hidden folder becomes an empty folder."""
    if _is_removed(target):
        target.unlink()
    elif entry.is_symlink():
        if not os.path.lexists(target):
            target.symlink_to(source.readlink())
    elif source in covered.points or source in covered.hidden:
        if entry.is_dir() and not os.path.lexists(target):
            target.mkdir()
    elif entry.is_dir():
        _folder(source, target, covered)
    elif stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode) and not os.path.lexists(target):
        target.touch()
        bind_regular(source, target)


def _overlay(source: Path, target: Path) -> None:
    """Mounts our files in `target` over the machine's in `source`, in their place."""
    if any(c in f"{source}{target}" for c in ",:\\"):  # they separate the options of an overlay
        raise OSError(f"cannot show {source} in the sandbox: its name contains a comma, colon or backslash")
    mount("overlay", target, "overlay", Mount.NOSUID | Mount.NODEV | Mount.RDONLY, f"lowerdir={target}:{source}")
