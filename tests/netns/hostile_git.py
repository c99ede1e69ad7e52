"""Git objects and packs of an agent that obeys no rule, made without git. Sources: gitformat-pack(5), git-hash-object(1)."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, field

KINDS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
REF_DELTA = 7
FILE, LINK, FOLDER, SUBMODULE = "100644", "120000", "40000", "160000"
WHO = "A <a@example.test> 1700000000 +0000"


@dataclass
class Objects:
    """Objects by name, in the order in which they were made."""

    made: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def add(self, kind: str, data: bytes) -> str:
        name = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)) + data).hexdigest()
        self.made[name] = (kind, data)
        return name

    def blob(self, text: str) -> str:
        return self.add("blob", text.encode())

    def tree(self, *entries: tuple[str, str, str]) -> str:
        """A tree of (mode, name, object), in exactly this order."""
        return self.add("tree", b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(one) for mode, name, one in entries))

    def commit(self, tree: str, *parents: str, who: str = WHO, message: str = "x") -> str:
        above = "".join(f"parent {one}\n" for one in parents)
        return self.add("commit", f"tree {tree}\n{above}author {who}\ncommitter {who}\n\n{message}\n".encode())

    def pack(self, *without: str) -> bytes:
        """A pack of all objects, but not of those in `without`."""
        kept = [(KINDS[kind], b"", data) for name, (kind, data) in self.made.items() if name not in without]
        return pack_of(kept)


def pack_of(entries: list[tuple[int, bytes, bytes]], count: int | None = None) -> bytes:
    """A pack of entries of (kind, base of a delta, data). `count`: the number of objects that its header claims."""
    body = b"PACK" + (2).to_bytes(4) + (len(entries) if count is None else count).to_bytes(4)
    for kind, base, data in entries:
        body += _head(kind, len(data)) + base + zlib.compress(data, 1)
    return body + hashlib.sha1(body).digest()


def _head(kind: int, size: int) -> bytes:
    byte, size = kind << 4 | size & 15, size >> 4
    out = b""
    while size:
        out += bytes([byte | 128])
        byte, size = size & 127, size >> 7
    return out + bytes([byte])


def number(value: int) -> bytes:
    """A size in a delta's header."""
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def answer(branches: object, pack: bytes = b"", **fields: object) -> bytes:
    """What the agent's side writes: one line of JSON, and a pack."""
    refs = [[f"refs/heads/{name}", one] for name, one in branches.items()] if isinstance(branches, dict) else branches
    return json.dumps({"refs": refs, "more": 0, "notes": [], **fields}).encode() + b"\n" + pack
