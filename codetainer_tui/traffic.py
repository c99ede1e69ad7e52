"""`codetainer traffic`: what the gate carried, by name."""

from __future__ import annotations

import dataclasses
import json
import sys
import time

from backend.contract.events import Carried
from backend.contract.paths import Paths
from backend.contract.state import State
from codetainer_tui.state import current
from codetainer_tui.words import ago, grouped, harmless, size

HEADS = ("name", "connections", "open now", "in", "out", "last")


def busiest(state: State) -> list[Carried]:
    """Names by what they moved, the most first."""
    return sorted(state.carried.values(), key=lambda carried: carried.bytes_in + carried.bytes_out, reverse=True)


def table(state: State, now: float) -> str:
    """Columns as wide as what stands in them; one sentence where nothing was carried."""
    if not state.carried:
        return "nothing has been carried\n" if state.gate else "without the gate nothing is counted by name\n"
    rows = [HEADS, *(_row(carried, now) for carried in busiest(state))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def _row(carried: Carried, now: float) -> tuple[str, ...]:
    return (
        harmless(carried.name, 80), grouped(carried.connections), grouped(carried.open_now), size(carried.bytes_in),
        size(carried.bytes_out), ago(carried.last_at, now),
    )  # fmt: skip


def traffic(paths: Paths, *, as_json: bool) -> int:
    """Prints the table. Exit code 2 without a journal."""
    state = current(paths)
    if state.boot is None:
        sys.stderr.write("codetainer: there is no journal here: no sandbox has booted\n")
        return 2
    if as_json:
        sys.stdout.write(json.dumps([dataclasses.asdict(carried) for carried in busiest(state)], indent=2) + "\n")
    else:
        sys.stdout.write(table(state, time.time()))
    return 0
