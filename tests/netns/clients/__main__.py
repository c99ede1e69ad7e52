"""Measures the table of docs/clients.md and writes it. `make clients` runs this as root."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.netns.clients.measure import measure
from tests.netns.clients.programs import programs
from tests.netns.clients.table import DOCUMENT, filled, problems


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the sandbox's users look into it
        measured = measure(folder, programs(folder))
    DOCUMENT.write_text(filled(DOCUMENT.read_text(), measured))
    if found := problems(measured):
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
