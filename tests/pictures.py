"""Draws the pictures of the documentation: `make pictures`."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from codetainer_tui.dashboard.picture import draw

ROOT = Path(__file__).parents[1]
PICTURES = {"docs/dashboard.svg": ("recorded/attacked", 110, 30)}


def main() -> None:
    os.environ["TZ"] = "UTC"  # clock times are local: the same picture everywhere
    time.tzset()
    for name, (journal, width, height) in PICTURES.items():
        target = ROOT / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(asyncio.run(draw(ROOT / f"tests/journals/{journal}.jsonl", width, height)))
        print(name)


if __name__ == "__main__":
    main()
