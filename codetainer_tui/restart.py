"""The question of `codetainer session restart` before it interrupts an agent."""

from __future__ import annotations

import sys

from backend.contract.events import SessionState
from backend.contract.paths import Paths
from backend.contract.verbs import wrong
from codetainer_tui import process
from codetainer_tui.state import current
from codetainer_tui.view.headline import agent_words


def agreed(paths: Paths) -> bool:
    """True if a restart would interrupt nothing or the operator agrees. Otherwise prints why it is not done."""
    activity = _interrupted(paths)
    if not activity:
        return True
    if not sys.stdin.isatty():
        sys.stderr.write(
            wrong(f"cannot restart the session: {activity}, and a restart interrupts it", "Add --yes to restart anyway.")
        )
        return False
    if process.agreed(f"{activity[0].upper()}{activity[1:]}, and a restart interrupts it. Restart?"):
        return True
    sys.stderr.write("codetainer: the session was not restarted\n")
    return False


def _interrupted(paths: Paths) -> str:
    """The activity that a restart would interrupt, "" if the agent is not known to be working."""
    state = current(paths)
    busy = state.session_state in (SessionState.WORKS, SessionState.OVERLOADED)
    return agent_words(state) if busy and not state.frozen and not state.stopping else ""
