"""Draws the last screen of a recorded journal as SVG, for the documentation."""

from __future__ import annotations

import re
from pathlib import Path

from codetainer_tui.dashboard.app import Dashboard
from codetainer_tui.dashboard.draw.ink import Colours
from codetainer_tui.dashboard.source import Recorded

_FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


async def draw(file: Path, width: int, height: int) -> str:
    """Returns the SVG. The clock stands still and no terminal is needed. Raises ValueError for an impossible size."""
    if not (0 < width < 1000 and 0 < height < 1000):
        raise ValueError(f"cannot draw {width}x{height}")
    app = Dashboard(Recorded(file, 0), None, stay=True, colours=Colours.SIXTEEN, steady=lambda: 0.0)
    async with app.run_test(size=(width, height)) as pilot:
        await pilot.pause()
        await pilot.pause()
        # A document must not make its readers fetch a font: their own monospace font will do.
        return _FONT_FACE.sub("", app.export_screenshot(title="codetainer", simplify=True))
