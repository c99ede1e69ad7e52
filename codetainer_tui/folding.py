"""Folds a flood of refusals in the text lines: the first kinds of a crowd get a line each, the rest a count. Pure.

The bounds are those of the screen (codetainer_tui/view/crowds.py). They start again every hour, so a long run names what is
new to it. Serious refusals are never folded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.contract.crowds import REST, crowds_of
from backend.contract.events import Refused
from backend.contract.refusals import Severity, added_up, severity
from codetainer_tui.view.crowds import MAX_ALONE, MAX_NAMES, MAX_SPREAD, words_for
from codetainer_tui.words import harmless, many

HOUR = 3600.0  # seconds


@dataclass(slots=True)
class _Rest:
    """The refusals of a crowd that got no line: their number, and the number at which the next count is due."""

    latest: Refused
    count: int = 0
    due: int = MAX_ALONE


@dataclass(slots=True)
class Folding:
    """The kinds that have a line of their own since `_since`, by crowd, and the folded rest, by crowd."""

    _since: float = 0.0
    _named: dict[str, set[str]] = field(default_factory=dict)
    _rest: dict[str, _Rest] = field(default_factory=dict)

    def folds(self, event: Refused, at: float) -> str | None:
        """Returns None if a refusal gets a line of its own. Otherwise a line with the count of its crowd, or ""."""
        if severity(event) is Severity.SERIOUS or added_up(event):
            return None
        if not 0 <= at - self._since < HOUR:
            self._since = at
            self._named.clear()
            self._rest.clear()
        narrow, wide = crowds_of(event)
        bounds = (
            {narrow: MAX_ALONE, wide: MAX_SPREAD, REST: MAX_NAMES} if narrow != wide else {wide: MAX_SPREAD, REST: MAX_NAMES}
        )
        named = self._named.setdefault(REST, set())
        if event.key in named:
            return None
        full = next((crowd for crowd, bound in bounds.items() if len(self._named.get(crowd, ())) >= bound), None)
        if full is None:
            for crowd in bounds:
                self._named.setdefault(crowd, set()).add(event.key)
            return None
        rest = self._rest.setdefault(full, _Rest(event))
        rest.latest = event
        rest.count += event.count
        if rest.count < rest.due:
            return ""
        while rest.due <= rest.count:
            rest.due *= 2
        return self._counted(full, rest)

    def _counted(self, crowd: str, rest: _Rest) -> str:
        (_, nouns), about = words_for(crowd)
        what = f"{nouns} {harmless(about, 200)}".rstrip()
        return f"refused more {what}: {rest.latest.reason} ({many(rest.count, 'refusal')} this hour without a line)"
