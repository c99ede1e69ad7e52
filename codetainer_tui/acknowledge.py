"""`codetainer acknowledge`: prints the serious refusals, and marks as seen what it has printed."""

from __future__ import annotations

import sys
import time

from backend.contract.control import Acknowledge
from backend.contract.paths import Paths
from codetainer_tui import ask
from codetainer_tui.state import current
from codetainer_tui.status import lines_of
from codetainer_tui.view.refusals import alarms


def acknowledge(paths: Paths) -> int:
    """Acknowledges what is in the journal now; what comes meanwhile is not.

    Prints each kind that is kept by name, however many there are, and the number of those that are not.
    """
    state = current(paths)
    reply = ask.ask(paths.control, Acknowledge(state.updated_at), "codetainer acknowledge")
    if reply.ok:
        sys.stdout.writelines(f"{line}\n" for line in lines_of(alarms(state, time.time())))
    return ask.tell(reply)
