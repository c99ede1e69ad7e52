"""`make bench BESIDE=FOLDER`: runs the same measurements in this checkout and another one, alternating.

The other checkout needs its own `.venv` and `build` (run `make setup` there). Each round runs every measurement in one checkout
right after the other, so that changes in the machine's speed affect both.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROUNDS = 3
SECONDS = 1800.0  # for one measurement
_COLUMNS = re.compile(r" {2,}")


def measure(checkout: Path, names: tuple[str, ...]) -> dict[str, tuple[float, str]]:
    """Runs `python -m tests.bench NAME...` in a checkout. Returns the value and unit of each row of its table."""
    command = [str(checkout / ".venv/bin/python"), "-m", "tests.bench", *names]
    done = subprocess.run(
        command, cwd=checkout, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    rows = {}
    for line in done.stdout.splitlines()[1:]:
        name, value, unit, *_ = [*_COLUMNS.split(line), "", ""]
        rows[name] = (float(value), unit)
    if not rows:
        print(f"cannot measure {', '.join(names)} in {checkout}: {done.stderr[-500:]}", file=sys.stderr)
    return rows


def compare(other: Path, wanted: list[str], rounds: int = ROUNDS) -> str:
    """Returns a table with name, unit, medians there and here, ratio here/there, and the spread (max/min) of each side."""
    from tests.bench.__main__ import measurements

    names = [group for group in measurements() if not wanted or set(wanted) & set(group)]
    values: defaultdict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    units: dict[str, str] = {}
    for number in range(rounds):
        for group in names:
            print(f"round {number + 1} of {rounds}: {', '.join(group)}", file=sys.stderr, flush=True)
            sides = ((0, other), (1, ROOT)) if number % 2 == 0 else ((1, ROOT), (0, other))
            for side, checkout in sides:
                for name, (value, unit) in measure(checkout, group).items():
                    values[name][side].append(value)
                    units[name] = unit
    lines = [("name", "unit", "there", "here", "ratio", "spread there", "spread here")]
    for name, (there, here) in values.items():
        if there and here:
            before, now = statistics.median(there), statistics.median(here)
            ratio = f"{now / before:.3f}" if before else ""
            lines.append((name, units[name], f"{before:.4g}", f"{now:.4g}", ratio, _spread(there), _spread(here)))
        else:
            lines.append((name, units[name], f"{len(there)} values", f"{len(here)} values", "", "", ""))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def _spread(values: list[float]) -> str:
    return f"{max(values) / min(values):.3f}" if min(values) > 0 else ""
