"""The processes of the agent's session, for every module that watches or restarts it."""

from __future__ import annotations

from backend.contract.immutable import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """The pids of the tmux server and of the agent's process, and the id of the agent's pane."""

    server: int
    agent: int
    pane: str
