"""What the operator may want to allow: what was refused most, and is not serious, generated, or like a listed name. Pure.

A recommendation is acted on by somebody who has little time: what the agent asked for last, or made up, must never be one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.contract.refusals import Severity, severity
from backend.contract.state import State
from codetainer_tui.lookalike import looks_generated, resembles
from codetainer_tui.refusal import entry, listable_name
from codetainer_tui.view.crowds import sort_out
from codetainer_tui.view.refusals import is_muted, opening


@dataclass(slots=True)
class Wanted:
    """A name that was refused: how often, since when, on which ports, for whom."""

    name: str
    count: int = 0
    first_at: float = 0.0
    ports: set[int] = field(default_factory=set)
    programs: set[str] = field(default_factory=set)
    resembles: str = ""  # the listed name that it may be taken for
    generated: bool = False

    @property
    def entry(self) -> str:
        """The line for domains.conf."""
        return entry(self.name, self.ports)

    @property
    def recommended(self) -> bool:
        return not self.resembles and not self.generated


def wanted(state: State, now: float) -> list[Wanted]:
    """Names that an entry could allow, the most refused first, of several the one that came first.

    Without those that are one of a crowd, muted, or allowed already.
    """
    alone, _ = sort_out(state.refusals, lambda view: is_muted(state, view, now))
    found: dict[str, Wanted] = {}
    for _, view in alone:
        name = listable_name(view.latest)
        if not name or severity(view.latest) is Severity.SERIOUS or opening(state, view, now) is not None:
            continue
        one = found.setdefault(name, Wanted(name, first_at=view.first_at))
        one.count += view.count
        one.first_at = min(one.first_at, view.first_at)
        one.ports.add(view.latest.port)
        one.programs |= {view.latest.program} - {""}
    for one in found.values():
        one.resembles, one.generated = resembles(one.name, state.listed), looks_generated(one.name)
    return sorted(found.values(), key=lambda one: (-one.count, one.first_at, one.name))
