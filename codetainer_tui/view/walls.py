"""The protections as rows: each with the result of the last self-test, or marked as turned off by the operator.

A protection counts as holding only if a probe has tried it as the agent (backend/selftest/probe.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from backend.contract.events import BootState, ServiceState
from backend.contract.immutable import dataclass
from backend.contract.state import State
from codetainer_tui.view.parts import Row, Tone
from codetainer_tui.words import ago, harmless


@dataclass(frozen=True, slots=True)
class Wall:
    """A protection. `probes` test it; `holds` says what it means for the agent."""

    name: str
    probes: tuple[str, ...]
    holds: str


NAMES = Wall(
    "DNS",
    ("unlisted name", "upstream resolver"),
    "names off the allowlist do not resolve; only the guard queries the upstream resolver",
)
ADDRESSES = Wall("addresses", ("outside address",), "only addresses of allowed names are reachable")
LOOPBACK = Wall("loopback", ("loopback",), "only programs of this sandbox listen inside")
GATE = Wall("gate", ("another site",), "other hosts on an open address are refused, by the name in the connection")
MODEL = Wall("model", ("request to the model",), "the model gets only the agent's own tools, and content from here")
CREDENTIALS = Wall("credentials", ("credentials", "environments"), "the agent has placeholders only")
ROOT = Wall("root", ("root read-only",), "system files are read-only")
PRIVILEGES = Wall("privileges", ("privileges", "platform"), "uid 1000, no capabilities, no way to gain any")
CALLS = Wall("system calls", ("system calls",), "namespaces, mounts, keyrings, vsock and terminal input injection are refused")
SSH = Wall("ssh", ("sshd",), "keys only, no forwarding, out of the agent's reach")
NOTIFICATIONS = Wall("notifications", ("notifications",), "only a sender of notifications can reach their service")
WALLS = (NAMES, ADDRESSES, LOOPBACK, GATE, MODEL, CREDENTIALS, ROOT, PRIVILEGES, CALLS, SSH, NOTIFICATIONS)
OTHER = frozenset(("resolver", "listed host"))  # these test that allowed traffic works, not a protection
REDUCED = {
    NAMES: "learning run: any public name resolves; only the guard queries the upstream resolver",
    ADDRESSES: "learning run: addresses of any public name that was asked for are reachable",
}
# What a user namespace changes (docs/security.md, "Without root"), below the table.
ROOTLESS = (
    "started without root:",
    "  stronger: root here is not the machine's root, and the agent's uid is nobody's on the machine",
    "  weaker: every program of the user who started it can read the tokens and enter it; freezing is by signals, unless",
    "  a cgroup is delegated; with --net nat one more program of that user (pasta) parses the agent's packets",
)
GATE_OFF = "filtering by address only: other hosts on an open address are reachable too"


def walls(state: State) -> tuple[Row, ...]:
    """A row per protection: its name, its state in a word, and the meaning. Empty before the first self-test."""
    if state.proof is None or not state.proof.results:
        return ()
    results = state.proof.results
    assigned = OTHER.union(*(wall.probes for wall in WALLS))
    more = (Wall(harmless(probe, 30), (probe,), "") for probe in sorted(results.keys() - assigned))
    walls = (wall for wall in WALLS if _exists(wall, state, results))
    return tuple(_row(wall, state, results) for wall in (*walls, *more))


def _exists(wall: Wall, state: State, results: Mapping[str, str]) -> bool:
    """False for the protection of something that this sandbox does not have: requests that are read, notifications.

    A journal of an older version has no test of loopback.
    """
    return (wall is not MODEL or "reader" in state.services) and (
        wall not in (NOTIFICATIONS, LOOPBACK) or _tried(wall, results)
    )


def _row(wall: Wall, state: State, results: Mapping[str, str]) -> Row:
    """The row of a protection. A failed probe takes precedence, then the operator's choice to turn it off."""
    service = state.services.get({GATE: "gate", MODEL: "reader", SSH: "sshd"}.get(wall, ""))
    down = service is not None and service.state not in (ServiceState.UP, ServiceState.STOPPED)
    broken = [results[probe] for probe in wall.probes if results.get(probe)]
    if broken:
        return Row(wall.name, ("FAILED", harmless("; ".join(broken), 300)), Tone.BAD)
    if wall is GATE and not state.gate:
        return Row(wall.name, ("off", GATE_OFF), Tone.WARN)
    if wall is CREDENTIALS and state.credentials != "outside":
        return Row(wall.name, ("inside", "the agent can read the tokens"), Tone.WARN)
    if wall is CALLS and not _tried(wall, results):
        return Row(wall.name, ("off", "the agent can make every unprivileged system call"), Tone.WARN)
    if wall is SSH and (service is None or service.state is ServiceState.STOPPED):
        return Row(wall.name, ("off", "no sshd in the sandbox, and no open port for it"), Tone.DIM)
    if service is not None and down:
        return Row(wall.name, (str(service.state), "nothing passes until it is up again"), Tone.WARN)
    if not _tried(wall, results):
        return Row(wall.name, ("not tested", "the self-test could not run here"), Tone.WARN)
    if wall in REDUCED and state.learning:
        return Row(wall.name, ("reduced", REDUCED[wall]), Tone.WARN)
    return Row(wall.name, ("outside" if wall is CREDENTIALS else "holds", wall.holds), Tone.GOOD)


def _tried(wall: Wall, results: Mapping[str, str]) -> bool:
    return any(probe in results for probe in wall.probes)


def summary(state: State, now: float) -> Row | None:
    """The protections in one row: how many passed, when they were tested, and which did not pass."""
    rows = walls(state)
    if not rows or state.boot in (None, BootState.BOOTING):
        return None
    good, wanted = sum(row.tone is Tone.GOOD for row in rows), sum(row.tone is not Tone.DIM for row in rows)
    rest = [f"{row.label} {row.cells[0]}" for row in rows if row.tone in (Tone.WARN, Tone.BAD)]
    tones = {row.tone for row in rows}
    tone = Tone.BAD if Tone.BAD in tones else Tone.WARN if Tone.WARN in tones else Tone.PLAIN
    return Row("Protections", (f"{good} of {wanted} verified {ago(state.proof_at, now)}", *rest), tone)


def notes(state: State) -> str:
    """What to know about all protections of this sandbox, in lines; "" if there is nothing."""
    return "".join(f"  {line}\n" for line in ROOTLESS) if state.rootless else ""


def table(rows: tuple[Row, ...]) -> str:
    """The rows as text, a line each."""
    names, words = (
        max((len(text) for text in column), default=0) for column in zip(*((r.label, r.cells[0]) for r in rows), strict=True)
    )
    return "".join(
        f"  {row.label:<{names}}  {row.cells[0]:<{words}}  {'  '.join(row.cells[1:])}".rstrip() + "\n" for row in rows
    )
