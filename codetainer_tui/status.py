"""`codetainer status`: the state of the sandbox as text, as JSON and, for health checks, as exit code."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import textwrap
import time
from collections.abc import Sequence

from backend.contract import shell
from backend.contract.events import JournalSealed
from backend.contract.paths import Paths
from codetainer_tui.ask import NONE_HERE, NONE_HERE_HINT, supervised
from codetainer_tui.recommendation import Wanted, wanted
from codetainer_tui.refusal import USUAL_PORTS
from codetainer_tui.state import current
from codetainer_tui.view import Condition, RefusedLine, View, view
from codetainer_tui.view.parts import LABEL_CELLS
from codetainer_tui.view.refusals import IN_THE_LOG, ONE_BY_ONE
from codetainer_tui.view.walls import notes, table
from codetainer_tui.words import many

EXIT_CODES = {Condition.READY: 0, Condition.DEGRADED: 1, Condition.BOOTING: 1, Condition.CLOSED: 2}
SHOWN_REFUSALS = 5
WIDTH = 96


def status(paths: Paths, *, as_json: bool, only_walls: bool = False) -> int:
    """Prints the state. Exit code 0: ready; 1: degraded or booting; 2: closed, failed, or no sandbox."""
    if not paths.journal.exists():
        if as_json:
            sys.stdout.write(json.dumps({"condition": "none"}) + "\n")
        sys.stderr.write(f"codetainer: {NONE_HERE}\n  {NONE_HERE_HINT}\n")
        return 2
    now = time.time()
    state = current(paths)
    shown = view(state, now, seen_at=now, supervised=supervised(paths.control))
    if only_walls:
        sys.stdout.write(table(shown.walls) + notes(state) if shown.walls else "the self-test has not run yet\n")
        return EXIT_CODES[shown.headline.condition]
    operator = os.geteuid() == 0
    sys.stdout.write(for_programs(shown, state.sealed) if as_json else text(shown, wanted(state, now), operator=operator))
    return EXIT_CODES[shown.headline.condition]


def text(shown: View, wanted: Sequence[Wanted] = (), *, operator: bool) -> str:
    """The state in a few lines, the most important first, and advice, which depends on whether the reader is the operator."""
    head = shown.headline
    lines = ["  ".join(part for part in (shown.sandbox, head.word, head.alarm, head.text, shown.place, shown.up) if part)]
    alarms = [row for row in shown.refused if row.alarm]
    if alarms:
        lines += ["", f"! Serious   {shown.alarm_summary}"]
        lines += lines_of(alarms)
        lines.append("  Run codetainer acknowledge to mark these as seen, or codetainer freeze to stop the agent.")
    for block in shown.blocks:
        lines.append("")
        lines.append(" ".join(part for part in ("!", block.title, f"({block.since})" if block.since else "") if part))
        for line in block.lines:
            lines += textwrap.wrap(line, WIDTH, initial_indent="  ", subsequent_indent="  ") or [""]
    running = [step for step in shown.steps if shown.booting and step.word != "done"]
    if running:
        lines.append("")
        lines += [f"  {step.glyph} {step.title:<22} {step.word}  {step.detail}".rstrip() for step in running]
    lines += ["", *(f"{row.label:<{LABEL_CELLS}} {row.text}" for row in shown.rows), ""]
    lines.append(f"{'Refused':<{LABEL_CELLS}} {shown.refused_summary}")
    others = [row for row in shown.refused if not row.alarm and not row.acknowledged]
    lines += _rows(others[:SHOWN_REFUSALS])
    if len(others) > SHOWN_REFUSALS:
        lines.append(f"  and {len(others) - SHOWN_REFUSALS} more: codetainer logs")
    seen = [row for row in shown.refused if row.acknowledged]
    if seen:
        kinds, times = sum(row.kinds for row in seen), sum(row.count for row in seen)
        lines.append(f"  {many(kinds, 'acknowledged serious kind')} ({many(times, 'refusal')}): codetainer logs --serious")
    advice = _advice(shown, wanted, operator=operator)
    if advice:
        lines += ["", advice]
    return "\n".join(lines) + "\n"


def lines_of(alarms: Sequence[RefusedLine]) -> list[str]:
    """Serious refusals, one line each. If a row sums up several, the last line says where to read them individually."""
    return [*_rows(alarms), *([f"  {IN_THE_LOG}"] if any(row.cannot == ONE_BY_ONE for row in alarms) else [])]


def _rows(shown: Sequence[RefusedLine]) -> list[str]:
    width = max((len(row.what) for row in shown), default=0)
    lines = (f"  {row.last:>6}  {row.times:>4} x  {row.what:<{width}}  {row.why}" for row in shown)
    return [line + (f", by {row.by}" if row.by else "") for line, row in zip(lines, shown, strict=True)]


def _advice(shown: View, wanted: Sequence[Wanted], *, operator: bool) -> str:
    """One line with the next command, "" if none. Recommends the name refused most: the agent could choose the latest."""
    name = next((one for one in wanted if one.recommended), None)
    note = ""
    if shown.headline.condition is Condition.CLOSED:
        command = "codetainer thaw" if shown.frozen else "codetainer retry" if shown.needs_retry else ""
    elif name is not None:
        ports = ",".join(str(port) for port in sorted(name.ports - set(USUAL_PORTS)))
        limits = ("--grant", name.grant) if name.rules else ("--read",) if name.grant else ()
        command = shell.command("codetainer", "allow", name.name, *(("--port", ports) if ports else ()), *limits, "--for", "1h")
        note = f"   (refused {many(name.count, 'time')}; only if the work needs it)"
    else:
        command = ""
    return command and f"{'try' if operator else 'ask the operator to run'}: {command}{note}"


def for_programs(shown: View, sealed: JournalSealed | None = None) -> str:
    """The View as JSON, with the condition, for programs. `serious` counts unacknowledged serious refusals.

    `journal` has the head and the next key of the journal's last seal, for `codetainer verify`.
    """
    body = dataclasses.asdict(shown)
    body["condition"] = shown.headline.condition
    body["serious"] = shown.alarms
    body["journal"] = {"head": sealed.head, "key": sealed.key} if sealed else None
    del body["full"], body["listed"]  # `full` repeats the other fields as sentences; `codetainer allowed` prints the allowlist
    return json.dumps(body, indent=2) + "\n"
