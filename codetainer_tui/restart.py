"""What `codetainer session restart` asks before it interrupts an agent."""

from __future__ import annotations

import sys

from backend.contract.command_line import wrong
from backend.contract.events import SessionState
from backend.contract.paths import Paths
from codetainer_tui import process
from codetainer_tui.state import current
from codetainer_tui.view.headline import agent_words


def agreed(paths: Paths) -> bool:
    """Whether nothing is interrupted, or whoever sits at the terminal wants that. Says why where it is not done."""
    doing = _interrupted(paths)
    if not doing:
        return True
    if not sys.stdin.isatty():
        sys.stderr.write(
            wrong(f"cannot restart the session: {doing}, and a restart interrupts it", "say --yes if that is meant")
        )
        return False
    if process.agreed(f"{doing[0].upper()}{doing[1:]}, and a restart interrupts it. Restart?"):
        return True
    sys.stderr.write("codetainer: nothing was done\n")
    return False


def _interrupted(paths: Paths) -> str:
    """What a restart of the session would break off, "" where no turn is known to be under way."""
    state = current(paths)
    busy = state.session is not None and state.session.state is SessionState.WORKS
    return agent_words(state) if busy and not state.frozen and not state.stopping else ""
