"""`codetainer suggest`: lines for domains.conf, from the refusals."""

from __future__ import annotations

import sys
import time

from backend.contract.paths import Paths
from backend.contract.state import State
from codetainer_tui.recommendation import Wanted, muted_names, wanted
from codetainer_tui.state import current
from codetainer_tui.view import View, view
from codetainer_tui.words import at_least, harmless, many

MAX_LINES = 50


def lines(state: State, now: float) -> list[str]:
    """One line per name, the most refused first, with a comment on how often it was refused, and for which programs.

    Names that are not suggested are comments with the reason, so pasting the whole output does not open them.
    """
    names = wanted(state, now)
    good = [one for one in names if one.recommended]
    shown = good[:MAX_LINES]
    width = max((len(one.entry) for one in shown), default=0)
    return [
        *(f"{one.entry:<{width}}  # {_refused(one)}" for one in shown),
        *([f"# and {many(len(good) - MAX_LINES, 'more name')}, refused less often"] if len(good) > MAX_LINES else []),
        *(f"# not suggested: {one.entry}  {_refused(one)}; {_reason(one)}" for one in names if not one.recommended),
        *_left_out(view(state, now)),
        *([f"# {_muted(state, now)} left out: codetainer mute NAME --off shows one again"] if muted_names(state, now) else []),
    ]


def _muted(state: State, now: float) -> str:
    return many(len(muted_names(state, now)), "muted name")


def _refused(one: Wanted) -> str:
    by = f", by {harmless(', '.join(sorted(one.programs)), 80)}" if one.programs else ""
    return f"refused {many(one.count, 'time')}{by}"


def _reason(one: Wanted) -> str:
    if one.resembles:
        return f"it resembles {harmless(one.resembles, 253)}, which is on the allowlist"
    return "the name looks generated"


def _left_out(shown: View) -> list[str]:
    """Comments on crowds and serious refusals, which are never suggested."""
    crowds = [row for row in shown.refused if row.kinds > 1 and row.acknowledged_as and not row.name]
    lines = [f"# not suggested: {row.what}  {row.why}, {many(row.count, 'time')}" for row in crowds]
    if shown.alarms:
        kinds = at_least(shown.alarms, exact=shown.alarms_exact)
        lines.append(f"# {kinds} serious refusal{'' if shown.alarms == 1 else 's'} to look at first: codetainer status")
    return lines


def suggest(paths: Paths) -> int:
    """Prints the suggestions. Exit code 0, even if there are none; 2 without a journal."""
    if not paths.journal.exists():
        sys.stderr.write("codetainer: no journal here: no sandbox has booted\n")
        return 2
    state, now = current(paths), time.time()
    output = lines(state, now)
    if not any(not line.startswith("#") for line in output):
        left_out = f" ({_muted(state, now)} left out)" if muted_names(state, now) else ""
        sys.stderr.write(f"codetainer: no refused name is worth suggesting{left_out}\n")
    sys.stdout.writelines(line + "\n" for line in output)
    return 0
