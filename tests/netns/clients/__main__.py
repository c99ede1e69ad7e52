"""Measures rows of the table in docs/clients.md, stores the results and writes the table. `make clients` runs this as root.

Usage: python -m tests.netns.clients [CLIENT ...]; by default all (tests/netns/clients/rows.py has their keys).
"""

from __future__ import annotations

import datetime
import sys
import tempfile
from pathlib import Path

from tests.netns.clients import judging, stored
from tests.netns.clients.measure import measure
from tests.netns.clients.programs import programs
from tests.netns.clients.rows import COLUMNS, ROWS


def main(keys: list[str]) -> None:
    known = {client.key for client in ROWS}
    if unknown := set(keys) - known:
        sys.exit(f"cannot measure {', '.join(sorted(unknown))}: the clients are {', '.join(sorted(known))}")
    rows = [client for client in ROWS if client.key in keys or not keys]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the sandbox's users look into it
        measured = measure(folder, programs(folder), rows)
    before = stored.load() if stored.FILE.exists() else {}
    after = {**before, **judging.judged(measured, rows, datetime.datetime.now(datetime.UTC).date().isoformat())}
    stored.save(after)
    for client in rows:
        for column in COLUMNS:
            old = before[client.key].cells.get(column) if client.key in before else None
            if old != (new := after[client.key].cells[column]):
                print(f"{client.name}, {column}: {old} -> {new}: {judging.details(measured, client, column)}", file=sys.stderr)
    found = [*stored.problems(after), *judging.arrived(measured)]
    if not any(found):
        stored.DOCUMENT.write_text(stored.filled(stored.DOCUMENT.read_text(), after))
    sys.exit("\n".join(found) or None)


if __name__ == "__main__":
    main(sys.argv[1:])
