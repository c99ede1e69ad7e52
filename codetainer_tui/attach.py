"""The login: shows boot until it is over, then the session. If the session exists already, never imports textual."""

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

BEGIN_SECONDS = 5.0  # a login may arrive a moment before boot writes its first line
POLL_SECONDS = 0.1


def attach(paths: Paths, *, plain: bool = False, stay: bool = False, timeout: float | None = None) -> int:
    """Waits for the init lock and hands this terminal over to the session. Exit code 1 without a sandbox or a session."""
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
        sys.stderr.write(
            "codetainer: the session is ready, but this terminal cannot show it\n"
            "  Run codetainer attach in a terminal with cursor control.\n"
        )
        return 0
    return handover.go(paths)


def begun(paths: Paths) -> bool:
    """Waits up to BEGIN_SECONDS for the first line of boot. False if there is no sandbox."""
    deadline = time.monotonic() + BEGIN_SECONDS
    announced = False
    while not paths.journal.exists():
        if not paths.run.exists() or time.monotonic() > deadline:
            return False
        if not announced:
            announced = True
            sys.stderr.write("codetainer: waiting for boot to start\n")
        time.sleep(POLL_SECONDS)
    return True


def _screen(paths: Paths, *, stay: bool, patience: float) -> int:
    if not stay and handover.lock_is_free(paths) and handover.session_is_there(paths):
        return handover.go(paths)
    from codetainer_tui import dashboard

    left = dashboard.run(paths, stay=stay, patience=patience)
    return handover.go(paths) if left is None else left


def lines(paths: Paths, seconds: float) -> int:
    """Prints text lines until boot is over. Exit code 0 if there is a session then."""
    deadline = time.monotonic() + seconds
    formatter, state = Lines(folded=True), State()

    def waiting() -> bool:
        return not state.lock_released and not state.stopping and time.monotonic() < deadline

    for stamped in follow(paths.journal, going_on=waiting):
        state = fold(state, stamped)
        for line in formatter.of(stamped):
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
    if not state.lock_released and not state.stopping:
        sys.stderr.write(f"codetainer: boot is not over after {lasting(seconds)}\n  Run codetainer logs -f to follow it.\n")
        return 1
    if not state.session_created or state.stopping:
        sys.stderr.write("codetainer: boot ended without a session\n  Run codetainer status to see why.\n")
        return 1
    return 0
