"""When Claude is told to continue after a limit or a failure has ended its turn. Pure.

At a limit: when its end has come, plus a little, because the API's clock and ours may differ. Otherwise, and if that did not
help, again and again after growing pauses, until a call passes.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.contract.durations import MINUTE
from backend.session.watchdog import Now

MESSAGE = "Continue where you stopped."
PAUSES = tuple(minutes * MINUTE for minutes in (1, 2, 5, 10, 20))
JITTER = (2.0, 8.0)  # seconds after the end of a limit, so that not all sandboxes of an account call at once
QUIET = 30.0  # seconds since the operator's last key in the session
OWN_PATIENCE = 600.0  # seconds after the end of a limit in which Claude's own continuation is waited for
OWN_PAUSE = 15.0  # seconds between two looks whether it has continued


@dataclass(slots=True)
class Resumption:
    """The tries since the last call that passed. Times are on the steady clock."""

    on: bool = True
    tries: int = 0
    _last: float = 0.0
    _passes: int = 0
    _not_before: float = 0.0

    def due(self, stopped: float | None, now: Now, *, passes: int, named_end: bool, jitter: float) -> bool:
        """True if Claude is to be told to continue now. `stopped`, `passes`, `named_end`: see Watchdog."""
        if passes != self._passes:
            self._passes, self.tries, self._not_before = passes, 0, 0.0
        if stopped is None or not self.on:
            return False
        first = stopped + (jitter if named_end else PAUSES[0])
        again = self._last + self.pause if self.tries else 0.0
        return now.steady >= max(first if named_end or not self.tries else 0.0, again, self._not_before)

    def tried(self, now: Now) -> float:
        """Notes a try. Returns the pause until the next one, in seconds."""
        self.tries += 1
        self._last = now.steady
        return self.pause

    def wait(self, now: Now, seconds: float) -> None:
        """Puts the next try off, without counting one."""
        self._not_before = now.steady + seconds

    @property
    def pause(self) -> float:
        """The pause after the last try, in seconds."""
        return PAUSES[min(self.tries, len(PAUSES)) - 1]
