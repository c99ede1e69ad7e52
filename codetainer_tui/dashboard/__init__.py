"""The dashboard: a Textual app over the journal. This file imports none of it: `run` does, when there is a terminal for it."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from backend.contract.paths import Paths


def run(paths: Paths, *, stay: bool, patience: float = 0.0) -> int | None:
    """Shows the sandbox until the operator leaves; None: into the session, which is there.

    `patience`: seconds after which a boot that is not over is remarked upon.
    """
    sys.stderr.write("codetainer: opening the dashboard\r")
    sys.stderr.flush()
    from codetainer_tui.dashboard.app import Dashboard
    from codetainer_tui.dashboard.preferences import Preferences, PreferencesError, load
    from codetainer_tui.dashboard.source import Live

    preferences, wrong = Preferences(), ""
    try:
        preferences = load(paths.dashboard)
    except PreferencesError as error:
        wrong = f"{error}; what is shipped holds"
    gc.freeze()  # what was imported stays: it need not be looked at again and again
    app = Dashboard(Live(paths), paths, stay=stay, preferences=preferences, patience=patience)
    if wrong:
        app.say_first(wrong)
    app.run()
    return app.left


def watch(paths: Paths, *, stay: bool) -> int:
    """`codetainer dashboard`: the screen, which stays."""
    from codetainer_tui.attach import attach

    return attach(paths, stay=True)


def replay(file: Path, speed: float) -> int:
    """Plays a recorded journal; nothing can be asked of it."""
    from codetainer_tui.dashboard.app import Dashboard
    from codetainer_tui.dashboard.source import Recorded

    app = Dashboard(Recorded(file, speed), None, stay=True)
    app.run()
    return app.left or 0


def picture(file: Path, target: Path, width: int, height: int) -> int:
    """Draws the last screen of a recorded journal as SVG."""
    import asyncio

    from codetainer_tui.dashboard.picture import draw

    target.write_text(asyncio.run(draw(file, width, height)))
    return 0
