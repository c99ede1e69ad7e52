"""Where archives are: files that are replaced at once, and a folder that keeps the last GENERATIONS of them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from backend.contract.paths import AGENT_UID
from backend.system import SystemFailure, describe

GENERATIONS = 2
NAME = re.compile(r"work-(\d{8})\.tar\Z")
BROKEN = ".broken"
ATTEMPTS = 10  # to create a file while other processes take it for a leftover


def refuse_agents(folder: Path) -> None:
    """Checks that the agent can neither write to a folder nor replace it. Raises SystemFailure, OSError if it does not exist.

    Otherwise it could forge an archive, which says what the next sandbox may reach.
    """
    whole = folder.resolve(strict=True)
    for above in (whole, *whole.parents):
        status = above.stat()
        if not stat.S_ISDIR(status.st_mode):
            raise SystemFailure(f"{above} is not a folder")
        if status.st_uid == AGENT_UID or (status.st_gid == AGENT_UID and status.st_mode & stat.S_IWGRP):
            raise SystemFailure(f"{above} belongs to the agent")
        if status.st_mode & stat.S_IWOTH and (above == whole or not status.st_mode & stat.S_ISVTX):
            raise SystemFailure(f"{above} can be written by every user, so by the agent")


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[int]:
    """A descriptor to write the new contents of a file. When the block ends, they replace the file at once, and on the disk.

    If the block raises, or this process is killed, the file stays as it was. Raises SystemFailure if another process is writing
    the file, OSError.
    """
    new = part(file)
    descriptor = _created(new, file)
    try:
        try:
            yield descriptor
            os.fsync(descriptor)
            new.rename(file)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink()
            raise
        sync_folder(file.parent)
    finally:
        os.close(descriptor)


def _created(new: Path, file: Path) -> int:
    """Creates a file, and holds a lock on it. What a killed process has left is removed, never written to.

    Others may still write to that: they hold its inode.
    """
    for _ in range(ATTEMPTS):
        try:
            descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            _remove_leftover(new, file)
            continue
        with contextlib.suppress(OSError):  # locked, or gone: another process has taken it for a leftover
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), new.lstat()):
                os.fchmod(descriptor, 0o600)
                return descriptor
        os.close(descriptor)
    raise SystemFailure(f"cannot write {file}: other processes are writing it")


def _remove_leftover(new: Path, file: Path) -> None:
    try:
        descriptor = os.open(new, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), new.lstat()):
                new.unlink()
    except BlockingIOError as error:
        raise SystemFailure(f"cannot write {file}: another process is writing it") from error
    finally:
        os.close(descriptor)


def part(file: Path) -> Path:
    """The file beside it in which new contents are written."""
    return file.with_name(f".{file.name}.part")


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Store:
    """A folder with the last archives, `work-NUMBER.tar`. Only root writes to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def require(self) -> None:
        """Checks the folder, and removes what a killed process has left. Raises SystemFailure."""
        try:
            refuse_agents(self.folder)
            for leftover in self.folder.glob(".work-*.tar.part"):
                leftover.unlink(missing_ok=True)
        except OSError as error:
            raise SystemFailure(f"cannot use CODETAINER_STATE={self.folder}: {describe(error)}") from error
        except SystemFailure as error:
            raise SystemFailure(
                f"cannot use CODETAINER_STATE={self.folder}: {error}", "Name a folder that only root can write to."
            ) from error

    def generations(self) -> list[Path]:
        """The archives, the newest first. Raises OSError."""
        return [file for _, file in sorted(self._numbered(), reverse=True)]

    def _numbered(self) -> Iterator[tuple[int, Path]]:
        for file in self.folder.iterdir():
            if match := NAME.match(file.name):
                yield int(match[1]), file

    def next(self) -> Path:
        """The name of the next archive. Raises OSError."""
        return self.folder / f"work-{max((number for number, _ in self._numbered()), default=0) + 1:08}.tar"

    def prune(self, kept: int = GENERATIONS) -> None:
        """Removes archives that are older than the last ones. Raises OSError."""
        broken = sorted(self.folder.glob(f"work-*.tar{BROKEN}"), reverse=True)
        for file in (*self.generations()[kept:], *broken[GENERATIONS:]):
            file.unlink()
        sync_folder(self.folder)

    def newest(self, usable: Callable[[Path], str]) -> tuple[Path | None, tuple[str, ...]]:
        """Returns the newest archive for which `usable` returns no reason against it, and the reasons against newer ones.

        Those are renamed, so that they take no generation's place. Raises OSError.
        """
        problems: list[str] = []
        broken: list[Path] = []
        for file in self.generations():
            if problem := usable(file):
                problems.append(f"{file.name}: {problem}")
                broken.append(file)
                continue
            for other in broken:
                other.rename(other.with_name(f"{other.name}{BROKEN}"))
            return file, tuple(problems)
        return None, tuple(problems)
