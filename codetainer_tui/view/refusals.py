"""The refusals: one row a kind, latest first, and what became of what the operator did about them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from backend.contract.events import Allowed
from backend.contract.state import RefusalView, State
from codetainer_tui.refusal import USUAL_PORTS, cannot_allow, covers, entry, listable_name, place, what, why
from codetainer_tui.view.crowds import crowds, kind
from codetainer_tui.view.crowds import row as crowd_row
from codetainer_tui.view.parts import RefusedLine, Tone
from codetainer_tui.words import clock, clock_seconds, count, date, grouped, harmless, many, until, when

MOST_ROWS = 200
SPARK = "▁▂▃▄▅▆▇█"
SPARK_BARS, SPARK_MINUTES = 20, 3  # the hour that stands beside it in words, in bars of three minutes


def refused(
    state: State, now: float, *, seen_at: float, pending: Mapping[str, str], wanted: str = ""
) -> tuple[RefusedLine, ...]:
    """Rows first refused after `seen_at` are new. `pending` says what is under way or was answered, by row.

    `wanted` leaves the rows that contain it, muted ones too. Without it, very many of one kind are one row.
    """
    rows: list[RefusedLine] = []
    shown = [(key, view) for key, view in reversed(list(state.refusals.items())) if wanted or not is_muted(state, view, now)]
    many_of_a_kind = {} if wanted else dict(crowds(view for _, view in shown))
    for key, view in shown:
        name = kind(view)
        if name in many_of_a_kind:
            members = many_of_a_kind[name]
            if members[0] is view:
                rows.append(crowd_row(name, members, now, seen_at, state.repository))
            continue
        row = _row(key, view, state, now, seen_at, pending.get(key, ""))
        if wanted and wanted.lower() not in f"{row.what} {row.why} {row.by}".lower():
            continue
        rows.append(row)
        if len(rows) == MOST_ROWS:
            break
    return tuple(rows)


def is_muted(state: State, view: RefusalView, now: float) -> bool:
    end = state.muted.get(view.latest.name or view.latest.address)
    return end is not None and (end == 0 or end > now)


def opening(state: State, view: RefusalView, now: float) -> Allowed | None:
    """What was allowed by hand for this row, its port too, and has not run out: of several, what is open for longest.

    A row of DNS's has no port: a name is answered where any of its ports is open.
    """
    name, port = listable_name(view.latest), view.latest.port
    found = [
        grant
        for grant in state.allowed.values()
        if name and covers(grant.name, name) and (not port or port in grant.numbers) and (not grant.until or grant.until > now)
    ]
    return max(found, key=lambda grant: grant.until or math.inf, default=None)


def _row(key: str, view: RefusalView, state: State, now: float, seen_at: float, said: str) -> RefusedLine:
    latest = view.latest
    name = listable_name(latest)
    allowed = opening(state, view, now)
    reason = why(latest, state.repository)
    muted = is_muted(state, view, now)
    shown, tone = reason, Tone.PLAIN
    if said:
        shown, tone = harmless(said, 160), Tone.WARN
    elif allowed is not None:
        shown = f"allowed {until(allowed.until, now)}"
        carried = state.carried.get(name)
        if carried is not None and carried.last_at > view.last_at:  # it was seen to work
            shown += f", used {clock(carried.last_at)}"
        shown += "  muted" if muted else ""
    elif muted:
        shown = f"muted  {reason}"
    by = harmless(latest.program, 40)
    times = f"first {clock_seconds(view.first_at)}, last {clock_seconds(view.last_at)}, {date(view.last_at)}"
    full = (
        f"{what(latest)}",
        f"{reason}, refused by {WALLS[latest.via]}",
        f"{many(view.count, 'time')}, {times}",
        *([f"name {harmless(latest.name)}"] if latest.name and latest.address else []),
        *([f"address {harmless(latest.address)}  port {latest.port}  {harmless(latest.protocol)}"] if latest.address else []),
        *([f"program {by}"] if by else []),
        *([f"uid {latest.uid}"] if latest.uid >= 0 else []),
        *([shown] if shown != reason else []),
        cannot_allow(latest) or f"line for domains.conf: {entry(name, {latest.port})}",
    )
    ports = str(latest.port) if latest.port not in USUAL_PORTS else ""
    return RefusedLine(
        key, name, ports, entry(name, {latest.port}) if name else "", cannot_allow(latest), latest.name or latest.address,
        when(view.last_at, now),
        count(view.count), what(latest), shown, by, tone, view.first_at > seen_at, full, muted,
        allowed.name if allowed is not None else "", place(latest),
    )  # fmt: skip


WALLS = {"dns": "DNS", "firewall": "the firewall", "gate": "the gate"}


def summary(state: State, now: float, rows: tuple[RefusedLine, ...]) -> str:
    """`3 new   41 in the last hour   2 muted`, or that there is nothing."""
    if not state.refusals:
        return "nothing since boot"
    new = sum(row.new for row in rows)
    hour = sum(refusals for minute, refusals in state.refused_minutes.items() if int(minute) > now // 60 - 60)
    muted = sum(is_muted(state, view, now) for view in state.refusals.values())
    parts = (f"{new} new" if new else "", f"{grouped(hour)} in the last hour", f"{muted} muted" if muted else "")
    return "   ".join(part for part in parts if part)


def spark(state: State, now: float) -> str:
    """The last hour as bars, the newest to the right; "" where nothing was refused in it."""
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
