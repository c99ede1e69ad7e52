"""Follows a sandbox's journal from outside until boot releases the init lock."""

from __future__ import annotations

import contextlib
from pathlib import Path

from backend.contract import events
from backend.contract.events import LockReleased
from backend.contract.state import State, fold


class FollowedBoot:
    """Reads the journal from its beginning, what is new at each call."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._read = 0
        self._state = State()
        self._released = False

    def released(self) -> State | None:
        """The sandbox's state when the lock was released; None if it is not released yet. Raises OSError."""
        # Before boot has begun, and after the sandbox has ended, there is no journal.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            self._follow()
        return self._state if self._released else None

    def _follow(self) -> None:
        if not self._released:
            with self._journal.open("rb") as file:
                file.seek(self._read)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._read += len(line)
                    stamped = events.decode(line.decode())
                    self._state = fold(self._state, stamped)
                    if isinstance(stamped.event, LockReleased):
                        self._released = True
                        break
