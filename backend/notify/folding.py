"""Bounds the number of notifications: a flood becomes one message with a count. Pure; times are in seconds of one clock.

Each kind of message has a shortest interval, and all notifications share a budget per hour. What comes meanwhile is counted in
the next message of its kind, which names each sort (Message.sort) with a count of its own. Urgent messages have a budget of
their own, so that a flood that the agent causes cannot hide that the sandbox has been closed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from backend.notify.messages import Kind, Message, TakeBack, Urgency

KIND_SECONDS = 300.0
URGENT_SECONDS = 30.0  # the same for urgent messages
PER_HOUR, BURST = 20, 6
URGENT_PER_HOUR, URGENT_BURST = 12, 6
MAX_SORTS = 8  # that one message names
HOUR = 3600.0


@dataclass(slots=True)
class Bucket:
    """A token bucket: `burst` at once, and `per_hour` in the long run."""

    per_hour: int
    burst: int
    left: float
    at: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until there is a token."""
        self.left = min(float(self.burst), self.left + (now - self.at) * self.per_hour / HOUR)
        self.at = now
        # A token that lacks less than a rounding error is there: the caller would otherwise wait for no time at all, forever.
        return 0.0 if self.left > 1 - 1e-6 else (1 - self.left) * HOUR / self.per_hour

    def take(self) -> None:
        self.left -= 1


@dataclass(slots=True)
class _Pending:
    """Messages of a kind that are not sent yet, by sort: the latest of the most urgent ones, and how many it stands for."""

    ready_at: float
    sorts: dict[str, Message]
    more: int = 0  # occurrences of sorts that did not fit

    @property
    def first(self) -> Message:
        """The latest of the most urgent sorts."""
        return max(reversed(self.sorts.values()), key=lambda message: message.urgency)

    def add(self, news: Message) -> None:
        before = self.sorts.pop(news.sort, None)
        if before is not None:
            count = before.count + news.count
            if before.urgency > news.urgency:
                news = replace(before, count=count)
            else:
                news = replace(news, count=count, at=before.at if news.text == before.text else news.at)
        elif len(self.sorts) >= MAX_SORTS:
            least = min(self.sorts.values(), key=lambda message: message.urgency)
            self.more += self.sorts.pop(least.sort).count
        self.sorts[news.sort] = news

    def folded(self) -> Message:
        """One message for all of them, which names the other sorts in its details."""
        first = self.first
        others = [f"also: {message.words}" for message in reversed(self.sorts.values()) if message is not first]
        more = [f"and {self.more} of other kinds"] if self.more else []
        return replace(first, details=(*first.details, *others, *more))


class Folding:
    """The messages that wait for their time. `now` must never decrease."""

    def __init__(self, now: float) -> None:
        self._pending: dict[Kind, _Pending] = {}
        self._sent: dict[Kind, float] = {}
        self._normal = Bucket(PER_HOUR, BURST, BURST, now)
        self._urgent = Bucket(URGENT_PER_HOUR, URGENT_BURST, URGENT_BURST, now)

    def add(self, news: Message | TakeBack, now: float) -> None:
        """Adds a message to those that wait, or takes back those that have not settled."""
        if isinstance(news, TakeBack):
            self._take_back(news.kind)
            return
        if news.takes_back is not None:
            self._take_back(news.takes_back)
        waiting = self._pending.get(news.kind)
        sent = self._sent.get(news.kind)
        pause = URGENT_SECONDS if news.urgency is Urgency.URGENT else KIND_SECONDS
        ready_at = max(now + news.settle, sent + pause if sent is not None else now)
        if waiting is None:
            self._pending[news.kind] = _Pending(ready_at, {news.sort: news})
            return
        waiting.ready_at = min(ready_at, max(waiting.ready_at, now + news.settle))
        waiting.add(news)

    def _take_back(self, kind: Kind) -> None:
        """Drops the messages of a kind that would have to settle, and no others of that kind."""
        waiting = self._pending.get(kind)
        if waiting is None:
            return
        waiting.sorts = {sort: message for sort, message in waiting.sorts.items() if not message.settle}
        if not waiting.sorts:
            del self._pending[kind]

    def due(self, now: float) -> tuple[Message, ...]:
        """Takes the messages whose time has come: together they are one notification. () if none may be sent now."""
        ready = self._ready(now)
        if not ready:
            return ()
        bucket = self._bucket(ready)
        if bucket.wait(now) > 0:
            return ()
        bucket.take()
        return self._take(ready, now)

    def rest(self, now: float) -> tuple[Message, ...]:
        """Takes everything, because the sandbox ends."""
        return self._take([pending.folded() for pending in self._pending.values()], now)

    def wait(self, now: float) -> float | None:
        """Seconds until `due` returns something, None if nothing waits."""
        if not self._pending:
            return None
        first = max(0.0, min(pending.ready_at for pending in self._pending.values()) - now)
        ready = self._ready(now)
        return self._bucket(ready).wait(now) if ready else first

    def _ready(self, now: float) -> list[Message]:
        return [pending.folded() for pending in self._pending.values() if pending.ready_at <= now]

    def _bucket(self, ready: list[Message]) -> Bucket:
        return self._urgent if any(message.urgency is Urgency.URGENT for message in ready) else self._normal

    def _take(self, messages: list[Message], now: float) -> tuple[Message, ...]:
        for message in messages:
            del self._pending[message.kind]
            self._sent[message.kind] = now
        return tuple(sorted(messages, key=lambda message: message.at))
