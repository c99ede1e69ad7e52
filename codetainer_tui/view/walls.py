"""What protects what, in plain words: a line for each wall, as it was last tried, or as the operator has chosen.

A wall holds only if a probe has tried it as the agent (backend/selftest/probe.py); what was not tried is not claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from backend.contract.events import BootState, ServiceState
from backend.contract.state import State
from codetainer_tui.view.parts import Row, Tone
from codetainer_tui.words import ago, harmless


@dataclass(frozen=True, slots=True)
class Wall:
    """`probes` are what tries it; `holds` says what that means for the agent."""

    name: str
    probes: tuple[str, ...]
    holds: str


NAMES = Wall(
    "names", ("unlisted name", "upstream resolver"), "what is not listed does not exist; only the guard asks the resolver"
)
ADDRESSES = Wall("addresses", ("outside address",), "an address that no listed name has is refused, at once")
GATE = Wall("gate", ("another site",), "another site on an open address is refused, by the name in the connection")
CREDENTIALS = Wall("credentials", ("credentials", "environments"), "the agent holds placeholders")
ROOT = Wall("root", ("root read-only",), "the system's files cannot be changed")
PRIVILEGES = Wall("privileges", ("privileges", "platform"), "uid 1000, without a capability and without a way to gain one")
CALLS = Wall("system calls", ("system calls",), "namespaces, mounts, keyrings, vsock, typing into terminals: refused")
SSH = Wall("ssh", ("sshd",), "keys only, nothing is forwarded, out of the agent's reach")
WALLS = (NAMES, ADDRESSES, GATE, CREDENTIALS, ROOT, PRIVILEGES, CALLS, SSH)
OTHER = frozenset(("resolver", "listed host"))  # these say whether it works, not whether it holds


def walls(state: State) -> tuple[Row, ...]:
    """A row for each wall: its name, how it is in a word, and what that means. None before they were tried."""
    if state.proof is None or not state.proof.results:
        return ()
    results = state.proof.results
    known = OTHER.union(*(wall.probes for wall in WALLS))
    more = (Wall(harmless(probe, 30), (probe,), "") for probe in sorted(results.keys() - known))
    return tuple(_row(wall, state, results) for wall in (*WALLS, *more))


def _row(wall: Wall, state: State, results: Mapping[str, str]) -> Row:
    """What the operator has chosen to do without is said before what was tried."""
    service = state.services.get({GATE: "gate", SSH: "sshd"}.get(wall, ""))
    away = service is not None and service.state not in (ServiceState.UP, ServiceState.STOPPED)
    broken = [results[probe] for probe in wall.probes if results.get(probe)]
    if broken:
        return Row(wall.name, ("BROKEN", harmless("; ".join(broken), 300)), Tone.BAD)
    if wall is GATE and not state.gate:
        return Row(wall.name, ("off", "by address only: other sites on a listed address are open too"), Tone.WARN)
    if wall is CREDENTIALS and state.credentials != "outside":
        return Row(wall.name, ("inside", "the agent can read the tokens"), Tone.WARN)
    if wall is CALLS and not _tried(wall, results):
        return Row(wall.name, ("off", "the agent may use all of the kernel that needs no privilege"), Tone.WARN)
    if wall is SSH and (service is None or service.state is ServiceState.STOPPED):
        return Row(wall.name, ("off", "no sshd of the sandbox's own, and no port for one"), Tone.DIM)
    if service is not None and away:
        return Row(wall.name, (str(service.state), "nothing passes until it is up again"), Tone.WARN)
    if not _tried(wall, results):
        return Row(wall.name, ("not tried", "what it takes to try it was not there"), Tone.WARN)
    return Row(wall.name, ("outside" if wall is CREDENTIALS else "holds", wall.holds), Tone.GOOD)


def _tried(wall: Wall, results: Mapping[str, str]) -> bool:
    return any(probe in results for probe in wall.probes)


def summary(state: State, now: float) -> Row | None:
    """The same in one line: how many hold, when that was tried, and which do not."""
    rows = walls(state)
    if not rows or state.boot in (None, BootState.BOOTING):
        return None
    good = sum(row.tone is Tone.GOOD for row in rows)
    rest = [f"{row.label} {row.cells[0]}" for row in rows if row.tone in (Tone.WARN, Tone.BAD)]
    tone = Tone.BAD if any(row.tone is Tone.BAD for row in rows) else Tone.PLAIN
    return Row("Walls", (f"tried {ago(state.proof_at, now)}, {good} hold", *rest), tone)


def table(rows: tuple[Row, ...]) -> str:
    """For text: a line a wall."""
    names, words = (
        max((len(text) for text in column), default=0) for column in zip(*((r.label, r.cells[0]) for r in rows), strict=True)
    )
    return "".join(
        f"  {row.label:<{names}}  {row.cells[0]:<{words}}  {'  '.join(row.cells[1:])}".rstrip() + "\n" for row in rows
    )
