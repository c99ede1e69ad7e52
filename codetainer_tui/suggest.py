"""`codetainer suggest`: lines for domains.conf from what was refused."""

from __future__ import annotations

import sys
import time

from backend.contract.paths import Paths
from backend.contract.state import State
from codetainer_tui.recommendation import Wanted, wanted
from codetainer_tui.state import current
from codetainer_tui.view import View, view
from codetainer_tui.words import harmless, many

MAX_LINES = 50


def lines(state: State, now: float) -> list[str]:
    """One line a name, the most refused first, each with a comment that says how often and by whom.

    What is not suggested is a comment, with the reason: whoever pastes all of it opens none of that.
    """
    found = wanted(state, now)
    good = [one for one in found if one.recommended]
    shown = good[:MAX_LINES]
    width = max((len(one.entry) for one in shown), default=0)
    return [
        *(f"{one.entry:<{width}}  # {_refused(one)}" for one in shown),
        *([f"# and {many(len(good) - MAX_LINES, 'more name')} that came less often"] if len(good) > MAX_LINES else []),
        *(f"# not suggested: {one.entry}  {_refused(one)}; {_reason(one)}" for one in found if not one.recommended),
        *_left_out(view(state, now)),
    ]


def _refused(one: Wanted) -> str:
    by = f", by {harmless(', '.join(sorted(one.programs)), 80)}" if one.programs else ""
    return f"refused {many(one.count, 'time')}{by}"


def _reason(one: Wanted) -> str:
    return f"it looks like {harmless(one.resembles, 253)}, which is listed" if one.resembles else "the name looks generated"


def _left_out(found: View) -> list[str]:
    """Crowds, and what is serious: no entry is made of them."""
    crowds = [row for row in found.refused if row.kinds > 1 and row.acknowledged_as and not row.name]
    said = [f"# not suggested: {row.what}  {row.why}, {many(row.count, 'time')}" for row in crowds]
    if found.alarms:
        said.append(f"# {many(found.alarms, 'serious refusal')} to look at first: codetainer status")
    return said


def suggest(paths: Paths) -> int:
    """Exit code 0, also where there is nothing to suggest; 2 without a journal."""
    if not paths.journal.exists():
        sys.stderr.write("codetainer: there is no journal here: no sandbox has booted\n")
        return 2
    found = lines(current(paths), time.time())
    if not any(not line.startswith("#") for line in found):
        sys.stderr.write("codetainer: nothing was refused that an entry of domains.conf should allow\n")
    sys.stdout.writelines(line + "\n" for line in found)
    return 0
