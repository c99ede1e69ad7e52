"""The current state of the sandbox that this process runs in."""

from __future__ import annotations

from backend.contract.paths import Paths
from backend.contract.state import State, fold_all
from codetainer_tui.journal import follow


def current(paths: Paths) -> State:
    """The state after all events of the journal; an empty State without a journal."""
    return fold_all(follow(paths.journal, going_on=lambda: False))
