"""Failures of the pretend API, as a conversation asks for them: a line `please fail: KIND NUMBER` in one of its messages.

- `limited S`: 429 for S seconds, with the headers of a subscription's limit
- `overloaded N`: 529 for the next N calls
- `refused S`: 401 for S seconds
- `cut N`: the next N answers break off in the middle
- `silent S`: no answer for S seconds

Times count from the first call that has the line. Text may follow the number, to ask for the same failure again. The last line
of a conversation counts. Formats: https://docs.anthropic.com/en/api/errors, https://docs.anthropic.com/en/api/rate-limits.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field

FAIL = re.compile(r"(?m)^please fail: (limited|overloaded|refused|cut|silent) (\d{1,6})\b.*$")
COUNTED = ("overloaded", "cut")
MAX_LINES = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a call. `status` 0: no answer, or one that breaks off. `left` is in seconds."""

    kind: str
    status: int = 0
    error: str = ""
    message: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    left: float = 0.0


@dataclass(slots=True)
class Faults:
    """The failures that have begun: by line, when, and how many calls are left."""

    _begun: dict[str, tuple[float, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def due(self, messages: str, now: float) -> Fault | None:
        """What happens to a call with these messages; None if it is answered. `now` is in seconds since the epoch."""
        lines = list(FAIL.finditer(messages))
        if not lines:
            return None
        line = lines[-1]
        kind, number = line[1], int(line[2])
        with self._lock:
            if line[0] not in self._begun and len(self._begun) >= MAX_LINES:
                return None
            at, calls = self._begun.get(line[0], (now, number))
            self._begun[line[0]] = at, max(0, calls - 1)
        left = at + number - now
        if (calls if kind in COUNTED else left) <= 0:
            return None
        return _fault(kind, left, at + number)


def _fault(kind: str, left: float, end: float) -> Fault:
    match kind:
        case "limited":
            headers = (
                ("retry-after", str(max(1, round(left)))),
                ("anthropic-ratelimit-unified-status", "rejected"),
                ("anthropic-ratelimit-unified-reset", str(round(end))),
                ("anthropic-ratelimit-unified-representative-claim", "five_hour"),
            )
            return Fault(kind, 429, "rate_limit_error", "This request would exceed your account's rate limit.", headers)
        case "overloaded":
            return Fault(kind, 529, "overloaded_error", "Overloaded")
        case "refused":
            return Fault(kind, 401, "authentication_error", "Invalid authentication credentials")
        case _:
            return Fault(kind, left=left)
