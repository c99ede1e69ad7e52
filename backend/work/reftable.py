"""Reads refs in the reftable format, which git writes since 2.45 (`git init --ref-format=reftable`). Pure except for `stack`.

A stack is a folder with the file `tables.list`, which names its tables, the oldest first. A record in a later table replaces
those in earlier ones. Source: git's Documentation/technical/reftable.txt.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from backend.work.place import contents

HEAD = "ref: refs/heads/.invalid"  # in the file HEAD of such a repository, for versions of git that do not know the format
MAX_TABLES = 2000  # git merges tables; a stack has a few dozen
MAX_REFS = 1_000_000
MAX_INFLATED = 256 << 20  # bytes of reflogs
ATTEMPTS = 5  # git may merge tables between the reading of tables.list and of the tables
_VERSIONS = {1: (24, 68, 20), 2: (28, 72, 0)}  # sizes of header and footer, and of an object name (version 2: see _SIZES)
_SIZES = {b"sha1": 20, b"s256": 32}
_STASH = b"refs/stash\x00"


class Damaged(Exception):
    """A table breaks the format. The text says how."""


@dataclass(slots=True)
class Stack:
    """The merged records of a stack. `refs` maps names to object names, or to `ref: NAME`; `stash_log` update indexes to
    object names, "" if the entry was deleted. `notes`: what could not be read.
    """

    refs: dict[str, str] = field(default_factory=dict)
    stash_log: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def stashes(self) -> tuple[str, ...]:
        """The stashes, the latest first."""
        return tuple(name for _, name in sorted(self.stash_log.items(), reverse=True) if name.strip("0"))


class _Layout(NamedTuple):
    header: int
    name: int  # bytes of an object name
    block: int  # alignment of blocks, 0 if they are not aligned
    end: int  # of the blocks, where the footer begins
    logs: int  # where the log blocks begin, `end` if there are none


def stack(folder: Path) -> Stack:
    """Reads a stack. Parts that cannot be read are noted, and older values remain."""
    for attempt in range(ATTEMPTS):
        merged = Stack()
        try:
            listed = (contents(folder / "tables.list") or b"").decode(errors="replace").split()
        except OSError as error:
            merged.notes.append(f"its refs cannot be read: {folder.name}/tables.list: {error.strerror}")
            return merged
        if len(listed) > MAX_TABLES:
            merged.notes.append(f"{folder.name} has more than {MAX_TABLES} tables: the oldest are not examined")
        try:
            for name in listed[-MAX_TABLES:]:
                _add(merged, folder, name, last_attempt=attempt == ATTEMPTS - 1)
        except FileNotFoundError:
            continue
        break
    merged.refs = {name: value for name, value in merged.refs.items() if value}
    return merged


def _add(merged: Stack, folder: Path, name: str, *, last_attempt: bool) -> None:
    """Merges one table. Raises FileNotFoundError if it has gone and the stack should be read again."""
    if "/" in name:
        merged.notes.append(f"{folder.name}/tables.list is damaged")
        return
    try:
        data = contents(folder / name)
        if data is None:
            raise Damaged("not a regular file, or too large")
        add_table(merged, data)
    except FileNotFoundError:
        if not last_attempt:
            raise
        merged.notes.append(f"its refs cannot be read: {folder.name}/{name} is missing")
    except OSError as error:
        merged.notes.append(f"its refs cannot be read: {folder.name}/{name}: {error.strerror}")
    except Damaged as error:
        merged.notes.append(f"its refs cannot be read: {folder.name}/{name} is damaged: {error}")


def add_table(merged: Stack, data: bytes) -> None:
    """Merges the records of one table. Raises Damaged; records before the damage are merged."""
    if not data:
        return
    try:
        layout = _layout(data)
        for name, value in _refs(data, layout):
            merged.refs[name] = value
            if len(merged.refs) > MAX_REFS:
                raise Damaged(f"more than {MAX_REFS} refs")
        merged.stash_log.update(_stash_log(data, layout))
    except (struct.error, IndexError, zlib.error) as error:
        raise Damaged("it ends too early" if not isinstance(error, zlib.error) else str(error)) from error


def _layout(data: bytes) -> _Layout:
    version = data[4]
    if data[:4] != b"REFT" or version not in _VERSIONS:
        raise Damaged("unknown format")
    header, footer, size = _VERSIONS[version]
    if len(data) < header + footer:
        raise Damaged("it ends too early")
    if version == 2:
        size = _SIZES.get(data[24:28], 0)
        if not size:
            raise Damaged("unknown kind of object names")
    end = len(data) - footer
    (checksum,) = struct.unpack_from(">I", data, len(data) - 4)
    if data[end : end + header] != data[:header] or zlib.crc32(data[end:-4]) != checksum:
        raise Damaged("its checksum is wrong")
    (logs,) = struct.unpack_from(">Q", data, end + header + 24)
    if not logs and data[header : header + 1] != b"g":
        logs = end
    return _Layout(header, size, int.from_bytes(data[5:8]), end, min(logs, end))


def _refs(data: bytes, layout: _Layout) -> Iterator[tuple[str, str]]:
    """Yields names and values, "" for a deletion."""
    start = 0
    while start < layout.end:
        first = start + (layout.header if start == 0 else 0)
        if data[first : first + 1] != b"r":
            return
        length = int.from_bytes(data[first + 1 : first + 4])
        stop = start + length
        if stop > layout.end or stop < first + 6:
            raise Damaged("a block has an impossible length")
        yield from _ref_records(data[:stop], first + 4, stop - 2 - 3 * int.from_bytes(data[stop - 2 : stop]), layout.name)
        padded = length < layout.block and stop < layout.end and data[stop] == 0
        start += layout.block if padded or length == layout.block else length


def _ref_records(data: bytes, at: int, stop: int, size: int) -> Iterator[tuple[str, str]]:
    name = b""
    while at < stop:
        name, kind, at = _key(data, at, name)
        _, at = _varint(data, at)  # the update index
        if kind in (1, 2):
            value = data[at : at + size].hex()
            at += size * kind  # a tag is followed by the object it names
        elif kind == 3:
            length, at = _varint(data, at)
            value = f"ref: {data[at : at + length].decode(errors='replace')}"
            at += length
        elif kind == 0:
            value = ""
        else:
            raise Damaged("unknown kind of record")
        if at > stop:
            raise Damaged("a record is longer than its block")
        yield name.decode(errors="replace"), value


def _stash_log(data: bytes, layout: _Layout) -> Iterator[tuple[int, str]]:
    """Yields the update index and the new object name of each stash, "" for a deletion. Log blocks are sorted by ref."""
    start, inflated = layout.logs, 0
    while start < layout.end:
        offset = layout.header if start == 0 else 0
        first = start + offset
        if data[first : first + 1] != b"g":
            return
        length = int.from_bytes(data[first + 1 : first + 4]) - offset - 4
        if length < 2:
            raise Damaged("a block has an impossible length")
        inflater = zlib.decompressobj()
        block = inflater.decompress(data[first + 4 : layout.end], length)
        inflater.decompress(b"", 1)  # the stream's end, if only its checksum is left
        if len(block) != length or not inflater.eof:
            raise Damaged("a log block has a wrong length")
        inflated += length
        if inflated > MAX_INFLATED:
            raise Damaged(f"more than {MAX_INFLATED >> 20} MB of reflogs")
        done = yield from _log_records(block, length - 2 - 3 * int.from_bytes(block[-2:]), layout.name)
        if done:
            return
        start = layout.end - len(inflater.unused_data)


def _log_records(data: bytes, stop: int, size: int) -> Generator[tuple[int, str], None, bool]:
    """Yields the stashes of a block. Returns True if no later block can have one."""
    at, key = 0, b""
    while at < stop:
        key, kind, at = _key(data, at, key)
        value = ""
        if kind == 1:
            value = data[at + size : at + 2 * size].hex()
            at += 2 * size
            for _ in ("name", "mail"):
                length, at = _varint(data, at)
                at += length
            _, at = _varint(data, at)  # seconds
            length, at = _varint(data, at + 2)  # after the time zone: the message
            at += length
        elif kind:
            raise Damaged("unknown kind of record")
        if at > stop:
            raise Damaged("a record is longer than its block")
        if key.startswith(_STASH) and len(key) == len(_STASH) + 8:
            yield (1 << 64) - 1 - int.from_bytes(key[-8:]), value
        elif key > _STASH:
            return True
    return False


def _key(data: bytes, at: int, previous: bytes) -> tuple[bytes, int, int]:
    """Returns the key of a record, which shares its beginning with the previous one; its kind; and the position behind it."""
    shared, at = _varint(data, at)
    suffix, at = _varint(data, at)
    kind, suffix = suffix & 7, suffix >> 3
    if shared > len(previous) or at + suffix > len(data):
        raise Damaged("a name is longer than its block")
    return previous[:shared] + data[at : at + suffix], kind, at + suffix


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Reads a number as in packs (gitformat-pack(5), "offset encoding"); returns it and the position behind it."""
    value = data[at] & 0x7F
    for _ in range(10):
        if not data[at] & 0x80:
            return value, at + 1
        at += 1
        value = (value + 1) << 7 | data[at] & 0x7F
    raise Damaged("a number is too long")
