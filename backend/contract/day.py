"""The last two days of a sandbox in bounded form: the agent's activity, refusals over time, and what happened when. Pure.

It is part of the state, and thus of the journal's snapshots: unlike the single events, it survives the journal's rotation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum

from backend.contract.immutable import dataclass

KEPT_SECONDS = 48 * 3600.0
BUCKET_SECONDS = 600  # of the refusals over time
MAX_SPANS = 600
SHORT_SECONDS = 60.0  # spans that are dropped first if there are too many
MAX_MARKS = 100  # of each kind


class Doing(StrEnum):
    """What the sandbox and its agent were doing during a span. The order is that of a legend."""

    WORKING = "working"
    WAITING = "waiting for you"
    IDLE = "idle"
    LIMITED = "at a limit"
    FAILING = "no answers of the model"
    STUCK = "stuck"
    FROZEN = "frozen"
    CLOSED = "closed"
    STARTING = "starting"
    ENDED = "no agent"
    UNKNOWN = "not known"
    STOPPED = "stopped"


class MarkKind(StrEnum):
    """The kind of a moment in the day."""

    BOOT = "boot"
    GRANT = "grant"
    FREEZE = "freeze"
    WRITE = "write"
    SAVE = "save"
    BUDGET = "budget"
    LIMIT = "limit"
    PROTECTION = "protection"
    FAULT = "fault"
    SEEN = "acknowledged"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Span:
    """From `at` (seconds since the epoch) until the next span begins, or until now."""

    at: float
    doing: Doing


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment. `text` may contain text from outside: escape it before you show it. `bad`: something went wrong."""

    at: float
    kind: MarkKind
    text: str
    by: str = ""
    bad: bool = False
    link: str = ""


@dataclass(frozen=True, slots=True)
class Day:
    """`refused` maps the number of a bucket (at // BUCKET_SECONDS) to its policy and serious refusals.

    `dropped` counts the marks that did not fit, by kind. `thinned`: there were too many spans, and short ones were joined with
    the one before. `since` is the time from which on the record is complete.
    """

    since: float = 0.0
    spans: tuple[Span, ...] = ()
    marks: tuple[Mark, ...] = ()
    refused: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    thinned: bool = False

    def doing(self, at: float, doing: Doing) -> Day:
        """The day with a new activity from a time on; the same day if the activity has not changed."""
        if self.spans and self.spans[-1].doing is doing:
            return self
        spans, since = (*self.spans, Span(at, doing)), self.since or at
        oldest = at - KEPT_SECONDS
        if len(spans) > 1 and spans[1].at < oldest:
            first = next(i for i in reversed(range(len(spans))) if spans[i].at < oldest)
            spans, since = spans[first:], max(since, oldest)
        if len(spans) <= MAX_SPANS:
            return replace(self, spans=spans, since=since)
        spans = _thinned(spans)
        return replace(self, spans=spans, since=max(since, spans[0].at), thinned=True)

    def marked(self, mark: Mark) -> Day:
        """The day with another mark."""
        oldest = mark.at - KEPT_SECONDS
        marks = [one for one in self.marks if one.at >= oldest]
        same = [one for one in marks if one.kind is mark.kind]
        if len(same) < MAX_MARKS:
            return replace(self, since=self.since or mark.at, marks=(*marks, mark))
        marks.remove(next((one for one in same if not one.bad), same[0]))
        dropped = {**self.dropped, mark.kind: self.dropped.get(mark.kind, 0) + 1}
        return replace(self, marks=(*marks, mark), dropped=dropped)

    def refusing(self, counts: Sequence[tuple[float, int, bool]]) -> Day:
        """The day with further refusals: each with its time, its count, and true if it is serious."""
        refused = dict(self.refused)
        for at, count, serious in counts:
            bucket = str(int(at // BUCKET_SECONDS))
            policy, grave = refused.get(bucket, (0, 0))
            refused[bucket] = (policy, grave + count) if serious else (policy + count, grave)
        if counts:
            oldest = (counts[-1][0] - KEPT_SECONDS) // BUCKET_SECONDS
            refused = {bucket: both for bucket, both in refused.items() if int(bucket) >= oldest}
        return replace(self, refused=refused)

    def seconds(self, since: float, until: float) -> dict[Doing, float]:
        """The time spent on each activity between two times, without the activities that did not occur."""
        spent: dict[Doing, float] = {}
        for begin, end, doing in self.between(since, until):
            spent[doing] = spent.get(doing, 0.0) + end - begin
        return {doing: spent[doing] for doing in Doing if doing in spent}

    def between(self, since: float, until: float) -> list[tuple[float, float, Doing]]:
        """The spans between two times, each with its begin and end."""
        ends = [*(span.at for span in self.spans[1:]), until]
        cut = [(max(span.at, since), min(end, until), span.doing) for span, end in zip(self.spans, ends, strict=False)]
        return [one for one in cut if one[0] < one[1]]


def _thinned(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Joins short spans of the older half with the ones before them; drops the oldest spans if that is not enough."""
    half, kept = len(spans) // 2, [spans[0]]
    for i in range(1, len(spans)):
        short = i < half and spans[i + 1].at - spans[i].at < SHORT_SECONDS
        if not short and spans[i].doing is not kept[-1].doing:
            kept.append(spans[i])
    return tuple(kept[-(MAX_SPANS // 4 * 3) :])
