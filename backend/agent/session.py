"""The agent's session, as its processes: what everybody who looks at it has to know."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """The tmux server, and the pane of the agent's with its process."""

    server: int
    agent: int
    pane: str
