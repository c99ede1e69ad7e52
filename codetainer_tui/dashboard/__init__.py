"""The dashboard, a Textual app over the journal. Textual is imported only when a dashboard starts: the import is slow."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from backend.contract.paths import Paths
from codetainer_tui import process

if TYPE_CHECKING:
    from codetainer_tui.dashboard.app import Dashboard

FAILED = """\
codetainer: the dashboard crashed; the sandbox keeps running
  Run codetainer dashboard --plain to follow events as text, and report the error above.
"""


def run(paths: Paths, *, stay: bool, patience: float = 0.0, of_up: str = "", locked: bool = False) -> int | None:
    """Shows the dashboard until the operator leaves. Returns the exit code (1 after a crash), or None to open the session.

    `patience`: seconds after which a notice says that boot is still running. `Dashboard` explains `of_up` and `locked`.
    """
    say_first()
    from codetainer_tui.dashboard.app import Dashboard
    from codetainer_tui.dashboard.preferences import Preferences, PreferencesError, load
    from codetainer_tui.dashboard.source import Live

    preferences, problem = Preferences(), ""
    try:
        preferences = load(paths.dashboard)
    except PreferencesError as error:
        problem = f"{error}; using the defaults"
    gc.freeze()  # imported objects stay: collections need not examine them
    app = Dashboard(
        Live(paths), paths, stay=stay, preferences=preferences, patience=patience, of_up=of_up, locked=locked,
        read_only=os.geteuid() != 0,
    )  # fmt: skip
    if problem:
        app.say_first(problem)
    return shown(app)


def say_first() -> None:
    """Prints a line before the slow imports. The screen replaces it."""
    if process.environment().get("TERM", "").lower() == "unknown":
        # Rich treats it as a dumb terminal and writes nothing: the screen would stay empty.
        process.change_environment({"TERM": process.FALLBACK_TERM})
    sys.stderr.write("codetainer: opening the dashboard\r")
    sys.stderr.flush()


def shown(app: Dashboard) -> int | None:
    """Runs the app and returns as `run` does."""
    app.run()
    sys.stderr.write("\r\x1b[K")  # removes the line of say_first, which is visible again
    sys.stderr.flush()
    if app.return_code and app.left in (0, None):
        sys.stderr.write(FAILED)
        return app.return_code
    return app.left


def replay(file: Path, speed: float) -> int:
    """Plays a recorded journal. Keys that act on a sandbox have no effect."""
    say_first()
    from codetainer_tui.dashboard.app import Dashboard
    from codetainer_tui.dashboard.source import Recorded

    return shown(Dashboard(Recorded(file, speed), None, stay=True)) or 0


def write_picture(file: Path, target: Path, width: int, height: int) -> int:
    """Writes the last screen of a recorded journal as SVG. Returns the exit code."""
    import asyncio

    from codetainer_tui.dashboard.picture import draw

    drawn = asyncio.run(draw(file, width, height))
    try:
        target.write_text(drawn)
    except OSError as error:
        sys.stderr.write(f"codetainer: cannot write {target}: {error.strerror}\n")
        return 1
    return 0
