"""The report that the notifier sends by itself (CODETAINER_REPORT): when, and its text. Pure.

A notification has room for a few lines, so this is a summary in our own words and numbers. `codetainer report` has everything.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from backend.contract import unsaved
from backend.contract.day import BUCKET_SECONDS, MarkKind
from backend.contract.durations import DAY, MINUTE, lasting
from backend.contract.events import RepositoryWork
from backend.contract.state import State
from backend.notify.lines import clean
from backend.notify.messages import Kind, Message, Urgency

SETTLE_SECONDS = 1.0  # a newer report takes the place of one that waits
MAX_WRITES = 5  # that are named if the operator wants the agent's text


@dataclass(slots=True)
class Schedule:
    """The daily report. `at` is in seconds after midnight, UTC; None: no daily report. Times are in seconds since the epoch."""

    at: float | None
    next_at: float = 0.0

    def due(self, now: float) -> bool:
        """True once a day, when its time has come. A clock that is set back or forward causes no second one for that time."""
        if self.at is None:
            return False
        following = now - (now - self.at) % DAY + DAY
        if not self.next_at or self.next_at - now > DAY:  # the first call, or the clock was set back
            self.next_at = following
            return False
        if now < self.next_at:
            return False
        self.next_at = following
        return True

    def wait(self, now: float) -> float | None:
        """Seconds until `due` is to be asked again: at least every minute, because the clock may be set."""
        return None if self.at is None else min(MINUTE, max(0.0, self.next_at - now))


def message(state: State, since: float, now: float, *, with_text: bool = False) -> Message:
    """The report on a state from `since` (0: from the beginning of the record) until now."""
    begin = max(since, state.day.since or state.started_at)
    text = f"report on the last {lasting(now - begin)}"
    return Message(Kind.REPORT, Urgency.NORMAL, text, now, tuple(_lines(state, begin, now, with_text)), settle=SETTLE_SECONDS)


def _lines(state: State, begin: float, now: float, with_text: bool) -> Iterator[str]:
    spent = state.day.seconds(begin, now)
    yield f"from {_moment(begin)} to {_moment(now)}"
    if state.learning:
        yield "LEARNING RUN: every public name was open"
    yield ", ".join(f"{doing} {lasting(seconds)}" for doing, seconds in spent.items()) or "no activity is recorded"
    yield f"now: {state.session_state}" + (", frozen" if state.frozen else "") + (", closed" if state.needs_retry else "")
    marks = [mark for mark in state.day.marks if begin <= mark.at <= now]
    writes = [mark for mark in marks if mark.kind is MarkKind.WRITE]
    yield f"pushed and written: {len(writes)}"
    if with_text:
        yield from (f"  {clean(mark.text)} {clean(mark.link)}".rstrip() for mark in writes[-MAX_WRITES:])
    yield f"work that is only here: {_unsaved(state)}"
    policy, serious = _refused(state, begin)
    alarms = state.refusals.alarms
    open_alarms = f", {alarms} {'kind' if alarms == 1 else 'kinds'} not acknowledged" if alarms else ""
    yield f"refusals: {policy + serious}, {serious} of them serious{open_alarms}"
    if state.allowed:
        yield f"opened by hand and still open: {len(state.allowed)}"
    if state.model is not None and state.model.calls:
        yield f"the model, since boot: {state.model.calls} calls, about ${state.model.cost:.2f}"
    if wrong := sum(mark.bad for mark in marks):
        yield f"went wrong: {wrong} events"
    yield "codetainer report has all of it"


def _refused(state: State, begin: float) -> tuple[int, int]:
    counts = [both for bucket, both in state.day.refused.items() if (int(bucket) + 1) * BUCKET_SECONDS > begin]
    return sum(policy for policy, _ in counts), sum(serious for _, serious in counts)


def _unsaved(state: State) -> str:
    """What would be lost with the sandbox, in numbers. An unknown amount is never called none."""
    if state.work is None or state.work.problem:
        return "not known"
    parts = [unsaved.joined(unsaved.amounts(work)) or unsaved.UNKNOWN for work in state.work.repositories if _has(work)]
    return "; ".join(parts[:MAX_WRITES]) + ("; and more" if len(parts) > MAX_WRITES else "") if parts else "none"


def _has(work: RepositoryWork) -> bool:
    return bool(work.anything or work.notes)


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
