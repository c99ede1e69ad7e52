"""`codetainer status`: how the sandbox is, for people, for programs and, in its exit code, for health checks."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import textwrap
import time
from collections.abc import Sequence

from backend.contract import shell
from backend.contract.paths import Paths
from backend.contract.state import State
from codetainer_tui.ask import NONE_HERE, NONE_HERE_HINT, supervised
from codetainer_tui.recommendation import Wanted, wanted
from codetainer_tui.refusal import USUAL_PORTS
from codetainer_tui.state import current
from codetainer_tui.view import Condition, RefusedLine, View, view
from codetainer_tui.view.walls import table
from codetainer_tui.words import many

EXIT_CODES = {Condition.READY: 0, Condition.DEGRADED: 1, Condition.BOOTING: 1, Condition.CLOSED: 2}
SHOWN_REFUSALS = 5
WIDTH = 96


def status(paths: Paths, *, as_json: bool, only_walls: bool = False) -> int:
    """Prints; returns 0 well, 1 degraded or booting, 2 closed or failed, which is also what no sandbox at all is."""
    if not paths.journal.exists():
        if as_json:
            sys.stdout.write(json.dumps({"condition": "none"}) + "\n")
        sys.stderr.write(f"codetainer: {NONE_HERE}\n  {NONE_HERE_HINT}\n")
        return 2
    now = time.time()
    state = current(paths)
    found = view(state, now, seen_at=now, supervised=supervised(paths.control))
    if only_walls:
        sys.stdout.write(table(found.walls) if found.walls else "the walls have not been tried yet\n")
        return EXIT_CODES[found.headline.condition]
    operator = os.geteuid() == 0
    sys.stdout.write(for_programs(found) if as_json else text(found, wanted(state, now), operator=operator))
    return EXIT_CODES[found.headline.condition]


def text(found: View, wanted: Sequence[Wanted] = (), *, operator: bool) -> str:
    """A few lines, the most important first. Who is not the operator learns what to ask for, if anything is `wanted`."""
    head = found.headline
    lines = ["  ".join(part for part in (head.word, head.alarm, head.text, found.place, found.up) if part)]
    alarms = [row for row in found.refused if row.alarm]
    if alarms:
        lines += ["", f"! Serious   {found.alarm_summary}"]
        lines += _rows(alarms)
        lines.append("  codetainer acknowledge, when you have seen them; codetainer freeze stops the agent")
    for block in found.blocks:
        lines.append("")
        lines.append(" ".join(part for part in ("!", block.title, f"({block.since})" if block.since else "") if part))
        for line in block.lines:
            lines += textwrap.wrap(line, WIDTH, initial_indent="  ", subsequent_indent="  ") or [""]
    running = [step for step in found.steps if found.booting and step.word != "done"]
    if running:
        lines.append("")
        lines += [f"  {step.glyph} {step.title:<22} {step.word}  {step.detail}".rstrip() for step in running]
    lines += ["", *(f"{row.label:<9} {row.text}" for row in found.rows), ""]
    lines.append(f"{'Refused':<9} {found.refused_summary}")
    others = [row for row in found.refused if not row.alarm]
    lines += _rows(others[:SHOWN_REFUSALS])
    if len(others) > SHOWN_REFUSALS:
        lines.append(f"  and {len(others) - SHOWN_REFUSALS} more: codetainer logs")
    advice = _advice(found, wanted, operator=operator)
    if advice:
        lines += ["", advice]
    return "\n".join(lines) + "\n"


def alarms(state: State) -> list[str]:
    """The serious refusals that nobody has acknowledged, a line each."""
    now = time.time()
    return _rows([row for row in view(state, now, seen_at=now).refused if row.alarm])


def _rows(shown: Sequence[RefusedLine]) -> list[str]:
    width = max((len(row.what) for row in shown), default=0)
    lines = (f"  {row.last:>6}  {row.times:>4} x  {row.what:<{width}}  {row.why}" for row in shown)
    return [line + (f", by {row.by}" if row.by else "") for line, row in zip(lines, shown, strict=True)]


def _advice(found: View, wanted: Sequence[Wanted], *, operator: bool) -> str:
    """One line: what to do, or what to ask the operator for. Of what was refused, the most: never just what came last."""
    asked = next((one for one in wanted if one.recommended), None)
    if found.headline.condition is Condition.CLOSED:
        command = "codetainer thaw" if found.frozen else "codetainer retry" if found.halted else ""
    elif asked is not None:
        ports = ",".join(str(port) for port in sorted(asked.ports - set(USUAL_PORTS)))
        command = shell.command("codetainer", "allow", asked.name, *(("--port", ports) if ports else ()), "--for", "1h")
        command += f"   (refused {many(asked.count, 'time')}, if the work needs it)"
    else:
        command = ""
    return command and f"{'try' if operator else 'ask the operator'}: {command}"


def for_programs(found: View) -> str:
    """The View as JSON, with a condition and what a program needs to decide. `serious` counts what is to be acknowledged."""
    body = dataclasses.asdict(found)
    body["condition"] = found.headline.condition
    body["serious"] = found.alarms
    del body["full"], body["listed"]  # says the same in sentences; of the list, codetainer allowed has more
    return json.dumps(body, indent=2) + "\n"
