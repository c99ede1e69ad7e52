"""The states of Claude's session as an operator sees them: in a notification, and on a picture of the dashboard."""

from __future__ import annotations

import asyncio
import html
import re
from pathlib import Path

from codetainer_tui.dashboard.picture import draw
from tests.netns.notified import Service
from tests.netns.sandbox import Running, eventually


def dashboard(sandbox: Running, folder: Path) -> str:
    """Draws the dashboard from the sandbox's journal as it is now. Returns the text of the picture."""
    journal = folder / "drawn.jsonl"
    journal.write_bytes(sandbox.paths.journal.read_bytes().rpartition(b"\n")[0] + b"\n")
    picture = asyncio.run(draw(journal, 120, 40))
    return html.unescape(re.sub("<[^>]*>", "", picture)).replace("\N{NO-BREAK SPACE}", " ")


def notified(service: Service, *words: str, seconds: float) -> str:
    """Waits for a notification with these words. Returns its text."""
    (first, *_) = eventually(f"it is notified: {words}", lambda: service.saying(*words), seconds)
    return str(first["message"])
