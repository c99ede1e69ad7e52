"""Files in the formats that the clients expect: packages of pip, npm and cargo, and answers of the model API."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import random
import tarfile
import zipfile

from backend.sandbox.pretend.releases import wheel

LARGE = 16 << 20  # bytes of a large file: many times the gate's buffers
LARGE_TEXT = 2 << 20  # characters of a large message


@functools.cache
def noise(size: int) -> bytes:
    """Bytes that cannot be compressed, the same in each run."""
    return random.Random(size).randbytes(size)


def _tar(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(data.getvalue(), 0, mtime=0)


@functools.cache
def python_package(size: int) -> bytes:
    """A wheel named thing-1.0-py3-none-any.whl that contains `size` bytes of data."""
    data = io.BytesIO(wheel("thing", "1.0"))
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("thing/data", noise(size))
    return data.getvalue()


@functools.cache
def npm_package(size: int) -> bytes:
    about = json.dumps({"name": "thing", "version": "1.0.0"}).encode()
    return _tar({"package/package.json": about, "package/data": noise(size)})


@functools.cache
def crate(size: int) -> bytes:
    about = b'[package]\nname = "thing"\nversion = "1.0.0"\nedition = "2021"\n'
    return _tar({"thing-1.0.0/Cargo.toml": about, "thing-1.0.0/src/lib.rs": b"", "thing-1.0.0/data": noise(size)})


def crate_index(name: str, size: int) -> bytes:
    """A crate's file in a sparse index (https://doc.rust-lang.org/cargo/reference/registry-index.html)."""
    checksum = hashlib.sha256(crate(size)).hexdigest()
    line = {"name": name, "vers": "1.0.0", "deps": [], "cksum": checksum, "features": {}, "yanked": False}
    return json.dumps(line).encode() + b"\n"


def message(text: str) -> dict[str, object]:
    """An answer of the model API (https://docs.anthropic.com/en/api/messages)."""
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 10},
    }  # fmt: skip


def events(text: str) -> bytes:
    """The same answer as server-sent events, with the text in pieces."""
    begin = {**message(""), "content": [], "stop_reason": None}
    pieces = [text[at : at + 65536] for at in range(0, len(text), 65536)]
    parts: list[dict[str, object]] = [
        {"type": "message_start", "message": begin},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}} for piece in pieces),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 10}},
        {"type": "message_stop"},
    ]
    return b"".join(f"event: {part['type']}\ndata: {json.dumps(part)}\n\n".encode() for part in parts)
