"""`python -m tests.bench [NAME ...]`: all measurements, or those named. A table to stdout; of all also build/bench.json."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import traceback
from pathlib import Path

from tests import bench
from tests.bench.rows import Row, register, table

RESULT = Path(__file__).parents[2] / "build/bench.json"


def main(wanted: list[str]) -> int:
    """0: every bound holds; 1: one does not, or a measurement failed; 2: no such measurement."""
    for module in pkgutil.iter_modules(bench.__path__):
        if module.name != "__main__":
            importlib.import_module(f"tests.bench.{module.name}")
    known = {name for names in register() for name in names}
    if unknown := set(wanted) - known:
        print(f"cannot measure {', '.join(sorted(unknown))}: known are {', '.join(sorted(known))}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    failed: list[str] = []
    for names, measurement in register().items():
        if wanted and not set(wanted) & set(names):
            continue
        print(f"measuring {', '.join(names)}", file=sys.stderr, flush=True)
        try:
            rows += measurement()
        except Exception:  # whatever it was, the other rows are still worth having
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
