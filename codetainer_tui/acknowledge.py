"""`codetainer acknowledge`: prints the serious refusals and marks them as seen."""

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
    """Acknowledges the refusals that are in the journal now, not those that arrive meanwhile.

    Prints all kinds that are kept individually, and the number of the others.
    """
    state = current(paths)
    reply = ask.ask(paths.control, Acknowledge(state.updated_at))
    if reply.ok:
        sys.stdout.writelines(f"{line}\n" for line in lines_of(alarms(state, time.time())))
    return ask.tell(reply)
