"""The refusals as rows, unacknowledged serious ones first, with the effect of the operator's actions on each."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping

from backend.contract.crowds import Suspicion
from backend.contract.events import Allowed, Via
from backend.contract.refusals import RefusalView, Rest, Severity, added_up, severity
from backend.contract.state import State
from codetainer_tui.lookalike import resembles
from codetainer_tui.refusal import USUAL_PORTS, cannot_allow, covers, entry, grant, listable_name, place, remedy, rule, what
from codetainer_tui.view.crowds import MAX_ALONE, Folded, sort_out
from codetainer_tui.view.parts import RefusedLine, Tone
from codetainer_tui.words import at_least, clock, clock_seconds, count, date, grouped, harmless, many, until, when

MAX_ROWS = 200
MAX_LISTED = 200  # members of a crowd in its details
FIRST_ALONE = 4  # serious refusals of one reason with a row of their own, if there are many
SPARK = "▁▂▃▄▅▆▇█"
SPARK_BARS, SPARK_MINUTES = 20, 3  # one hour, in bars of three minutes
IN_THE_LOG = "codetainer logs --serious lists them, as far back as the journal goes"
ONE_BY_ONE = "this row stands for many refusals: filter (/) to act on a single one"
SERIOUS_NAME = "serious: find out why the agent does this before you allow the name"
SERIOUS_OTHER = "serious: no entry of the allowlist can permit this"
WALLS = {"dns": "DNS", "firewall": "the firewall", "gate": "the gate"}
CROWD = "crowd "  # prefix of the key of a crowd's row
Row = tuple[float, RefusedLine]  # with the time that it is sorted by


def refused(
    state: State, now: float, *, seen_at: float, pending: Mapping[str, str], wanted: str = ""
) -> tuple[RefusedLine, ...]:
    """The rows of a state: unacknowledged serious ones, then the others, then acknowledged ones, each with the latest first.

    Rows first refused after `seen_at` are new; `pending` has notices by row, such as "asking …". `wanted` selects the rows that
    contain it, including muted ones. Without it, crowds are one row each.
    """
    source = _Rows(state, now, seen_at, pending)
    rows = list(source.wanted(wanted.lower()) if wanted else source.all())
    alarms = sorted((row for row in rows if row[1].alarm), key=lambda row: -row[0])
    others = sorted((row for row in rows if not row[1].alarm), key=lambda row: (row[1].acknowledged, -row[0]))
    return (*(row for _, row in alarms), *(row for _, row in others[:MAX_ROWS]))


def alarms(state: State, now: float) -> tuple[RefusedLine, ...]:
    """The unacknowledged serious refusals, the latest first, and a row with the number of those that were not stored."""
    rows = sorted(_Rows(state, now, now, {}).alarms(), key=lambda row: -row[0])
    return tuple(row for _, row in rows)


def is_muted(state: State, view: RefusalView, now: float) -> bool:
    """True if the refusal is counted but not shown. Serious refusals are never muted."""
    end = state.muted.get(view.latest.name or view.latest.address)
    return end is not None and (end == 0 or end > now) and severity(view.latest) is Severity.POLICY


def opening(state: State, view: RefusalView, now: float) -> Allowed | None:
    """The active grant that covers this refusal's name and port; of several, the one that lasts longest.

    A refusal by DNS has no port, because a name resolves if any of its ports is open.
    """
    name, port = listable_name(view.latest), view.latest.port
    grants = [
        each
        for each in state.allowed.values()
        if name and covers(each.name, name) and (not port or port in each.numbers) and (not each.until or each.until > now)
    ]
    if request := rule(view.latest):  # other requests that were allowed do not cover it
        grants = [each for each in grants if not each.grant or request in each.grant.split()]
    return max(grants, key=lambda each: each.until or math.inf, default=None)


def _suspicious(crowd: Folded) -> bool:
    return bool(crowd.suspicion)


class _Rows:
    """Makes the rows of a state at a moment."""

    def __init__(self, state: State, now: float, seen_at: float, pending: Mapping[str, str]) -> None:
        self._state, self._now, self._seen_at, self._pending = state, now, seen_at, pending

    def wanted(self, text: str) -> Iterator[Row]:
        """The individually stored refusals that contain `text`, a row each."""
        refusals = self._state.refusals
        for key, view in (*refusals.serious.items(), *refusals.policy()):
            row = self._one(key, view)
            if text in f"{row.what} {row.why} {row.by}".lower():
                yield view.last_at, row

    def all(self) -> Iterator[Row]:
        yield from self._serious()
        alone, folded = sort_out(self._state.refusals, lambda view: is_muted(self._state, view, self._now))
        for key, view in alone:
            yield view.last_at, self._one(key, view)
        yield from ((crowd.last_at, self._crowd(crowd)) for crowd in folded if not _suspicious(crowd))
        for alarm in (True, False):
            mine = [crowd for crowd in folded if _suspicious(crowd) and crowd.alarm is alarm]
            mine.sort(key=lambda crowd: crowd.first_at)
            first = mine if len(mine) <= MAX_ALONE else mine[:FIRST_ALONE]
            yield from ((crowd.last_at, self._crowd(crowd)) for crowd in first)
            for suspicion in Suspicion:
                left = [crowd for crowd in mine[len(first) :] if crowd.suspicion is suspicion]
                if left:
                    yield self._many_suspicious(suspicion, left)

    def alarms(self) -> Iterator[Row]:
        """The unacknowledged serious refusals and crowds."""
        refusals = self._state.refusals
        yield from ((view.last_at, self._one(key, view)) for key, view in refusals.serious.items() if view.alarm)
        yield from (self._many_serious(group, [], rest) for group, rest in refusals.more.items() if rest.alarm)
        _, folded = sort_out(refusals, lambda view: False)
        yield from ((crowd.last_at, self._crowd(crowd)) for crowd in folded if crowd.alarm)

    def _serious(self) -> Iterator[Row]:
        """Serious refusals. Of many with one reason, the first have a row each, so a later flood cannot bury them."""
        groups: dict[tuple[str, bool], list[tuple[str, RefusalView]]] = defaultdict(list)
        for key, view in self._state.refusals.serious.items():
            groups[view.group, view.alarm].append((key, view))
        for group, rest in self._state.refusals.more.items():
            groups[group, rest.alarm] += []
        for (group, alarm), members in groups.items():
            more = self._state.refusals.more.get(group)
            rest_here = more if more is not None and more.alarm is alarm else None
            first = members if len(members) <= MAX_ALONE and rest_here is None else members[:FIRST_ALONE]
            for key, view in first:
                yield view.last_at, self._one(key, view)
            left = [view for _, view in members[len(first) :]]
            if left or rest_here is not None:
                yield self._many_serious(group, left, rest_here)

    def _many_serious(self, group: str, left: list[RefusalView], more: Rest | None) -> Row:
        """One row for the remaining kinds of one reason. `more` counts those beyond the limit and stores only the last one."""
        views = [*left, *([more] if more is not None else [])]
        newest = max(views, key=lambda view: view.last_at)
        total = sum(view.count for view in views)
        kinds = len(left) + (more.kinds if more is not None else 0)
        # Acknowledged kinds beyond the limit are counted as refusals only, so their number is unknown.
        exact = (more is None or (more.exact and more.alarm)) and not any(added_up(view.latest) for view in left)
        amount = f"{at_least(kinds, exact=exact)} more" if kinds else many(total, "more refusal")
        reason = str(newest.latest.reason)
        each = [f"{grouped(view.count):>7}  {what(view.latest)}" for view in reversed(left[-MAX_LISTED:])]
        rest = [f"{grouped(more.count):>7}  of other kinds: {IN_THE_LOG}"] if more is not None else []
        full = (f"{amount}, {reason}", f"{many(total, 'time')}, last {clock_seconds(newest.last_at)}", *each, *rest)
        alarm = newest.alarm
        return newest.last_at, RefusedLine(
            key=f"more {group} {alarm}", last=when(newest.last_at, self._now), times=count(total),
            what=f"{amount}, latest {what(newest.latest)}", why=reason, by=harmless(newest.latest.program, 40),
            tone=Tone.BAD if alarm else Tone.PLAIN, new=any(view.first_at > self._seen_at for view in views), full=full,
            cannot=ONE_BY_ONE, severity=Severity.SERIOUS, alarm=alarm, acknowledged_as=group, count=total, kinds=kinds,
        )  # fmt: skip

    def _many_suspicious(self, suspicion: Suspicion, left: list[Folded]) -> Row:
        """One row for the tunnels, or scans, beyond the first few."""
        newest, total = max(left, key=lambda crowd: crowd.last_at), sum(crowd.count for crowd in left)
        title = f"{len(left)} more, latest {newest.title}"
        full = (title, f"{suspicion}, {many(total, 'time')}", *(f"{grouped(crowd.count):>7}  {crowd.title}" for crowd in left))
        return newest.last_at, RefusedLine(
            key=f"{CROWD}{suspicion} {newest.alarm}", last=when(newest.last_at, self._now), times=count(total), what=title,
            why=str(suspicion), by=harmless(newest.latest.program, 40), tone=Tone.BAD if newest.alarm else Tone.PLAIN,
            new=False, full=full, cannot=ONE_BY_ONE, severity=Severity.SERIOUS, alarm=newest.alarm,
            acknowledged_as=str(suspicion), count=total, kinds=sum(crowd.kinds for crowd in left),
        )  # fmt: skip

    def _crowd(self, crowd: Folded) -> RefusedLine:
        """The row of a crowd."""
        latest, suspicion = crowd.latest, crowd.suspicion
        reason = str(latest.reason)
        title = crowd.title + (f", latest {what(latest)}" if latest.via is not Via.DNS else "")
        each = [f"{grouped(view.count):>7}  {what(view.latest)}" for view in crowd.members[:MAX_LISTED]]
        left = crowd.kinds - len(each)
        full = (
            title, *([str(suspicion)] if suspicion else []), f"{reason}, {many(crowd.count, 'time')}", ONE_BY_ONE, *each,
            *([f"and {many(left, 'more', 'more')}, in the log"] if left > 0 else []),
        )  # fmt: skip
        alarm = crowd.alarm
        return RefusedLine(
            key=CROWD + crowd.key, last=when(crowd.last_at, self._now), times=count(crowd.count), what=title,
            why=f"{suspicion}, {reason}" if suspicion else reason, by=harmless(latest.program, 40),
            tone=Tone.BAD if alarm else Tone.PLAIN, new=any(view.first_at > self._seen_at for view in crowd.members),
            full=full, cannot=ONE_BY_ONE, severity=Severity.SERIOUS if suspicion else Severity.POLICY, alarm=alarm,
            acknowledged_as=crowd.key, count=crowd.count, kinds=crowd.kinds,
        )  # fmt: skip

    def _one(self, key: str, view: RefusalView) -> RefusedLine:
        state, latest = self._state, view.latest
        name = listable_name(latest)
        line = entry(name, {latest.port}, grant(latest)) if name else ""
        allowed = opening(state, view, self._now)
        reason = str(latest.reason)
        if name and (looks := resembles(name, state.listed)):
            reason += f", looks like {harmless(looks, 80)}"
        muted = is_muted(state, view, self._now)
        serious = severity(latest) is Severity.SERIOUS
        alarm = serious and view.alarm
        shown, tone = reason, Tone.BAD if alarm else Tone.PLAIN
        if notice := self._pending.get(key, ""):
            shown, tone = harmless(notice, 160), Tone.WARN
        elif allowed is not None:
            shown = f"allowed {until(allowed.until, self._now)}"
            carried = state.carried.get(name)
            if carried is not None and carried.last_at > view.last_at:  # traffic passed after the refusal
                shown += f", used {clock(carried.last_at)}"
            shown += ", muted" if muted else ""
        elif muted:
            shown = f"muted: {reason}"
        elif serious and not alarm:
            shown = f"acknowledged: {reason}"
        by = harmless(latest.program, 40)
        times = f"first {clock_seconds(view.first_at)}, last {clock_seconds(view.last_at)}, {date(view.last_at)}"
        full = (
            f"{what(latest)}",
            f"{reason}, refused by {WALLS[latest.via]}",
            *([SERIOUS_NAME if name else SERIOUS_OTHER] if serious else []),
            f"{many(view.count, 'time')}, {times}",
            *([f"name {harmless(latest.name)}"] if latest.name and latest.address else []),
            *(
                [f"address {harmless(latest.address)}  port {latest.port}  {harmless(latest.protocol)}"]
                if latest.address
                else []
            ),
            *([f"program {by}"] if by else []),
            *([f"uid {latest.uid}"] if latest.uid >= 0 else []),
            *([shown] if shown != reason else []),
            remedy(latest),
            *([f"{'if you trust it, ' if serious else ''}line for domains.conf: {line}"] if name else []),
        )
        return RefusedLine(
            key=key, name=name, ports=str(latest.port) if latest.port not in USUAL_PORTS else "",
            grant=grant(latest) if name else "", entry=line, cannot=cannot_allow(latest),
            muted_as=latest.name or latest.address, last=when(view.last_at, self._now), times=count(view.count),
            what=what(latest), why=shown, by=by, tone=tone, new=view.first_at > self._seen_at, full=full, muted=muted,
            opened_by=allowed.name if allowed is not None else "", target=place(latest),
            severity=Severity.SERIOUS if serious else Severity.POLICY, alarm=alarm, acknowledged_as=key, count=view.count,
        )  # fmt: skip


def summary(state: State, now: float, rows: tuple[RefusedLine, ...], *, filtered: bool = False) -> str:
    """`3 new   + 12 more kinds, in the log   41 in the last hour   2 muted`, or `none since boot`.

    `filtered`: the rows match the operator's filter, which cannot search dropped refusals.
    """
    if not state.refused_total:
        return "none since boot"
    new = sum(row.new for row in rows)
    hour = sum(refusals for minute, refusals in state.refused_minutes.items() if int(minute) > now // 60 - 60)
    muted = [view for _, view in state.refusals.policy() if is_muted(state, view, now)]
    # Kinds without a row: dropped, or beyond the last row.
    shown = sum(row.kinds for row in rows if row.severity is Severity.POLICY or row.key.startswith(CROWD)) + len(muted)
    more = state.refusals.kinds - (state.refusals.kept if filtered else shown)
    parts = (
        f"{new} new" if new else "",
        f"+ {many(more, 'more kind')}, in the log" if more > 0 else "",
        f"{grouped(hour)} in the last hour",
        f"{len(muted)} muted" if muted else "",
    )
    return "   ".join(part for part in parts if part)


def alarm_words(state: State) -> str:
    """`4 serious`, or `2 112+ serious` if the number is a lower bound; "" if all are acknowledged."""
    refusals = state.refusals
    return f"{grouped(refusals.alarms)}{'' if refusals.alarms_exact else '+'} serious" if refusals.alarms else ""


def alarm_summary(state: State) -> str:
    """`4 kinds   132 refusals since 11:56`; "" if all are acknowledged."""
    refusals = state.refusals
    active = [view for views in (refusals.serious, refusals.more) for view in views.values() if view.alarm]
    crowds = [crowd for crowd in refusals.crowds.values() if crowd.alarm]
    if not active and not crowds:
        return ""
    total = sum(view.count - view.acknowledged for view in active) + sum(one.count - one.acknowledged for one in crowds)
    first = min([*(one.first_at for one in active), *(one.first_at for one in crowds)])
    kinds = at_least(refusals.alarms, exact=refusals.alarms_exact)
    return f"{kinds} kind{'' if refusals.alarms == 1 else 's'}   {many(total, 'refusal')} since {clock(first)}"


def spark(state: State, now: float) -> str:
    """The last hour as bars, the newest on the right; "" if nothing was refused in it."""
    last = int(now // 60) // SPARK_MINUTES
    bars = [0] * SPARK_BARS
    for minute, refusals in state.refused_minutes.items():
        at = SPARK_BARS - 1 - (last - int(minute) // SPARK_MINUTES)
        if 0 <= at < SPARK_BARS:
            bars[at] += refusals
    most = max(bars)
    if not most:
        return ""
    return "".join(SPARK[-(-bar * (len(SPARK) - 1) // most)] for bar in bars)
