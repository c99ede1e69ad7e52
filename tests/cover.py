"""`make cover`: measures test coverage by folder. Runs the unit tests, or those that match a name as in `make test`.

Includes processes that a test starts, except those in a sandbox, which cannot write the data file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("network", "backend", "codetainer_tui")
REPORT = ROOT / "build/coverage.json"


@dataclass(frozen=True, slots=True)
class Row:
    """The coverage of one folder, without its subfolders. Branches count like statements."""

    folder: str
    files: int
    statements: int
    missing: int

    @property
    def percent(self) -> float:
        return 100 * (1 - self.missing / self.statements) if self.statements else 100.0


def by_folder(report: Mapping[str, Any]) -> list[Row]:
    """Converts coverage's JSON report to one row for each folder, sorted, and one for the total."""
    counts: dict[str, list[tuple[int, int]]] = {}
    for file, measured in report["files"].items():
        summary = measured["summary"]
        total = summary["num_statements"] + summary.get("num_branches", 0)
        missing = summary["missing_lines"] + summary.get("missing_branches", 0)
        counts.setdefault(str(PurePath(file).parent), []).append((total, missing))
    everything = [file for files in counts.values() for file in files]
    return [_row(folder, counts[folder]) for folder in sorted(counts)] + [_row("all", everything)]


def _row(folder: str, files: Sequence[tuple[int, int]]) -> Row:
    return Row(folder, len(files), sum(total for total, _ in files), sum(missing for _, missing in files))


def table(rows: Sequence[Row]) -> str:
    width = max(len(row.folder) for row in rows)
    lines = [f"{'Folder':<{width}}  Files  Statements  Missing  Covered"]
    lines += [f"{r.folder:<{width}}  {r.files:>5}  {r.statements:>10}  {r.missing:>7}  {r.percent:>6.1f}%" for r in rows]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> int:
    """Runs the tests, prints the table and returns pytest's exit code, because coverage by failing tests means little."""
    name = argv[0] if argv else ""
    chosen = [name or "tests/unit"] if not name or name.startswith("tests/") else ["tests/unit", "tests/netns", "-k", name]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.unlink(missing_ok=True)
    options = [f"--cov={package}" for package in PACKAGES]
    code = pytest.main(["-q", *options, f"--cov-report=json:{REPORT}", *chosen])
    if REPORT.is_file():
        sys.stdout.write("\n" + table(by_folder(json.loads(REPORT.read_text()))))
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
