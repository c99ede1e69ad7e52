"""`codetainer status`: how the sandbox is, for people, for programs and, in its exit code, for health checks."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import textwrap
import time

from backend.contract import shell
from backend.contract.paths import Paths
from codetainer_tui.ask import NONE_HERE, NONE_HERE_HINT, supervised
from codetainer_tui.state import current
from codetainer_tui.view import Condition, View, view
from codetainer_tui.view.walls import table

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
    found = view(current(paths), now, seen_at=now, supervised=supervised(paths.control))
    if only_walls:
        sys.stdout.write(table(found.walls) if found.walls else "the walls have not been tried yet\n")
        return EXIT_CODES[found.headline.condition]
    operator = os.geteuid() == 0
    sys.stdout.write(for_programs(found) if as_json else text(found, operator=operator))
    return EXIT_CODES[found.headline.condition]


def text(found: View, *, operator: bool) -> str:
    """A few lines, the most important first. Who is not the operator learns what to ask for."""
    lines = ["  ".join(part for part in (found.headline.word, found.headline.text, found.place, found.up) if part)]
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
    shown = found.refused[:SHOWN_REFUSALS]
    width = max((len(line.what) for line in shown), default=0)
    for row in shown:
        by = f", by {row.by}" if row.by else ""
        lines.append(f"  {row.last:>6}  {row.times:>4} x  {row.what:<{width}}  {row.why}{by}")
    if len(found.refused) > SHOWN_REFUSALS:
        lines.append(f"  and {len(found.refused) - SHOWN_REFUSALS} more: codetainer logs")
    advice = _advice(found, operator=operator)
    if advice:
        lines += ["", advice]
    return "\n".join(lines) + "\n"


def _advice(found: View, *, operator: bool) -> str:
    """One line: what to do, or what to ask the operator for."""
    wanted = next((line for line in found.refused if line.name and not line.why.startswith("allowed")), None)
    if found.headline.condition is Condition.CLOSED:
        command = "codetainer thaw" if found.frozen else "codetainer retry" if found.halted else ""
    elif wanted is not None:
        port = ("--port", wanted.ports) if wanted.ports else ()
        command = shell.command("codetainer", "allow", wanted.name, *port, "--for", "1h")
    else:
        command = ""
    return command and f"{'try' if operator else 'ask the operator'}: {command}"


def for_programs(found: View) -> str:
    """The View as JSON, with a condition and what a program needs to decide."""
    body = dataclasses.asdict(found)
    body["condition"] = found.headline.condition
    del body["full"]  # says the same in sentences
    return json.dumps(body, indent=2) + "\n"
