"""Which processes of the agent show that its work goes on."""

from __future__ import annotations

import os

from backend.agent.session import Session
from backend.session.progress import Stat, children

TICKS = os.sysconf("SC_CLK_TCK")
SESSION = Session(server=10, agent=11, pane="%0")
STATS = {
    10: Stat(1, 999, 999),  # the server
    11: Stat(10, 999, 3 * TICKS),  # Claude, which redraws its screen, and its ended children
    12: Stat(11, 2 * TICKS, 0),  # a command of Claude's
    13: Stat(12, 0, TICKS),
    20: Stat(10, TICKS, 0),  # the shell below
    30: Stat(5, 999, 999),  # started by root as the agent
    40: Stat(41, 999, 0),  # a circle, as the kernel's answers at different times may show
    41: Stat(40, 999, 0),
}


def test_processes_below_the_server_count_without_the_server_and_claude_itself() -> None:
    assert children(SESSION, STATS) == (frozenset((12, 13, 20)), 7.0)


def test_a_session_that_has_ended() -> None:
    assert children(SESSION, {}) == (frozenset(), 0.0)
