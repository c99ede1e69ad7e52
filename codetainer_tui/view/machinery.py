"""Is the machinery well? One line each: names, guard, list, sandbox, agent, boot."""

from __future__ import annotations

from backend.contract.events import BootState, Outcome, ServiceState, Via
from backend.contract.state import State
from codetainer_tui.view import work
from codetainer_tui.view.headline import agent_words
from codetainer_tui.view.parts import Row, Tone
from codetainer_tui.words import ago, grouped, harmless, many, size, took, until, within

BAR_CELLS = 8
NEARLY_FULL = 90.0  # percent


def rows(state: State, now: float) -> tuple[Row, ...]:
    found = (
        _names(state), _service(state, "guard", "Guard"), _gate(state), _list(state, now),
        _ssh(state), _sandbox(state), _agent(state), work.row(state), _booted(state, now),
    )  # fmt: skip
    return tuple(row for row in found if row is not None)


def _service(state: State, service: str, label: str) -> Row | None:
    event = state.services.get(service)
    if event is None:
        return None
    tones = {ServiceState.UP: Tone.PLAIN, ServiceState.STARTING: Tone.DIM, ServiceState.STOPPED: Tone.DIM}
    cells = [str(event.state)]
    if event.restarts:
        cells.append(f"restarted {many(event.restarts, 'time')}")
    if event.detail:
        cells.append(harmless(event.detail, 160))
    return Row(label, tuple(cells), tones.get(event.state, Tone.BAD))


def _gate(state: State) -> Row | None:
    row = _service(state, "gate", "Gate")
    if row is None and not state.gate and state.boot in (BootState.READY, BootState.DEGRADED):
        return Row("Gate", ("off", "by address only: other sites on a listed address are open too"), Tone.WARN)
    if row is None or row.cells[0] != ServiceState.UP:
        return row
    open_now = sum(carried.open_now for carried in state.carried.values())
    refused = sum(view.count for view in state.refusals.values() if view.latest.via is Via.GATE)
    cells = [f"{grouped(open_now)} open", *([f"{grouped(refused)} refused"] if refused else [])]
    return Row(row.label, (row.cells[0], *cells, *row.cells[1:]), row.tone)


def _names(state: State) -> Row | None:
    row = _service(state, "coredns", "Names")
    measured = state.names
    if row is None or measured is None or row.cells[0] != ServiceState.UP:
        return row
    cells = [row.cells[0]]
    if measured.latency_ms:
        cells.append(f"{measured.latency_ms:.1f} ms")
    if measured.queries:
        cells.append(f"{measured.cache_hits * 100 // measured.queries} % from cache")
        cells.append(f"{grouped(measured.unlisted)} unlisted asked for")
    cells += row.cells[1:]
    if measured.upstreams:
        cells.append("asks " + harmless(", ".join(measured.upstreams), 80))
    return Row(row.label, tuple(cells), row.tone)


def _ssh(state: State) -> Row | None:
    """sshd, where one runs; its fingerprint is what the operator compares at the first login."""
    row = _service(state, "sshd", "SSH")
    if row is None or state.ssh is None:
        return row
    cells = (f"port {state.ssh.port}", many(state.ssh.keys, "key"), harmless(state.ssh.fingerprint, 60))
    return Row(row.label, (row.cells[0], *cells, *row.cells[1:]), row.tone)


def _list(state: State, now: float) -> Row | None:
    measured = state.list
    if measured is None:
        return None
    cells = [many(measured.names, "name"), many(measured.addresses, "address", "addresses")]
    if measured.refreshed_at:
        cells.append(f"refreshed {ago(measured.refreshed_at, now)}")
    if measured.next_at > now:
        cells.append(f"again {within(measured.next_at, now)}")
    if measured.failing:
        cells.append(f"{len(measured.failing)} without an address")
    by_hand = [entry for entry in state.allowed.values() if not entry.until or entry.until > now]
    if len(by_hand) == 1:
        cells.append(f"{harmless(by_hand[0].name, 60)} allowed {until(by_hand[0].until, now)}")
    elif by_hand:
        cells.append(f"{len(by_hand)} allowed by hand")
    return Row("List", tuple(cells), Tone.WARN if measured.failing else Tone.PLAIN)


def percent(used: float, whole: float) -> float:
    return used * 100 / whole if whole > 0 else 0.0


def bar(value: float) -> str:
    """How full something is, in cells; more than nothing is at least one."""
    full = min(BAR_CELLS, -(-round(min(max(value, 0.0), 100.0)) * BAR_CELLS // 100))
    return "▇" * full + "░" * (BAR_CELLS - full)


def _sandbox(state: State) -> Row | None:
    measured = state.sandbox
    if measured is None:
        return None
    cells = [f"cpu {measured.cpu:.0f} %"]
    if measured.memory_limit:
        cells.append(f"memory {size(measured.memory_used)} of {size(measured.memory_limit)}")
    fullest = 0.0
    for path, (used, whole) in measured.tmpfs.items():
        value = percent(used, whole)
        fullest = max(fullest, value)
        cells.append(f"{harmless(path, 30)} {value:.0f} % {bar(value)}")
    fullest = max(fullest, percent(measured.memory_used, measured.memory_limit))
    return Row("Sandbox", tuple(cells), Tone.WARN if fullest >= NEARLY_FULL else Tone.PLAIN)


def _agent(state: State) -> Row | None:
    session = state.session
    if session is None:
        return None
    cells = [agent_words(state).removeprefix("the agent ")]
    if session.model:
        cells.append(harmless(session.model, 40))
    if session.context_percent >= 0:
        cells.append(f"context {session.context_percent:.0f} % {bar(session.context_percent)}")
    if session.cost_usd >= 0:
        cells.append(f"${session.cost_usd:.2f}")
    cells.append(f"credentials {harmless(state.credentials, 20)}")
    return Row("Agent", tuple(cells))


def _booted(state: State, now: float) -> Row | None:
    if state.boot not in (BootState.READY, BootState.DEGRADED):
        return None
    warnings = sum(step.outcome is Outcome.WARNED for step in state.steps.values())
    text = f"in {took(state.boot_seconds)}, {many(len(state.steps), 'step')}"
    if warnings:
        text += f", {many(warnings, 'warning')} (b shows them)"
    return Row("Booted", (text,), Tone.WARN if warnings else Tone.PLAIN)
