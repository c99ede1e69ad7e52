"""The gate's traffic by name, the latest first."""

from __future__ import annotations

from backend.contract.state import State
from codetainer_tui.view.parts import TrafficLine
from codetainer_tui.words import ago, grouped, harmless, size


def traffic(state: State, now: float) -> tuple[TrafficLine, ...]:
    carried = sorted(state.carried.values(), key=lambda one: one.last_at, reverse=True)
    return tuple(
        TrafficLine(
            harmless(one.name, 253),
            "with credential" if one.credential else "",
            grouped(one.connections),
            f"{grouped(one.open_now)} open" if one.open_now else "",
            size(one.bytes_in),
            size(one.bytes_out),
            ago(one.last_at, now).removesuffix(" ago"),
            ", ".join(filter(None, ("cookies dropped" if one.name in state.cookies else "", harmless(one.marked, 60)))),
        )
        for one in carried
    )
