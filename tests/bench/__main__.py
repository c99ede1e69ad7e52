"""`python -m tests.bench [--beside CHECKOUT] [NAME ...]`: runs all measurements, or the named ones, and prints a table.

Writes build/bench.json if all were run. With --beside, another checkout is measured, too; see beside.py.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from tests import bench
from tests.bench import beside
from tests.bench.rows import Measurement, Row, register, table

RESULT = Path(__file__).parents[2] / "build/bench.json"


def measurements() -> Mapping[tuple[str, ...], Measurement]:
    """Returns all measurements by the names of their rows."""
    for module in pkgutil.iter_modules(bench.__path__):
        if module.name != "__main__":
            importlib.import_module(f"tests.bench.{module.name}")
    return register()


def main(arguments: list[str]) -> int:
    """Returns 0 if every bound holds, 1 if one does not or a measurement failed, 2 if a name is unknown."""
    other = Path(arguments[1]).resolve() if arguments[:1] == ["--beside"] and arguments[1:] else None
    wanted = arguments[2:] if other else arguments
    all_names = {name for names in measurements() for name in names}
    if unknown := set(wanted) - all_names:
        print(f"cannot measure {', '.join(sorted(unknown))}: known names are {', '.join(sorted(all_names))}", file=sys.stderr)
        return 2
    if other:
        print(beside.compare(other, wanted))
        return 0
    rows: list[Row] = []
    failed: list[str] = []
    for names, measurement in register().items():
        if wanted and not set(wanted) & set(names):
            continue
        print(f"measuring {', '.join(names)}", file=sys.stderr, flush=True)
        try:
            rows += measurement()
        except Exception:  # report it, and still measure the others
            traceback.print_exc()
            failed += names
    print(table(rows))
    if not wanted:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n")
    if failed:
        print(f"cannot measure {', '.join(failed)}: see above", file=sys.stderr)
    return 1 if failed or not all(row.holds for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
