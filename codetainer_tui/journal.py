"""Reads the journal while boot writes it, for all front ends.

The file may not exist yet, end in half a line, be replaced by a new segment (which begins with a snapshot) or, on a full file
system, be truncated and restarted. Polling it takes a few system calls and, unlike inotify, has no watches to run out of.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from backend.contract.events import Stamped, decode

POLL_SECONDS = 0.15
MAX_BYTES = 1 << 20  # per poll, so that a long journal does not block a screen


class Reader:
    """Follows one journal by name. `poll` returns new events; it never waits, and raises no error for a corrupt journal."""

    def __init__(self, path: Path, *, past: bool = True) -> None:
        """With `past` False, skips the present content of the file, which is from an earlier boot."""
        self._path = path
        self._file: io.FileIO | None = None
        self._offset = 0
        self.behind = False  # there is more to read than one poll returns
        if not past and self._open():
            assert self._file is not None
            self._offset = os.fstat(self._file.fileno()).st_size

    def lines(self) -> list[bytes]:
        """The complete lines that are new since the last call."""
        lines: list[bytes] = []
        self.behind = False
        if self._file is None and not self._open():
            return lines
        replaced = self._replaced()  # before reading: a replaced segment is complete
        self._read(lines)
        if replaced and not self.behind:
            self.close()
            if self._open():
                self._read(lines)
        return lines

    def poll(self) -> list[Stamped]:
        """The events that are new since the last call. Skips corrupt lines, for example one that a crash cut short."""
        events = []
        for line in self.lines():
            try:
                events.append(decode(line.decode(errors="replace")))
            except (ValueError, RecursionError):
                continue
        return events

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._offset = 0

    def _open(self) -> bool:
        try:
            self._file = io.FileIO(self._path)
        except OSError:
            return False
        self._offset = 0
        return True

    def _replaced(self) -> bool:
        assert self._file is not None
        try:
            named = self._path.stat()
        except OSError:
            return False  # between two segments, or deleted: keep the old file until there is a new one
        ours = os.fstat(self._file.fileno())
        return (named.st_ino, named.st_dev) != (ours.st_ino, ours.st_dev)

    def _read(self, lines: list[bytes]) -> None:
        """Appends complete lines. Leaves half a line for later, because the writer may remove it again."""
        assert self._file is not None
        descriptor = self._file.fileno()
        if os.fstat(descriptor).st_size < self._offset:
            self._offset = 0  # the writer restarted the segment
        room = MAX_BYTES
        while True:
            data = os.pread(descriptor, room, self._offset)
            end = data.rfind(b"\n") + 1
            if end:
                lines.extend(data[: end - 1].split(b"\n"))
                self._offset += end
                self.behind = len(data) == room
                return
            if len(data) < room:
                return
            room *= 2  # a snapshot may be longer than a poll


def follow(path: Path, *, past: bool = True, going_on: Callable[[], bool] = lambda: True) -> Iterator[Stamped]:
    """Yields all events as they arrive until `going_on` returns false, then the events written up to that moment."""
    reader = Reader(path, past=past)
    try:
        last = False
        while True:
            events = reader.poll()
            yield from events
            if events or reader.behind:
                continue
            if last:
                return
            last = not going_on()
            if not last:
                time.sleep(POLL_SECONDS)
    finally:
        reader.close()


def before(path: Path) -> Iterator[Stamped]:
    """The events of the previous segment, if there is one."""
    older = path.with_name("events.1.jsonl")
    if older.exists():
        yield from follow(older, going_on=lambda: False)
