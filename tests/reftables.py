"""Writes refs in the reftable format, for tests with a git that does not know it (before 2.45).

Source: git's Documentation/technical/reftable.txt.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path


def varint(value: int) -> bytes:
    out = bytes([value & 0x7F])
    while value := value >> 7:
        value -= 1
        out = bytes([0x80 | value & 0x7F]) + out
    return out


def table(refs: Mapping[str, str], stashes: tuple[str, ...] = ()) -> bytes:
    """A table with one block of refs (object names, `ref: NAME`, or "" for a deletion) and one of stashes, the latest first."""
    header = b"REFT" + struct.pack(">IQQ", 1 << 24, 1, 1)
    records = b""
    for name, value in sorted((name.encode(), value) for name, value in refs.items()):
        if value.startswith("ref: "):
            kind, data = 3, varint(len(value.encode()) - 5) + value.encode()[5:]
        else:
            kind, data = (1, bytes.fromhex(value)) if value else (0, b"")
        records += varint(0) + varint(len(name) << 3 | kind) + name + varint(0) + data
    blocks = header
    if refs:
        body = records + (24 + 4).to_bytes(3) + (1).to_bytes(2)
        blocks += b"r" + (24 + 4 + len(body)).to_bytes(3) + body
    logs = len(blocks) if stashes and refs else 0
    if stashes:
        body = b""
        for number, commit in enumerate(stashes):
            key = b"refs/stash\0" + ((1 << 64) - 1 - (len(stashes) - number)).to_bytes(8)
            data = bytes(20) + bytes.fromhex(commit) + varint(1) + b"A" + varint(1) + b"a" + varint(9) + b"\0\0" + varint(0)
            body += varint(0) + varint(len(key) << 3 | 1) + key + data
        offset = 4 + (0 if refs else 24)
        body += offset.to_bytes(3) + (1).to_bytes(2)
        blocks += b"g" + (offset + len(body)).to_bytes(3) + zlib.compress(body)
    footer = header + struct.pack(">QQQQQ", 0, 0, 0, logs, 0)
    return blocks + footer + struct.pack(">I", zlib.crc32(footer))


def convert(git_folder: Path, refs: Mapping[str, str], stashes: tuple[str, ...] = ()) -> None:
    """Moves the refs of a repository, which `refs` has with HEAD, into a table, as `git refs migrate` does."""
    folder = git_folder / "reftable"
    folder.mkdir()
    (folder / "a.ref").write_bytes(table(refs, stashes))
    (folder / "tables.list").write_text("a.ref\n")
    (git_folder / "HEAD").write_text("ref: refs/heads/.invalid\n")
