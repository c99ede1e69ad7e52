"""Counters over the journal. A folded state cannot serve as their source, because it forgets the least recent entries. Pure.

The agent chooses names, so only the first MAX_NAMES have a counter of their own, and all others share one. The agent cannot
make memory or output grow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from backend.contract import events as e
from backend.contract.refusals import Severity, severity
from backend.contract.state import State, fold
from codetainer_tui.words import harmless

MAX_NAMES = 100  # names with a counter of their own, for traffic and for each severity of refusals
MAX_SEEN = 4096  # names whose last totals are stored
OTHERS = "(others)"


@dataclass(slots=True)
class Carried:
    connections: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(slots=True)
class Tally:
    """Counts the events of a journal, in order. `state` is the folded state."""

    state: State = field(default_factory=State)
    refused: dict[tuple[str, str], int] = field(default_factory=dict)  # (via, reason)
    refused_names: dict[tuple[str, str], int] = field(default_factory=dict)  # (name, reason)
    cookies: dict[str, int] = field(default_factory=dict)  # by host with a credential
    carried: dict[str, Carried] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    proofs: dict[str, int] = field(default_factory=lambda: {"held": 0, "broken": 0})
    _last: dict[str, e.Carried] = field(default_factory=dict)
    _begun: bool = False
    _named: dict[Severity, int] = field(default_factory=lambda: dict.fromkeys(Severity, 0))  # names with a counter of their own

    def add(self, stamped: Iterable[e.Stamped]) -> None:
        """Counts more events."""
        for one in stamped:
            self._count(one)
            self.state = fold(self.state, one)
            self._begun = True

    def _count(self, stamped: e.Stamped) -> None:
        match stamped.event:
            case e.Refused() as event:
                self._refuse(event, event.count)
            case e.CookiesDropped() as event:
                self.cookies[event.name] = self.cookies.get(event.name, 0) + event.count
            case e.Carried() as event:
                self._carry(event)
            case e.ServiceChanged(state=e.ServiceState.STARTING) as event if event.restarts:
                self.restarts[event.service] = self.restarts.get(event.service, 0) + 1
            case e.ProofFinished() as event:
                self.proofs["broken" if event.failed else "held"] += 1
            case e.Snapshot() as event if not self._begun:
                self._take_over(State.from_json(event.state))

    def _take_over(self, state: State) -> None:
        """Counts what the state of a snapshot remembers from the time before the first segment."""
        for row in (*state.refusals.values(), *state.refusals.more.values()):
            self._refuse(row.latest, row.count)
        self.cookies |= {name: count for name, (count, _) in state.cookies.items()}
        for carried in state.carried.values():
            self._carry(carried)

    def _refuse(self, event: e.Refused, count: int) -> None:
        cause = (str(event.via), str(event.reason))
        self.refused[cause] = self.refused.get(cause, 0) + count
        name = (harmless(event.name or event.address, 100), str(event.reason))
        if name not in self.refused_names:
            level = severity(event)  # separate limits: a flood of unlisted names must not displace serious refusals
            if self._named[level] >= MAX_NAMES:
                name = (OTHERS, str(event.reason))  # one per reason
            else:
                self._named[level] += 1
        self.refused_names[name] = self.refused_names.get(name, 0) + count

    def _carry(self, event: e.Carried) -> None:
        """Adds the increase since the last event of this name. Events have totals; a lower total means a restart."""
        before = self._last.pop(event.name, None)
        self._last[event.name] = event
        if len(self._last) > MAX_SEEN:
            del self._last[next(iter(self._last))]
        if before is None or event.connections < before.connections:
            before = e.Carried(event.name, 0, 0, 0, 0, 0.0)
        label = harmless(event.name, 100)
        if label not in self.carried and len(self.carried) >= MAX_NAMES:
            label = OTHERS
        total = self.carried.setdefault(label, Carried())
        total.connections += event.connections - before.connections
        total.bytes_in += max(0, event.bytes_in - before.bytes_in)
        total.bytes_out += max(0, event.bytes_out - before.bytes_out)
