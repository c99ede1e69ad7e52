"""Stores the files of a work tree byte for byte. Reads them itself, because git would convert them according to attributes.

git-fast-import(1) turns them into blobs: one pack, without deltas, for any number of files.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from backend.system import SystemFailure
from backend.work import refs
from backend.work.git import last_line
from backend.work.scratch import WRITE_SECONDS, Scratch

CHUNK = 1 << 20  # files up to this size are read completely before their length is sent to git
GITLINK, LINK = 0o160000, 0o120000


@dataclass(slots=True)
class Blobs:
    """`entries` maps files to mode and object, None if a file is gone. `problems` names files that are missing, and why."""

    entries: dict[str, tuple[int, str] | None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def write(scratch: Scratch, tree: Path, names: Iterable[str]) -> Blobs:
    """Stores files and links as blobs, and repositories as the commit that they have checked out. Raises SystemFailure."""
    blobs = Blobs()
    marks: dict[str, tuple[str, int]] = {}
    file = scratch.place / "marks"
    file.unlink(missing_ok=True)
    done = scratch.alone.feed(
        "fast-import", "--quiet", "--depth=0", f"--big-file-threshold={CHUNK}", f"--export-marks={file}",
        pieces=_stream(tree, names, blobs, marks), seconds=WRITE_SECONDS,
    )  # fmt: skip
    if done.code != 0:
        raise SystemFailure(f"cannot store files: {last_line(done)}")
    objects = dict(line.split() for line in file.read_text().splitlines()) if file.exists() else {}
    for mark, (name, mode) in marks.items():
        blobs.entries[name] = (mode, objects[mark])
    return blobs


def _stream(tree: Path, names: Iterable[str], blobs: Blobs, marks: dict[str, tuple[str, int]]) -> Iterator[bytes]:
    """Yields the input for fast-import. Fills `blobs`, and `marks` with the file and mode of each mark."""
    for name in names:
        try:
            opened = _open(tree, name)
        except (FileNotFoundError, NotADirectoryError):  # the latter if a folder above it has become a file
            blobs.entries[name] = None
            continue
        except OSError as error:
            blobs.problems.append(f"{name}: cannot be read: {error.strerror}")
            continue
        if isinstance(opened, _Odd):
            blobs.entries[name] = (GITLINK, opened.commit) if opened.commit else None
            if opened.why:
                blobs.problems.append(f"{name}: {opened.why}")
            continue
        mark = f":{len(marks) + 1}"
        marks[mark] = (name, opened.mode)
        yield f"blob\nmark {mark}\n".encode()
        yield from opened.pieces()
        if opened.short:
            blobs.problems.append(f"{name}: changed while it was read")
        yield b"\n"


@dataclass(frozen=True, slots=True)
class _Odd:
    """Not a file: the commit of a repository, or the reason for leaving it out."""

    commit: str = ""
    why: str = ""


@dataclass(slots=True)
class _Content:
    """An open file, or a link's target."""

    mode: int
    size: int
    file: int = -1
    target: bytes = b""
    short: bool = False

    def pieces(self) -> Iterator[bytes]:
        """Yields `data LENGTH` and as many bytes. Pads a file that has become shorter, because git knows the length."""
        if self.file < 0:
            yield b"data %d\n" % len(self.target) + self.target
            return
        try:
            if self.size <= CHUNK:
                whole = _read(self.file, CHUNK + 1)
                self.short = len(whole) > CHUNK  # it has grown since
                yield b"data %d\n" % len(whole) + whole
                return
            yield b"data %d\n" % self.size
            left = self.size
            while left and (piece := os.read(self.file, min(left, CHUNK))):
                yield piece
                left -= len(piece)
            self.short = left > 0
            while left:
                yield bytes(min(left, CHUNK))
                left -= min(left, CHUNK)
        finally:
            os.close(self.file)


def matches(tree: Path, name: str, pattern: re.Pattern[bytes]) -> bool:
    """True if `pattern`, of at most three bytes, is in this regular file, or the file cannot be read."""
    try:
        opened = _open(tree, name)
        if isinstance(opened, _Odd) or opened.file < 0:
            return True
        try:
            before = b""
            while piece := os.read(opened.file, CHUNK):
                if pattern.search(before + piece):
                    return True
                before = piece[-2:]
        finally:
            os.close(opened.file)
    except OSError:
        return True
    return False


def _open(tree: Path, name: str) -> _Content | _Odd:
    """Opens a file of the work tree without following links or blocking. Raises OSError."""
    path = tree / name
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        target = os.fsencode(os.readlink(path))  # noqa: PTH115 (a Path would write `a//b` as `a/b`)
        return _Content(LINK, len(target), target=target)
    if stat.S_ISDIR(status.st_mode):
        commit = refs.commit_at(path)
        return _Odd(commit, "" if commit else "a folder, but not a repository")
    if not stat.S_ISREG(status.st_mode):
        return _Odd(why="not a file: a pipe, a socket or a device")
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        os.close(file)
        return _Odd(why="changed while it was read")
    return _Content(0o100755 if status.st_mode & 0o100 else 0o100644, status.st_size, file)


def _read(file: int, size: int) -> bytes:
    whole = b""
    while len(whole) < size and (piece := os.read(file, size - len(whole))):
        whole += piece
    return whole


# --- comparing ---


def unchanged(kind: str, tree: Path, recorded: Mapping[str, tuple[int, str]], sizes: Mapping[str, int]) -> Iterator[str]:
    """Yields the files whose bytes and mode are as `recorded`. `sizes` are those of the recorded objects.

    A file that was touched, or rewritten with the same bytes, is unchanged.
    """
    for name, (mode, object_name) in recorded.items():
        try:
            opened = _open(tree, name)
        except OSError:
            continue
        if isinstance(opened, _Odd):
            if opened.commit and (mode, object_name) == (GITLINK, opened.commit):
                yield name
            continue
        try:
            if opened.mode == mode and opened.size == sizes.get(object_name) and _named(kind, opened) == object_name:
                yield name
        except OSError:
            continue
        finally:
            if opened.file >= 0:
                os.close(opened.file)


def _named(kind: str, opened: _Content) -> str:
    """Returns the object name that a file would have as a blob. Raises OSError."""
    name = hashlib.new(kind, b"blob %d\0" % opened.size)
    if opened.file < 0:
        name.update(opened.target)
    else:
        while piece := os.read(opened.file, CHUNK):
            name.update(piece)
    return name.hexdigest()
