"""Everything about a sandbox as text, for reading and copying: screens have room for a part of it only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backend.contract.state import State
from codetainer_tui.view.parts import LABEL_CELLS, Block, Headline, Row, TrafficLine
from codetainer_tui.words import harmless, until


def everything(
    state: State,
    now: float,
    head: Headline,
    blocks: Sequence[Block],
    rows: Sequence[Row],
    traffic: Sequence[TrafficLine],
    *,
    place: str,
    up: str,
) -> tuple[str, ...]:
    """Returns the lines. Two or more spaces separate a label from its text."""
    return tuple(_lines(state, now, head, blocks, rows, traffic, "   ".join(part for part in (place, up) if part)))


def _lines(
    state: State,
    now: float,
    head: Headline,
    blocks: Sequence[Block],
    rows: Sequence[Row],
    traffic: Sequence[TrafficLine],
    about: str,
) -> Iterator[str]:
    yield "  ".join(part for part in (harmless(state.name, 64), head.word, head.alarm, head.text) if part)
    if about:
        yield about
    for block in blocks:
        yield ""
        yield "  ".join(part for part in (block.title, block.since) if part)
        yield from (f"  {line}" for line in block.lines)
        yield from (f"  {key}" for key in block.keys)
    yield ""
    yield from (f"{row.label:<{LABEL_CELLS}} {row.text}" for row in rows)
    by_hand = [entry for entry in state.allowed.values() if not entry.until or entry.until > now]
    if by_hand:
        yield ""
        yield "Allowed by hand"
        for entry in by_hand:
            ports = f" ports {harmless(entry.ports, 40)}" if entry.ports else ""
            only = f" only {harmless(entry.grant, 120)}" if entry.grant else ""
            yield f"  {harmless(entry.name, 253)}{ports}{only}  {until(entry.until, now)}" + (
                f", by {harmless(entry.by, 40)}" if entry.by else ""
            )
    muted = {name: end for name, end in state.muted.items() if not end or end > now}
    if muted:
        yield ""
        yield "Muted"
        yield from (f"  {harmless(name, 253)}  {until(end, now) if end else 'until unmuted'}" for name, end in muted.items())
    if traffic:
        yield ""
        yield "Traffic"
        for one in traffic:
            parts = (
                one.marked,
                one.note,
                f"{one.connections} {'connection' if one.connections == '1' else 'connections'}",
                one.open_now,
                f"in {one.bytes_in}",
                f"out {one.bytes_out}",
            )
            yield f"  {one.name}  {', '.join(part for part in parts if part)}, last {one.last}"
