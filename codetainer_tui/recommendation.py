"""Recommends names to allow: those refused most, unless serious, generated, or similar to an allowlisted name. Pure.

The operator may follow a recommendation in a hurry, so the agent must not be able to cause one with a single or invented name.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.contract.refusals import Severity, severity
from backend.contract.state import State
from codetainer_tui.lookalike import looks_generated, resembles
from codetainer_tui.refusal import READ, USUAL_PORTS, entry, listable_name, rule
from codetainer_tui.view.crowds import sort_out
from codetainer_tui.view.refusals import is_muted, opening


@dataclass(slots=True)
class Wanted:
    """A refused name: how often, since when, on which ports, for which programs."""

    name: str
    count: int = 0
    first_at: float = 0.0
    ports: set[int] = field(default_factory=set)
    rules: dict[str, None] = field(default_factory=dict)  # refused requests to hosts that grant only some
    programs: set[str] = field(default_factory=set)
    resembles: str = ""  # the allowlist entry that it may be mistaken for
    generated: bool = False

    @property
    def entry(self) -> str:
        """The line for domains.conf, with the smallest grant."""
        return entry(self.name, self.ports, self.grant)

    @property
    def grant(self) -> str:
        """The refused requests; else reading, or "" for ports that are opened by address."""
        return " ".join(self.rules) or (READ if not self.ports - set(USUAL_PORTS) else "")

    @property
    def recommended(self) -> bool:
        return not self.resembles and not self.generated


def wanted(state: State, now: float) -> list[Wanted]:
    """Refused names that an entry could allow, the most refused first, then the oldest first.

    Leaves out names that belong to a crowd, are muted, or are already allowed.
    """
    alone, _ = sort_out(state.refusals, lambda view: is_muted(state, view, now))
    by_name: dict[str, Wanted] = {}
    for _, view in alone:
        name = listable_name(view.latest)
        if not name or severity(view.latest) is Severity.SERIOUS or opening(state, view, now) is not None:
            continue
        one = by_name.setdefault(name, Wanted(name, first_at=view.first_at))
        one.count += view.count
        one.first_at = min(one.first_at, view.first_at)
        one.ports.add(view.latest.port)
        if needed := rule(view.latest):
            one.rules[needed] = None
        one.programs |= {view.latest.program} - {""}
    for one in by_name.values():
        one.resembles, one.generated = resembles(one.name, state.listed), looks_generated(one.name)
    return sorted(by_name.values(), key=lambda one: (-one.count, one.first_at, one.name))


def muted_names(state: State, now: float) -> frozenset[str]:
    """The refused names that an entry could allow and that the operator has muted."""
    muted = (view for _, view in state.refusals.policy() if is_muted(state, view, now) and opening(state, view, now) is None)
    return frozenset(filter(None, (listable_name(view.latest) for view in muted)))
