"""`codetainer traffic`: the gate's traffic by name."""

from __future__ import annotations

import dataclasses
import json
import sys
import time

from backend.contract.paths import Paths
from backend.contract.state import State
from codetainer_tui.state import current
from codetainer_tui.view.machinery import model
from codetainer_tui.view.traffic import traffic as lines
from codetainer_tui.words import columns

HEADS = ("name", "connections", "open now", "in", "out", "last", "")


def table(state: State, now: float) -> str:
    """The table, the latest name first; one sentence if there was no traffic."""
    if not state.carried:
        return "no traffic yet\n" if state.gate else "traffic is not counted, because the gate is off\n"
    rows = [
        (one.name, one.connections, one.open_now.removesuffix(" open"), one.bytes_in, one.bytes_out, one.last,
         ", ".join(filter(None, (one.marked, one.note))))
        for one in lines(state, now)
    ]  # fmt: skip
    return columns([HEADS, *rows])


def traffic(paths: Paths, *, as_json: bool) -> int:
    """Prints the table. Exit code 2 without a journal."""
    state = current(paths)
    if state.boot is None:
        sys.stderr.write("codetainer: no journal here: no sandbox has booted\n")
        return 2
    if as_json:
        latest = sorted(state.carried.values(), key=lambda carried: carried.last_at, reverse=True)
        sys.stdout.write(json.dumps([dataclasses.asdict(carried) for carried in latest], indent=2) + "\n")
    else:
        sys.stdout.write(table(state, time.time()))
        if used := model(state):
            sys.stdout.write(f"model: {', '.join(used.cells)}\n")
    return 0
