"""`codetainer export --conversation`: writes Claude's conversation to stdout in Claude Code's own form, JSON Lines.

Runs as the agent, whose files these are.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from backend.contract.immutable import dataclass
from backend.contract.paths import Paths
from backend.system import SystemFailure

CHUNK = 1 << 20
MAX_ENTRIES = 10_000  # of a folder
NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,99}\.jsonl\Z")
BUNDLED = "Run codetainer suspend FILE to get everything."


@dataclass(frozen=True, slots=True)
class Conversation:
    """A file of Claude Code's, with the time of its last change. Its name is the id of its session."""

    file: Path
    changed_at: float

    @property
    def id(self) -> str:
        return self.file.stem


def export(paths: Paths, wanted: str | None, out: int) -> tuple[str, ...]:
    """Writes the latest conversation about a folder of the workspace, by default the session's. Returns messages for stderr.

    Raises SystemFailure, OSError.
    """
    default = paths.repository if paths.repository.is_dir() else paths.workspace
    latest, *others = conversations(paths.home, paths.workspace / wanted if wanted else default)
    size = write(latest, out)
    return (
        f"written: conversation {latest.id}, {size} bytes" + (f"; {len(others)} older not written" if others else ""),
        f"to continue it, save it as ~/.claude/projects/FOLDER/{latest.id}.jsonl and run claude --resume {latest.id}",
        "FOLDER is the path of the work folder with - for every character that is not a letter or digit",
    )


def conversations(home: Path, folder: Path) -> list[Conversation]:
    """Returns the conversations about a folder, the latest first. Raises SystemFailure."""
    name = re.sub(r"[^A-Za-z0-9]", "-", str(folder))
    place = home / ".claude/projects" / name
    try:
        with os.scandir(place) as entries:
            found = list(_conversations(place, itertools.islice(entries, MAX_ENTRIES)))
    except OSError as error:
        raise SystemFailure(f"cannot read {place}: {error.strerror}", BUNDLED) from error
    if not found:
        raise SystemFailure(f"cannot export a conversation: {place} has none", BUNDLED)
    return sorted(found, key=lambda one: one.changed_at, reverse=True)


def _conversations(place: Path, entries: Iterator[os.DirEntry[str]]) -> Iterator[Conversation]:
    for entry in entries:
        if NAME.match(entry.name) and entry.is_file(follow_symlinks=False):
            yield Conversation(place / entry.name, entry.stat(follow_symlinks=False).st_mtime)


def write(conversation: Conversation, out: int) -> int:
    """Writes a conversation to a descriptor, up to its last complete line. Returns the number of bytes. Raises OSError."""
    source = os.open(conversation.file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file", str(conversation.file))
        written, left, rest = 0, status.st_size, b""
        while left and (data := os.read(source, min(CHUNK, left))):
            left -= len(data)
            whole, newline, rest_of = (rest + data).rpartition(b"\n")
            rest = rest_of
            written += _write(out, whole + newline)
        return written
    finally:
        os.close(source)


def _write(out: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]
    return len(data)
