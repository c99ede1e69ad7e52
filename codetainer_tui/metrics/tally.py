"""Counters over the journal: what only grows, which a folded state does not hold (it forgets the least recent). Pure.

Names come from the agent, so how many get a counter of their own is bounded; all others share one. Memory and the size of the
exposition do not depend on what the agent does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from backend.contract import events as e
from backend.contract.refusals import Severity, severity
from backend.contract.state import State, fold
from codetainer_tui.words import harmless

MAX_NAMES = 100  # with a counter of their own, of what is carried and of what is refused
MAX_SEEN = 4096  # names whose last totals are known
OTHERS = "(others)"


@dataclass(slots=True)
class Carried:
    connections: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(slots=True)
class Tally:
    """Feed it every event of a journal, in order; `state` is the folded one beside the counters."""

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
        """What came before the first segment that could be read: as much of it as the state still knows."""
        for row in (*state.refusals.values(), *state.refusals.more.values()):
            self._refuse(row.latest, row.count)
        self.cookies |= {name: count for name, (count, _) in state.cookies.items()}
        for carried in state.carried.values():
            self._carry(carried)

    def _refuse(self, event: e.Refused, count: int) -> None:
        wall = (str(event.via), str(event.reason))
        self.refused[wall] = self.refused.get(wall, 0) + count
        name = (harmless(event.name or event.address, 100), str(event.reason))
        if name not in self.refused_names:
            mine = severity(event)  # a flood of names that are not listed leaves room for serious ones
            if self._named[mine] >= MAX_NAMES:
                name = (OTHERS, str(event.reason))  # as many as there are reasons
            else:
                self._named[mine] += 1
        self.refused_names[name] = self.refused_names.get(name, 0) + count

    def _carry(self, event: e.Carried) -> None:
        """The event has totals; a total that has shrunk has begun anew."""
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
