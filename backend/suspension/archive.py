"""The archive of a suspended sandbox: an uncompressed tar file (POSIX ustar) that root writes, in this order.

    state.json            what only root may decide: repository, grants, budget (description.Suspended)
    journal.jsonl.gz      the end of the sandbox's journal
    work.tar.zst.000001   the agent's files: a tar archive compressed by zstd, in pieces of PIECE bytes
    ...
    manifest.json         what the agent's files take (description.Manifest)
    sha256                the SHA-256 of all bytes of the file before this member

The pieces let a writer pass the archive on to a pipe before its size is known. To list the agent's files:
`tar -xOf FILE --wildcards 'work.*' | tar -t --zstd`. Everything is verified before anything is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from backend.contract.immutable import dataclass
from backend.suspension.description import Manifest, Suspended, Unreadable

BLOCK = 512
PIECE = 1 << 20
STATE, JOURNAL, WORK, MANIFEST, CHECKSUM = "state.json", "journal.jsonl.gz", "work.tar.zst.", "manifest.json", "sha256"
MAX_DESCRIPTION = 4 << 20  # bytes of a JSON member
TRAILER_BYTES = 4 * BLOCK  # the last member, and the two empty blocks that end a tar file


def header(name: str, size: int) -> bytes:
    """Returns the header of a member. It has no time and no owner, so the trailer depends on the checksum only."""
    about = tarfile.TarInfo(name)
    about.size, about.mode = size, 0o600
    return about.tobuf(tarfile.USTAR_FORMAT)


def padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def trailer(checksum: str) -> bytes:
    """Returns the end of an archive whose other bytes have this checksum."""
    text = f"{checksum}\n".encode()
    return header(CHECKSUM, len(text)) + text + padding(len(text)) + bytes(2 * BLOCK)


class Writer:
    """Writes an archive to a descriptor, member by member. Its methods raise OSError.

    `wait` is called if the descriptor, a pipe, takes nothing more at the moment.
    """

    def __init__(self, out: int, wait: Callable[[int], None]) -> None:
        self._out, self._wait, self._sum = out, wait, hashlib.sha256()
        self._pieces = 0
        self.size = 0

    def begin(self, state: Suspended, journal: bytes) -> None:
        self._add(STATE, state.encode())
        self._add(JOURNAL, journal)

    def piece(self, data: bytes) -> None:
        """Adds the next piece of the agent's files."""
        self._pieces += 1
        self._add(f"{WORK}{self._pieces:06}", data)

    def finish(self, manifest: Manifest) -> None:
        self._add(MANIFEST, manifest.encode())
        self._write(trailer(self._sum.hexdigest()))

    def _add(self, name: str, data: bytes) -> None:
        for part in (header(name, len(data)), data, padding(len(data))):
            self._sum.update(part)
            self._write(part)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                written = os.write(self._out, view)
            except BlockingIOError:
                self._wait(self._out)
                continue
            self.size += written
            view = view[written:]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the agent's files: its place in the archive, in bytes."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive whose form has been read from the open file `descriptor`."""

    file: Path
    descriptor: int
    state: Suspended
    manifest: Manifest
    journal: Piece
    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        return os.fstat(self.descriptor).st_size

    def read(self, piece: Piece) -> bytes:
        return _exactly(self.descriptor, piece.offset, piece.size)


@contextlib.contextmanager
def opened(file: Path, *, verified: bool = False) -> Iterator[Archive]:
    """An archive, after its checksum has been compared unless that was done before (`verified`).

    Raises Unreadable if it is damaged, incomplete or from a newer version, OSError if the file cannot be read.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("not a regular file")
        if status.st_size < len(header(STATE, 0)) or _name(os.pread(descriptor, BLOCK, 0)) != STATE:
            raise Unreadable("not an archive of codetainer suspend")
        if not verified:
            verify(descriptor)
        yield _read(file, descriptor)
    finally:
        os.close(descriptor)


def require_complete(descriptor: int) -> None:
    """Checks the form of an archive that was written just now, but not its checksum. Raises Unreadable, OSError."""
    _end(descriptor)
    _read(Path(), descriptor)


def verify(descriptor: int) -> None:
    """Compares the checksum. Raises Unreadable if the archive is incomplete or changed, OSError."""
    end = _end(descriptor)
    size = os.fstat(descriptor).st_size
    checksum, at = hashlib.sha256(), 0
    while at < size - TRAILER_BYTES:
        data = os.pread(descriptor, min(PIECE, size - TRAILER_BYTES - at), at)
        if not data:
            raise Unreadable("incomplete: it has become shorter")
        checksum.update(data)
        at += len(data)
    if end != trailer(checksum.hexdigest()):
        raise Unreadable("damaged: its checksum is wrong")


def _end(descriptor: int) -> bytes:
    """Returns the trailer, which a writer adds when all else is written. Raises Unreadable if it is missing, OSError."""
    size = os.fstat(descriptor).st_size
    end = os.pread(descriptor, TRAILER_BYTES, max(0, size - TRAILER_BYTES))
    if size <= TRAILER_BYTES or size % BLOCK or _name(end) != CHECKSUM:
        raise Unreadable("incomplete: its end is missing")
    return end


def _read(file: Path, descriptor: int) -> Archive:
    """Reads the form of an archive: the members that a Writer makes, and no others."""
    members = list(_members(descriptor, os.fstat(descriptor).st_size - TRAILER_BYTES))
    names = [name for name, _ in members]
    pieces = [f"{WORK}{number:06}" for number in range(1, len(members) - 2)]
    state = Suspended.decode(_small(descriptor, members[0][1]))  # the first to be read: it has the version of the format
    if names != [STATE, JOURNAL, *pieces, MANIFEST]:
        raise Unreadable("damaged: it has other members than codetainer suspend writes")
    manifest = Manifest.decode(_small(descriptor, members[-1][1]))
    return Archive(file, descriptor, state, manifest, members[1][1], tuple(piece for _, piece in members[2:-1]))


def _members(descriptor: int, end: int) -> Iterator[tuple[str, Piece]]:
    at = 0
    while at < end:
        block = os.pread(descriptor, BLOCK, at)
        try:
            about = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise Unreadable(f"damaged: {error}") from error
        if block != header(about.name, about.size):
            raise Unreadable(f"damaged: the header of {about.name[:100]!a} is not one of ours")
        piece = Piece(at + BLOCK, about.size)
        at = piece.offset + piece.size + len(padding(piece.size))
        if at > end:
            raise Unreadable("damaged: a member is longer than the file")
        yield about.name, piece


def _name(block: bytes) -> str:
    return block[:100].rstrip(b"\0").decode(errors="replace")


def _small(descriptor: int, piece: Piece) -> bytes:
    if piece.size > MAX_DESCRIPTION:
        raise Unreadable("damaged: a description is too long")
    return _exactly(descriptor, piece.offset, piece.size)


def _exactly(descriptor: int, offset: int, size: int) -> bytes:
    data = os.pread(descriptor, size, offset)
    while len(data) < size:
        more = os.pread(descriptor, size - len(data), offset + len(data))
        if not more:
            raise Unreadable("incomplete: it has become shorter")
        data += more
    return data
