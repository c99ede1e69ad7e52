"""The login: boot on a screen while it lasts, then the session. Never imports textual where the session is there already."""

from __future__ import annotations

import sys
import time

from backend.contract import front_end
from backend.contract.paths import Paths
from backend.contract.state import State, fold
from codetainer_tui import handover, process
from codetainer_tui.ask import NONE_HERE, NONE_HERE_HINT
from codetainer_tui.journal import follow
from codetainer_tui.plain import Lines
from codetainer_tui.words import lasting

BEGIN_SECONDS = 5.0  # a login may come a moment before boot has written its first line
POLL_SECONDS = 0.1


def attach(paths: Paths, *, plain: bool = False, stay: bool = False, timeout: float | None = None) -> int:
    """Waits for the init lock and hands this terminal over. Exit code 1 where there is no sandbox, or no session to go to."""
    if not begun(paths):
        sys.stderr.write(f"codetainer: {NONE_HERE}\n  {NONE_HERE_HINT}\n")
        return 1
    settings = front_end.read(paths.front_end)
    seconds = settings.lock_timeout if timeout is None else timeout
    stay = stay or settings.login == "dashboard"
    if not plain and process.on_screen():
        return _screen(paths, stay=stay, patience=seconds)
    code = lines(paths, seconds)
    if code or stay:
        return code
    if not process.on_screen():
        sys.stderr.write("codetainer: the session is there; it needs a terminal that can show it: codetainer attach\n")
        return 0
    return handover.go(paths)


def begun(paths: Paths) -> bool:
    deadline = time.monotonic() + BEGIN_SECONDS
    said = False
    while not paths.journal.exists():
        if not paths.run.exists() or time.monotonic() > deadline:
            return False
        if not said:
            said = True
            sys.stderr.write("codetainer: waiting for boot to begin\n")
        time.sleep(POLL_SECONDS)
    return True


def _screen(paths: Paths, *, stay: bool, patience: float) -> int:
    if not stay and handover.lock_is_free(paths) and handover.session_is_there(paths):
        return handover.go(paths)
    from codetainer_tui import dashboard

    left = dashboard.run(paths, stay=stay, patience=patience)
    return handover.go(paths) if left is None else left


def lines(paths: Paths, seconds: float) -> int:
    """Text lines until init is over: 0 where there is a session then."""
    deadline = time.monotonic() + seconds
    words, state = Lines(), State()

    def waits() -> bool:
        return not state.lock_released and not state.stopping and time.monotonic() < deadline

    for stamped in follow(paths.journal, going_on=waits):
        state = fold(state, stamped)
        for line in words.of(stamped):
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
    if not state.lock_released and not state.stopping:
        sys.stderr.write(f"codetainer: boot is not over after {lasting(seconds)}\n  codetainer logs -f shows how it goes on\n")
        return 1
    if not state.session_created or state.stopping:
        sys.stderr.write("codetainer: there is no session\n  codetainer status says why\n")
        return 1
    return 0
