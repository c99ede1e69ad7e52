"""The journal: one event a line in `/run/codetainer/events.jsonl`, written by `boot` alone, read by everybody.

Past `segment_bytes` a new segment takes the file's name; its first line is a snapshot of the folded state, so that a reader
needs the current segment only. The one before it stays as `events.1.jsonl`. Where nothing can be written (a full tmpfs) the
supervisor goes on: what was lost is counted, and said as soon as there is room.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable

from backend.contract.events import Event, Noted, Snapshot, Stamped, encode
from backend.contract.paths import Paths
from backend.contract.state import State, fold

SEGMENT_BYTES = 4 << 20


class Journal:
    """Appends events and keeps the state they fold into."""

    def __init__(self, paths: Paths, segment_bytes: int = SEGMENT_BYTES, clock: Callable[[], float] = time.time) -> None:
        self._path = paths.journal
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._file: io.FileIO | None = None
        self._size = 0
        self._seq = 0
        self._lost = 0
        self.state = State()

    def emit(self, event: Event, at: float | None = None) -> None:
        """Stamps and appends an event. Never raises for want of room."""
        # To the millisecond, as it is written: reading the journal gives the same state.
        stamped = Stamped(round(self._clock() if at is None else at, 3), self._seq + 1, event)
        self._seq += 1
        self.state = fold(self.state, stamped)
        if not self._append(encode(stamped)):
            self._lost += 1
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self.emit(Noted("warning", f"{lost} events were lost: the journal could not be written"))
        if self._size > self._segment_bytes:
            self._rotate()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, line: str) -> bool:
        data = line.encode() + b"\n"
        try:
            if self._file is None:
                self._file = self._open(str(self._path))
            written = os.write(self._file.fileno(), data)
        except OSError:
            return False
        self._size += written
        if written < len(data):
            # Half a line would spoil the next one too: take it back.
            self._size -= written
            os.ftruncate(self._file.fileno(), self._size)
            return False
        return True

    @staticmethod
    def _open(path: str) -> io.FileIO:
        def world_readable(name: str, flags: int) -> int:
            return os.open(name, flags | os.O_NOFOLLOW, 0o644)

        file = io.FileIO(path, "ab", opener=world_readable)
        os.fchmod(file.fileno(), 0o644)
        return file

    def _rotate(self) -> None:
        new = self._path.with_name(".events.new")
        snapshot = encode(Stamped(self.state.updated_at, self._seq, Snapshot(self.state.as_json()))).encode() + b"\n"
        try:
            new.unlink(missing_ok=True)
            file = self._open(str(new))
            try:
                if os.write(file.fileno(), snapshot) != len(snapshot):
                    raise OSError("no room for a snapshot")
                self._path.rename(self._path.with_name("events.1.jsonl"))
                new.rename(self._path)
            except OSError:
                file.close()
                raise
        except OSError:
            # No room for a second segment: begin this one again with the snapshot, rather than grow without bound.
            self._begin_again(snapshot)
            return
        self.close()
        self._file, self._size = file, len(snapshot)

    def _begin_again(self, snapshot: bytes) -> None:
        self._path.with_name(".events.new").unlink(missing_ok=True)
        self._path.with_name("events.1.jsonl").unlink(missing_ok=True)
        if self._file is None:
            return
        os.ftruncate(self._file.fileno(), 0)
        try:
            self._size = os.write(self._file.fileno(), snapshot)
        except OSError:
            self._size = 0
