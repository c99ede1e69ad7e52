"""Reading the journal while it is written. Every front end reads it through here.

The file may not be there yet, end in half a line, be replaced by a new segment (whose first line is a snapshot) or, on a full
file system, be begun again. It is polled: a few system calls a tick, and nothing that can be lost or run out (inotify watches).
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from backend.contract.events import Stamped, decode

POLL_SECONDS = 0.15
MAX_BYTES = 1 << 20  # of one poll, so that a long journal does not stop a screen


class Reader:
    """Follows one journal by name. `poll` returns what is new; it never waits and never raises for a journal gone wrong."""

    def __init__(self, path: Path, *, past: bool = True) -> None:
        """With `past` False, what the file holds already is passed over: it is an earlier sandbox's."""
        self._path = path
        self._file: io.FileIO | None = None
        self._offset = 0
        self.behind = False  # there was more than one poll may bring
        if not past and self._open():
            assert self._file is not None
            self._offset = os.fstat(self._file.fileno()).st_size

    def lines(self) -> list[bytes]:
        """The whole lines that are new since the last call."""
        found: list[bytes] = []
        self.behind = False
        if self._file is None and not self._open():
            return found
        replaced = self._replaced()  # before reading: nothing is written to a segment after it was replaced
        self._read(found)
        if replaced and not self.behind:
            self.close()
            if self._open():
                self._read(found)
        return found

    def poll(self) -> list[Stamped]:
        """The events that are new since the last call. A line that is none (a crash cut it short) is passed over."""
        found = []
        for line in self.lines():
            try:
                found.append(decode(line.decode(errors="replace")))
            except (ValueError, RecursionError):
                continue
        return found

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
            return False  # between two segments, or taken away: what was read stays true until there is another
        ours = os.fstat(self._file.fileno())
        return (named.st_ino, named.st_dev) != (ours.st_ino, ours.st_dev)

    def _read(self, found: list[bytes]) -> None:
        """Only whole lines count as read: half a line may be taken back by the writer."""
        assert self._file is not None
        descriptor = self._file.fileno()
        if os.fstat(descriptor).st_size < self._offset:
            self._offset = 0  # begun again
        room = MAX_BYTES
        while True:
            data = os.pread(descriptor, room, self._offset)
            end = data.rfind(b"\n") + 1
            if end:
                found.extend(data[: end - 1].split(b"\n"))
                self._offset += end
                self.behind = len(data) == room
                return
            if len(data) < room:
                return
            room *= 2  # a snapshot may be longer than a poll


def follow(path: Path, *, past: bool = True, going_on: Callable[[], bool] = lambda: True) -> Iterator[Stamped]:
    """All events, as they come, until `going_on` is false; then those that were still to be read."""
    reader = Reader(path, past=past)
    try:
        last = False
        while True:
            found = reader.poll()
            yield from found
            if found or reader.behind:
                continue
            if last:
                return
            last = not going_on()
            if not last:
                time.sleep(POLL_SECONDS)
    finally:
        reader.close()


def before(path: Path) -> Iterator[Stamped]:
    """The events of the segment before the current one; none where there was none."""
    older = path.with_name("events.1.jsonl")
    if older.exists():
        yield from follow(older, going_on=lambda: False)
