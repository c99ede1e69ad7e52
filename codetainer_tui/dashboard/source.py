"""The event sources of a dashboard: the journal of this sandbox, or a recorded one at any speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from backend.contract.events import Stamped
from backend.contract.paths import Paths
from codetainer_tui.ask import supervised
from codetainer_tui.journal import Reader, follow

SUPERVISED_SECONDS = 5.0
AFTER_THE_END = 3.0


class Source(Protocol):
    def poll(self) -> list[Stamped]:
        """Returns the new events."""
        ...

    def now(self) -> float:
        """The time that the screen shows, in seconds since the epoch."""
        ...

    def supervised(self) -> bool: ...


class Live:
    """The journal of the sandbox that this process runs in."""

    def __init__(self, paths: Paths) -> None:
        self._reader = Reader(paths.journal)
        self._control = paths.control
        self._asked_at = -SUPERVISED_SECONDS
        self._supervised = True

    def poll(self) -> list[Stamped]:
        events = self._reader.poll()
        while self._reader.behind:
            events += self._reader.poll()
        return events

    def now(self) -> float:
        return time.time()

    def supervised(self) -> bool:
        moment = time.monotonic()
        if moment - self._asked_at >= SUPERVISED_SECONDS:
            self._asked_at = moment
            self._supervised = supervised(self._control)
        return self._supervised


class Recorded:
    """A recorded journal, played `speed` times as fast. At speed 0 it jumps to its end and the clock stands still."""

    def __init__(self, file: Path, speed: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._events = list(follow(file, going_on=lambda: False))
        self._speed, self._clock = speed, clock
        self._begun = clock()
        self._first = self._events[0].at if self._events else 0.0
        self._last = self._events[-1].at if self._events else 0.0
        self._next = 0

    def now(self) -> float:
        if not self._speed:
            return self._last + AFTER_THE_END
        return min(self._first + (self._clock() - self._begun) * self._speed, self._last + AFTER_THE_END)

    def poll(self) -> list[Stamped]:
        begin, moment = self._next, self.now()
        while self._next < len(self._events) and self._events[self._next].at <= moment:
            self._next += 1
        return self._events[begin : self._next]

    def supervised(self) -> bool:
        return True
