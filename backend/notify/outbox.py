"""The messages that one service has not received yet, and when to try again. Pure; `now` is in seconds of one clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from backend.notify.messages import Message
from backend.notify.protocol import Outcome

MAX_WAITING = 50
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 900.0


@dataclass(slots=True)
class Outbox:
    """The queue for one service. `failing_since` and `delivered_at` are in seconds since the epoch, 0 for never."""

    waiting: list[Message] = field(default_factory=list)
    delivered: int = 0  # notifications
    delivered_at: float = 0.0
    dropped: int = 0  # messages, in total
    lost: int = 0  # messages since the last delivery
    failures: int = 0  # in a row
    failing_since: float = 0.0
    outcome: Outcome = Outcome.DELIVERED  # of the last try
    not_before: float = 0.0

    def put(self, messages: Iterable[Message]) -> None:
        """Adds messages. If too many wait, the least urgent of them are dropped, the oldest first."""
        self.waiting += messages
        while len(self.waiting) > MAX_WAITING:
            self.waiting.remove(min(self.waiting, key=lambda message: (message.urgency, message.at)))
            self.dropped += 1
            self.lost += 1

    def wait(self, now: float) -> float | None:
        """Seconds until the next try, None if nothing waits."""
        return max(0.0, self.not_before - now) if self.waiting else None

    def tried(self, batch: Iterable[Message], outcome: Outcome, now: float, time: float) -> None:
        """Records a try to deliver a batch of messages as one notification. `time` is in seconds since the epoch."""
        self.outcome = outcome
        if outcome is Outcome.DELIVERED:
            sent = {id(message) for message in batch}
            self.waiting = [message for message in self.waiting if id(message) not in sent]
            self.delivered, self.delivered_at = self.delivered + 1, time
            self.failures, self.failing_since, self.not_before, self.lost = 0, 0.0, 0.0, 0
            return
        self.not_before = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.failures, 10))
        self.failures += 1
        self.failing_since = self.failing_since or time
