"""The dashboard: a Textual app over the journal. This file imports none of it: `run` does, when there is a terminal for it."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from backend.contract.paths import Paths
from codetainer_tui import process

if TYPE_CHECKING:
    from codetainer_tui.dashboard.app import Dashboard

FAILED = """\
codetainer: the dashboard has failed, the sandbox goes on
  codetainer dashboard --plain says in lines what goes on; please report what stands above
"""


def run(paths: Paths, *, stay: bool, patience: float = 0.0, of_up: str = "", locked: bool = False) -> int | None:
    """Shows the sandbox until the operator leaves; None: into the session, which is there. 1 where the dashboard has failed.

    `patience`: seconds after which a boot that is not over is remarked upon. `of_up` and `locked` as in Dashboard.
    """
    say_first()
    from codetainer_tui.dashboard.app import Dashboard
    from codetainer_tui.dashboard.preferences import Preferences, PreferencesError, load
    from codetainer_tui.dashboard.source import Live

    preferences, wrong = Preferences(), ""
    try:
        preferences = load(paths.dashboard)
    except PreferencesError as error:
        wrong = f"{error}; what is shipped holds"
    gc.freeze()  # what was imported stays: it need not be looked at again and again
    app = Dashboard(Live(paths), paths, stay=stay, preferences=preferences, patience=patience, of_up=of_up, locked=locked)
    if wrong:
        app.say_first(wrong)
    return shown(app)


def say_first() -> None:
    """A line before anything heavy is imported; the screen takes its place."""
    if process.environment().get("TERM", "").lower() == "unknown":
        # Rich takes it for a dumb one and writes nothing to it: the screen would stay empty.
        process.change_environment({"TERM": process.FALLBACK_TERM})
    sys.stderr.write("codetainer: opening the dashboard\r")
    sys.stderr.flush()


def shown(app: Dashboard) -> int | None:
    """Runs it to its end."""
    app.run()
    sys.stderr.write("\r\x1b[K")  # the first line stands there again
    sys.stderr.flush()
    if app.return_code and app.left in (0, None):
        sys.stderr.write(FAILED)
        return app.return_code
    return app.left


def replay(file: Path, speed: float) -> int:
    """Plays a recorded journal; nothing can be asked of it."""
    say_first()
    from codetainer_tui.dashboard.app import Dashboard
    from codetainer_tui.dashboard.source import Recorded

    return shown(Dashboard(Recorded(file, speed), None, stay=True)) or 0


def write_picture(file: Path, target: Path, width: int, height: int) -> int:
    """Draws the last screen of a recorded journal as SVG."""
    import asyncio

    from codetainer_tui.dashboard.picture import draw

    drawn = asyncio.run(draw(file, width, height))
    try:
        target.write_text(drawn)
    except OSError as error:
        sys.stderr.write(f"codetainer: cannot write {target}: {error.strerror}\n")
        return 1
    return 0
