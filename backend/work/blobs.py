"""Files as they lie in a work tree, byte for byte: read here, not by git, which would convert them as attributes say.

They become blobs by git-fast-import(1): one pack, no deltas, whatever the number of files.
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

CHUNK = 1 << 20  # files up to this size are read whole before git is told their length
GITLINK, LINK = 0o160000, 0o120000


@dataclass(slots=True)
class Blobs:
    """`entries`: mode and object of each file, None for one that has gone. `problems`: files that are not in it, and why."""

    entries: dict[str, tuple[int, str] | None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def write(scratch: Scratch, tree: Path, names: Iterable[str]) -> Blobs:
    """Makes blobs of what has these names now, files and links. A repository is kept as the commit it is at.

    Raises SystemFailure.
    """
    found = Blobs()
    marks: dict[str, tuple[str, int]] = {}
    file = scratch.place / "marks"
    file.unlink(missing_ok=True)
    done = scratch.alone.feed(
        "fast-import", "--quiet", "--depth=0", f"--big-file-threshold={CHUNK}", f"--export-marks={file}",
        given=_stream(tree, names, found, marks), seconds=WRITE_SECONDS,
    )  # fmt: skip
    if done.code != 0:
        raise SystemFailure(f"cannot store files: {last_line(done)}")
    made = dict(line.split() for line in file.read_text().splitlines()) if file.exists() else {}
    for mark, (name, mode) in marks.items():
        found.entries[name] = (mode, made[mark])
    return found


def _stream(tree: Path, names: Iterable[str], found: Blobs, marks: dict[str, tuple[str, int]]) -> Iterator[bytes]:
    """What fast-import is told. `marks` names the file behind each mark."""
    for name in names:
        try:
            opened = _open(tree, name)
        except (FileNotFoundError, NotADirectoryError):  # of the latter: a folder above it is a file now
            found.entries[name] = None
            continue
        except OSError as error:
            found.problems.append(f"{name}: cannot be read: {error.strerror}")
            continue
        if isinstance(opened, _Odd):
            found.entries[name] = (GITLINK, opened.commit) if opened.commit else None
            if opened.why:
                found.problems.append(f"{name}: {opened.why}")
            continue
        mark = f":{len(marks) + 1}"
        marks[mark] = (name, opened.mode)
        yield f"blob\nmark {mark}\n".encode()
        yield from opened.pieces()
        if opened.short:
            found.problems.append(f"{name}: changed while it was read")
        yield b"\n"


@dataclass(frozen=True, slots=True)
class _Odd:
    """No file: a repository's commit, or why it is left out."""

    commit: str = ""
    why: str = ""


@dataclass(slots=True)
class _Content:
    """A file that is open, or a link's target."""

    mode: int
    size: int
    file: int = -1
    target: bytes = b""
    short: bool = False

    def pieces(self) -> Iterator[bytes]:
        """`data LENGTH` and as many bytes. A file that has become shorter is filled up: git was told the length."""
        if self.file < 0:
            yield b"data %d\n" % len(self.target) + self.target
            return
        try:
            if self.size <= CHUNK:
                whole = _read(self.file, CHUNK + 1)
                self.short = len(whole) > CHUNK  # it has grown meanwhile
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
    """Raises OSError."""
    path = tree / name
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        target = os.fsencode(os.readlink(path))  # noqa: PTH115 (a Path would write `a//b` as `a/b`)
        return _Content(LINK, len(target), target=target)
    if stat.S_ISDIR(found.st_mode):
        commit = refs.commit_at(path)
        return _Odd(commit, "" if commit else "a folder that is no repository")
    if not stat.S_ISREG(found.st_mode):
        return _Odd(why="no file: a pipe, a socket or a device")
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        os.close(file)
        return _Odd(why="changed while it was read")
    return _Content(0o100755 if found.st_mode & 0o100 else 0o100644, found.st_size, file)


def _read(file: int, most: int) -> bytes:
    whole = b""
    while len(whole) < most and (piece := os.read(file, most - len(whole))):
        whole += piece
    return whole


# --- comparing ---


def unchanged(kind: str, tree: Path, was: Mapping[str, tuple[int, str]], sizes: Mapping[str, int]) -> Iterator[str]:
    """Of these files, given with mode, object and its size, those that are byte for byte as they were.

    Whoever touches a file, or writes the same into it again, changes nothing.
    """
    for name, (mode, object_name) in was.items():
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
    """The name of the blob that a file would be. Raises OSError."""
    name = hashlib.new(kind, b"blob %d\0" % opened.size)
    if opened.file < 0:
        name.update(opened.target)
    else:
        while piece := os.read(opened.file, CHUNK):
            name.update(piece)
    return name.hexdigest()
