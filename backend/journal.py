"""The journal: one event per line in `/run/codetainer/events.jsonl`, written only by `boot`, readable by all users.

Beyond `segment_bytes` a new segment replaces the file. It begins with a snapshot of the folded state, so readers need only the
current segment. The previous one stays as `events.1.jsonl`. A full tmpfs does not stop the supervisor: the journal counts lost
events and, once there is room, reports their number and writes a snapshot, because a lost event may have changed the state.
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
        self._behind = False  # events were lost, and no snapshot has been written since
        self.state = State()
        self.observer: Callable[[Stamped, State, State], None] | None = None  # gets each event, and the states around it

    def emit(self, event: Event, at: float | None = None) -> None:
        """Stamps and appends an event. A full file system raises no error."""
        # Rounded as in the file, so that reading the journal gives the same state.
        stamped = Stamped(round(self._clock() if at is None else at, 3), self._seq + 1, event)
        self._seq += 1
        before, self.state = self.state, fold(self.state, stamped)
        if self.observer is not None:
            self.observer(stamped, before, self.state)
        if not self._append(encode(stamped)):
            self._lost += 1
            self._behind = True
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self.emit(Noted("warning", f"{lost} events were lost: the journal could not be written"))
            if self._lost:
                self._lost = lost  # there was no room for the note
            return
        if self._behind and self._append(self._snapshot()):
            self._behind = False
        if self._size > self._segment_bytes:
            self._rotate()

    def _snapshot(self) -> str:
        return encode(Stamped(self.state.updated_at, self._seq, Snapshot(self.state.as_json())))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, line: str) -> bool:
        data = line.encode() + b"\n"
        try:
            if self._file is None:
                self._file = self._open(str(self._path))
                self._size = os.fstat(self._file.fileno()).st_size  # the journal of an earlier boot may exist
            written = os.write(self._file.fileno(), data)
        except OSError:
            return False
        self._size += written
        if written < len(data):
            # Remove half a line, which would corrupt the next one, too.
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
        snapshot = self._snapshot().encode() + b"\n"
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
            # No room for a second segment: restart this one with the snapshot instead of growing without bound.
            self._begin_again(snapshot)
            return
        self.close()
        self._file, self._size, self._behind = file, len(snapshot), False

    def _begin_again(self, snapshot: bytes) -> None:
        self._path.with_name(".events.new").unlink(missing_ok=True)
        self._path.with_name("events.1.jsonl").unlink(missing_ok=True)
        if self._file is None:
            return
        os.ftruncate(self._file.fileno(), 0)
        try:
            whole = os.write(self._file.fileno(), snapshot) == len(snapshot)
        except OSError:
            whole = False
        self._size, self._behind = len(snapshot) if whole else 0, not whole
        if not whole:
            os.ftruncate(self._file.fileno(), 0)  # half a line would corrupt the next one
