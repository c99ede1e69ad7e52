"""Checks the tar archive of the agent's files, header by header, before tar may read it. Pure.

Accepts only what GNU tar writes with writing.TAR: POSIX headers, with extended headers for long names, sizes, times and sparse
files (https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html, and "Sparse Formats" in tar's manual). Anything else
might mean one thing here and another to tar, so it is refused, too. tar runs as the agent, so a mistake here would let an
archive do no more than the agent can do.
"""

from __future__ import annotations

import re

BLOCK = 512
MAX_EXTENDED = 64 << 10  # bytes of an extended header
MAX_MAP = 32 << 20  # bytes of the map of a sparse file: 1.3 million regions at the largest offsets
MAX_NAME = 4096
ROOTS = (b"workspace", b"home/claude", b"tmp")
FILE, HARD, LINK, FOLDER, PIPE, EXTENDED = b"0", b"1", b"2", b"5", b"6", b"x"
TYPES = {
    b"3": "a device", b"4": "a device", b"7": "a file of an unknown type", b"g": "an extended header for all files",
    b"S": "a sparse file of an old form", b"L": "a long name of an old form", b"K": "a long link of an old form",
}  # fmt: skip
SETID = 0o6000

_EMPTY = bytes(BLOCK)
_OCTAL = re.compile(rb"[0-7]{7}\0")
_SIZE = re.compile(rb"[0-7]{11}\0")
_CHECKSUM = re.compile(rb"[0-7]{6}\0 ")
_DECIMAL = re.compile(rb"[0-9]{1,19}")  # a file in memory can have almost 2^63 bytes, nearly all of them holes
_TIME = re.compile(rb"-?[0-9]{1,19}(\.[0-9]{1,9})?")  # the agent can set any that fits into 64 bits
_OWNER = frozenset((b"uid", b"gid", b"uname", b"gname"))
_SPARSE = frozenset((b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.name", b"GNU.sparse.realsize"))


class Hostile(Exception):
    """A member that suspending never writes."""


class Checker:
    """Checks a tar archive that arrives in pieces. `most` and `entries` are what it declares: bytes, and number of members."""

    def __init__(self, most: int, entries: int) -> None:
        self._left, self._entries = most, entries
        self._rest = b""
        self._skip = 0  # bytes of contents, and their padding, that still come
        self._sparse = 0  # bytes of the contents of a sparse file, whose map comes next
        self._realsize = 0
        self._extended: dict[bytes, bytes] = {}
        self._empty = 0  # empty blocks at the end
        self._folders = set(ROOTS)
        self._others = set[bytes]()  # names of links and pipes

    def feed(self, data: bytes) -> bytes:
        """Returns what tar may read now: all complete headers so far, and the contents after them. Raises Hostile."""
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while at < end:
            if self._skip:
                step = min(self._skip, end - at)
                self._skip -= step
                at += step
            elif self._sparse:
                step = self._map(data, at)
                if not step:
                    break
                at += step
            elif end - at < BLOCK:
                break
            else:
                step = self._header(data, at)
                if not step:
                    break
                at += step
        self._rest = data[at:]
        self._left -= at
        if self._left < 0:
            raise Hostile("it is longer than it declares")
        return data if at == end else data[:at]

    def finish(self) -> None:
        """Call it at the end of the archive. Raises Hostile if that is not the end of a tar archive."""
        if self._rest or self._skip or self._sparse or self._extended or self._empty < 2:
            raise Hostile("it ends too early")

    def _header(self, data: bytes, at: int) -> int:
        """Checks the header at a place. Returns its length, 0 if it is not complete."""
        block = data[at : at + BLOCK]
        if block == _EMPTY:
            self._empty += 1
            return BLOCK
        if self._empty:
            raise Hostile("something follows its end")
        checksum, size = block[148:156], block[124:136]
        if not _CHECKSUM.fullmatch(checksum) or int(checksum[:6], 8) != sum(block) - sum(checksum) + 8 * 32:
            raise Hostile("the checksum of a header is wrong")
        if block[257:265] != b"ustar\x0000" or not _SIZE.fullmatch(size):
            raise Hostile("a header is not in POSIX format")
        kind, length = block[156:157], int(size[:11], 8)
        if kind != EXTENDED:
            self._member(block, kind, length)
            return BLOCK
        if self._extended or not 0 < length <= MAX_EXTENDED:
            raise Hostile("an extended header is not valid")
        whole = BLOCK + length + -length % BLOCK
        if len(data) - at < whole:
            return 0
        self._extended = _records(data[at + BLOCK : at + BLOCK + length])
        return whole

    def _member(self, block: bytes, kind: bytes, length: int) -> None:
        extended, self._extended = self._extended, {}
        name = extended.get(b"path") or _joined(block)
        if kind == FILE and b"size" in extended:
            length = int(extended[b"size"])
        if sparse := _SPARSE & extended.keys():
            if kind != FILE or sparse != _SPARSE or extended[b"GNU.sparse.major"] + extended[b"GNU.sparse.minor"] != b"10":
                raise Hostile(f"{_shown(name)} is a sparse file of an unknown form")
            name, self._realsize = extended[b"GNU.sparse.name"], int(extended[b"GNU.sparse.realsize"])
        if kind not in (FILE, HARD, LINK, FOLDER, PIPE):
            raise Hostile(f"{_shown(name)} is {TYPES.get(kind, 'of an unknown type')}")
        if not _OCTAL.fullmatch(block[100:108]) or int(block[100:107], 8) & SETID:
            raise Hostile(f"{_shown(name)} is set-user-ID or set-group-ID")
        if kind != FILE and (length or b"size" in extended):
            raise Hostile(f"{_shown(name)} has contents, but is not a file")
        self._entries -= 1
        if self._entries < 0:
            raise Hostile("it has more files than it declares")
        name = name[:-1] if kind == FOLDER and name[-1:] == b"/" else name
        self._place(name)
        if kind in (HARD, LINK):
            target = extended.get(b"linkpath") or block[157:257].split(b"\0", 1)[0]
            self._target(name, kind, target)
            kind = LINK if target in self._others else kind  # a second name of a link is a link
        if kind == FOLDER:
            if name in self._others:
                raise Hostile(f"{_shown(name)} is a folder and something else")
            self._folders.add(name)
        elif name in self._folders:
            raise Hostile(f"{_shown(name)} is a folder and something else")
        elif kind in (LINK, PIPE):
            if name in self._others:
                raise Hostile(f"{_shown(name)} occurs twice")
            self._others.add(name)
        elif name in self._others:
            raise Hostile(f"{_shown(name)} would be written through a link")
        if sparse:
            self._sparse = length
            if not length:
                raise Hostile(f"{_shown(name)} is a sparse file without a map")
        else:
            self._skip = length + -length % BLOCK

    def _place(self, name: bytes) -> None:
        """Checks that a name lies in a folder of this archive, which is no link. Raises Hostile."""
        parts = name.split(b"/")
        if len(name) > MAX_NAME or b"\0" in name or b"" in parts or b"." in parts or b".." in parts:
            raise Hostile(f"{_shown(name)} is not a valid name")
        if name.rpartition(b"/")[0] not in self._folders:
            raise Hostile(f"{_shown(name)} is not in a folder of the archive")

    def _target(self, name: bytes, kind: bytes, target: bytes) -> None:
        if not target or len(target) > MAX_NAME or b"\0" in target:
            raise Hostile(f"{_shown(name)} is a link without a valid target")
        if kind == LINK:
            return  # restored as it is, and never followed
        try:
            self._place(target)
        except Hostile as error:
            raise Hostile(f"{_shown(name)} is a hard link out of the tree: {error}") from error
        if target in self._folders:
            raise Hostile(f"{_shown(name)} is a hard link to a folder")

    def _map(self, data: bytes, at: int) -> int:
        """Checks the map of a sparse file: the number of its regions, then offset and size of each. Returns its length.

        0 if it is not complete. tar reads as much as the map says, so the map has to add up to the size of the contents.
        """
        # tar pads the map to a block; its length follows from its lines.
        limit = min(len(data), at + self._sparse)
        count_end = data.find(b"\n", at, min(limit, at + 20))
        if count_end < 0:
            return self._incomplete(limit - at)
        text = data[at:count_end]
        if not _DECIMAL.fullmatch(text) or int(text) > MAX_MAP // 4:
            raise Hostile("the map of a sparse file is not valid")
        lines, end = 2 * int(text), count_end + 1
        numbers = data[end : min(limit, at + MAX_MAP)].split(b"\n", lines)
        if len(numbers) <= lines:
            return self._incomplete(limit - at)
        numbers = numbers[:lines]
        if not all(map(_DECIMAL.fullmatch, numbers)):
            raise Hostile("the map of a sparse file is not valid")
        end += sum(map(len, numbers)) + lines
        length = end - at + -(end - at) % BLOCK
        if length > self._sparse:
            raise Hostile("the map of a sparse file is not valid")
        if len(data) - at < length:
            return 0
        regions, before = [int(number) for number in numbers], 0
        for offset, size in zip(regions[::2], regions[1::2], strict=True):
            if offset < before or offset + size > self._realsize:
                raise Hostile("the map of a sparse file is not valid")
            before = offset + size
        left = self._sparse - length
        if sum(regions[1::2]) != left:
            raise Hostile("the map of a sparse file does not fit its contents")
        self._sparse, self._skip = 0, left + -left % BLOCK
        return length

    def _incomplete(self, seen: int) -> int:
        if seen >= min(self._sparse, MAX_MAP):
            raise Hostile("the map of a sparse file is not valid")
        return 0


def _joined(block: bytes) -> bytes:
    """The name in a header: its prefix and its name field (POSIX ustar)."""
    name, prefix = block[:100].split(b"\0", 1)[0], block[345:500].split(b"\0", 1)[0]
    return prefix + b"/" + name if prefix else name


def _records(text: bytes) -> dict[bytes, bytes]:
    """Reads an extended header: `LENGTH KEY=VALUE` and a line feed, as often as needed. Raises Hostile."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(text):
        space = text.find(b" ", at, at + 8)
        digits = text[at:space]
        if space < 0 or not _DECIMAL.fullmatch(digits):
            raise Hostile("an extended header is not valid")
        end = at + int(digits)
        key, equals, value = text[space + 1 : end - 1].partition(b"=")
        if end <= space or end > len(text) or text[end - 1 : end] != b"\n" or not equals or key in found:
            raise Hostile("an extended header is not valid")
        found[key] = value
        at = end
    for key, value in found.items():
        if key in (b"size", b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.realsize"):
            valid = _DECIMAL.fullmatch(value) is not None
        elif key == b"mtime":
            valid = _TIME.fullmatch(value) is not None
        elif key in (b"path", b"linkpath", b"GNU.sparse.name"):
            valid = bool(value) and b"\0" not in value
        else:
            valid = key in _OWNER
        if not valid:
            raise Hostile(f"an extended header has {key[:40].decode(errors='replace')!a}, which is not known or not valid")
    return found


def _shown(name: bytes) -> str:
    return "/" + name[:200].decode(errors="backslashreplace")
