"""The healthy parts, one line each: DNS, protections, allowlist, sandbox, disk, agent, unsaved work."""

from __future__ import annotations

from collections.abc import Iterator

from backend.contract.events import BudgetLevel, Outcome, ServiceState, SessionState, Via
from backend.contract.refusals import RefusalView
from backend.contract.state import State
from codetainer_tui.view import walls, work
from codetainer_tui.view.headline import agent_words, without_subject
from codetainer_tui.view.parts import Row, Tone
from codetainer_tui.view.session import CANNOT_GO_ON
from codetainer_tui.words import ago, clock, grouped, harmless, many, size, took, until, within

BAR_CELLS = 8
MAX_UNLIMITED = 3
ATTENTION = frozenset((SessionState.ASKS, *CANNOT_GO_ON))
NEARLY_FULL, FULL = 90.0, 99.5  # percent


def rows(state: State, now: float) -> tuple[Row, ...]:
    """The rows that apply to a state, the most important first."""
    candidates = (
        _dns(state), *_protections(state, now), _cookies(state, now), model(state), _allowlist(state, now), _ssh(state),
        _sandbox(state), _disk(state), _agent(state, now), work.row(state, now), work.suspended(state),
        _notifications(state, now), _boot(state),
    )  # fmt: skip
    return tuple(row for row in candidates if row is not None)


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


def _protections(state: State, now: float) -> tuple[Row | None, ...]:
    """Guard, gate and self-test: one row if guard and gate are up, otherwise a row each. The reader, if it is not up."""
    guard, gate, verified = _service(state, "guard", "Guard"), _gate(state), walls.summary(state, now)
    reader = _service(state, "reader", "Reader")
    if reader is not None and reader.cells[0] == ServiceState.UP and len(reader.cells) == 1:
        reader = None
    if guard is None or gate is None or guard.cells[0] != ServiceState.UP or gate.cells[0] != ServiceState.UP:
        return guard, gate, reader, verified
    services = ("guard up", *guard.cells[1:], "gate up", *gate.cells[1:])
    if verified is not None:
        return (Row(verified.label, (*verified.cells, *services), verified.tone), reader)
    if state.proof is not None and not state.proof.failed:
        return (Row("Protections", (f"self-test passed {ago(state.proof_at, now)}", *services)), reader)
    return (Row("Protections", services), reader)


def _gate(state: State) -> Row | None:
    row = _service(state, "gate", "Gate")
    if row is None and not state.gate and state.is_open:
        return Row("Gate", ("off", walls.GATE_OFF), Tone.WARN)
    if row is None or row.cells[0] != ServiceState.UP:
        return row
    open_now = sum(carried.open_now for carried in state.carried.values())
    refused = sum(view.count for view in _of_gate(state))
    cells = [f"{many(open_now, 'connection')} open", *([f"{grouped(refused)} refused"] if refused else [])]
    return Row(row.label, (row.cells[0], *cells, *row.cells[1:]), row.tone)


def model(state: State) -> Row | None:
    """What the model has used, as the gate counted it, and its limits."""
    used = state.model
    if used is None or not (used.calls or used.limits):
        return None
    cost = f"about ${used.cost:.2f}" if used.calls else ""
    tokens = used.input + used.output + used.cached
    cells = [many(used.calls, "call"), *([f"{grouped(tokens)} tokens", cost] if used.calls else [])]
    cells += [harmless(limit, 60) for limit in used.limits]
    if used.unknown:
        cells.append(f"no price for {harmless(used.unknown[0], 40)}")
    level = state.budget.level if state.budget else BudgetLevel.FINE
    tone = {BudgetLevel.WARNED: Tone.WARN, BudgetLevel.USED_UP: Tone.BAD}.get(level, Tone.PLAIN)
    return Row("Model", tuple(cells), tone)


def _cookies(state: State, now: float) -> Row | None:
    """Cookies that the gate dropped from requests to hosts with a credential. The sandbox hands out no such cookies."""
    if not state.cookies:
        return None
    latest = sorted(state.cookies.items(), key=lambda host: host[1][1], reverse=True)
    cells = (
        f"dropped from {many(count, 'request')} to {harmless(name, 60)}, last {ago(at, now)}" for name, (count, at) in latest
    )
    return Row("Cookies", tuple(cells), Tone.WARN)


def _of_gate(state: State) -> Iterator[RefusalView]:
    views = (*state.refusals.values(), *state.refusals.more.values())
    return (view for view in views if view.latest.via is Via.GATE)


def _dns(state: State) -> Row | None:
    row = _service(state, "coredns", "DNS")
    measured = state.names
    if row is None or measured is None or row.cells[0] != ServiceState.UP:
        return row
    cells = [row.cells[0]]
    if measured.latency_ms:
        cells.append(f"{measured.latency_ms:.1f} ms")
    if measured.queries:
        cells.append(f"{measured.cache_hits * 100 // measured.queries}% cached")
        cells.append(f"{grouped(measured.unlisted)} refused")
    cells += row.cells[1:]
    if measured.upstreams:
        cells.append("via " + harmless(", ".join(measured.upstreams), 80))
    return Row(row.label, tuple(cells), row.tone)


def _ssh(state: State) -> Row | None:
    """sshd, if it runs, with the fingerprint that the operator compares at the first login."""
    row = _service(state, "sshd", "SSH")
    if row is None or state.ssh is None:
        return row
    cells = (f"port {state.ssh.port}", harmless(state.ssh.fingerprint, 60), many(state.ssh.keys, "key"))
    return Row(row.label, (row.cells[0], *cells, *row.cells[1:]), row.tone)


def _allowlist(state: State, now: float) -> Row | None:
    measured = state.list
    if measured is None:
        return None
    cells = [many(measured.names, "name"), *_unlimited(state), many(measured.addresses, "address", "addresses")]
    if measured.refreshed_at:
        cells.append(f"refreshed {ago(measured.refreshed_at, now)}")
    if measured.next_at > now:
        cells.append(f"next refresh {within(measured.next_at, now)}")
    if measured.failing:
        cells.append(f"{len(measured.failing)} without an address")
    if measured.unresolved:
        cells.append(f"{grouped(measured.unresolved)} not resolved yet")
    by_hand = [entry for entry in state.allowed.values() if not entry.until or entry.until > now]
    tone = Tone.WARN if measured.failing else Tone.PLAIN
    if not by_hand:
        return Row("Allowlist", tuple(cells), tone)
    each = [f"{harmless(entry.entry, 60)} allowed {until(entry.until, now)}" for entry in by_hand]
    return Row("Allowlist", (*cells, *each), tone, (f"{len(by_hand)} allowed by hand", *cells))


def _unlimited(state: State) -> list[str]:
    """The entries that grant any request, beside those that grant only some."""
    if not state.unlimited:
        return []
    first = ", ".join(harmless(entry, 60) for entry in state.unlimited[:MAX_UNLIMITED])
    more = f" and {len(state.unlimited) - MAX_UNLIMITED} more" if len(state.unlimited) > MAX_UNLIMITED else ""
    return [f"any request to {first}{more}"]


def percent(used: float, whole: float) -> float:
    return used * 100 / whole if whole > 0 else 0.0


def bar(value: float) -> str:
    """A bar for a percentage. Anything above 0 fills at least one cell."""
    full = min(BAR_CELLS, -(-round(min(max(value, 0.0), 100.0)) * BAR_CELLS // 100))
    return "▇" * full + "░" * (BAR_CELLS - full)


def _sandbox(state: State) -> Row | None:
    measured = state.sandbox
    if measured is None:
        return None
    cells = [f"cpu {measured.cpu:.0f}%"]
    if measured.memory_limit:
        cells.append(f"memory {_of(measured.memory_used, measured.memory_limit)}")
    short: tuple[str, ...] = ()
    if measured.agent_processes:
        agent = f"agent: {many(measured.agent_processes, 'process', 'processes')}, cpu {measured.agent_cpu:.0f}%"
        short = (*cells, agent)
        cells.append(f"{agent}, {size(measured.agent_memory)}")
    full = percent(measured.memory_used, measured.memory_limit) >= NEARLY_FULL
    return Row("Sandbox", tuple(cells), Tone.WARN if full else Tone.PLAIN, short)


def _disk(state: State) -> Row | None:
    """Use of each tmpfs: of its bytes, and of its inodes if they are nearly used up."""
    if state.sandbox is None or not state.sandbox.tmpfs:
        return None
    places = [(place(path), percent(used, whole)) for path, (used, whole) in state.sandbox.tmpfs.items()]
    files = [(f"{place(path)} files", percent(used, whole)) for path, (used, whole) in state.sandbox.inodes.items()]
    places += [(name, value) for name, value in files if value >= NEARLY_FULL]
    cells = tuple(f"{name} {value:.0f}% {bar(value)}" for name, value in places)
    fullest = max(value for _, value in places)
    short = tuple(f"{name} {value:.0f}%" for name, value in places)
    return Row("Disk", (*cells, "in memory"), Tone.WARN if fullest >= NEARLY_FULL else Tone.PLAIN, short)


def place(path: str) -> str:
    """The mount point of a tmpfs, with /home for the agent's home: it is the only one below /home."""
    return "/home" if path == "/home/claude" else harmless(path, 30)


def _of(used: int, whole: int) -> str:
    """`1.2 of 4.0 GB`, `348 MB of 24 GB`."""
    one, other = size(used), size(whole)
    return f"{one.removesuffix(other[-3:])} of {other}"


def _agent(state: State, now: float) -> Row | None:
    session = state.session
    if session is None:
        return None
    cells = [without_subject(agent_words(state, now))]
    if session.model:
        cells.append(harmless(session.model, 40))
    if session.context_percent >= 0:
        cells.append(f"context {session.context_percent:.0f}% {bar(session.context_percent)}")
    if session.cost_usd >= 0:
        cells.append(f"${session.cost_usd:.2f}")
    cells.append(f"credentials {harmless(state.credentials, 20)}")
    return Row("Agent", tuple(cells), Tone.WARN if state.session_state in ATTENTION else Tone.PLAIN)


def _notifications(state: State, now: float) -> Row | None:
    """The notifications of an operator who is away."""
    measured = state.notifications
    if measured is None:
        return None
    cells = [many(measured.destinations, "address", "addresses"), f"{measured.delivered} delivered"]
    if measured.delivered_at:
        cells.append(f"last {ago(measured.delivered_at, now)}")
    if measured.waiting:
        cells.append(f"{measured.waiting} waiting")
    if measured.dropped:
        cells.append(f"{measured.dropped} dropped")
    if measured.failing:
        cells.append(f"{len(measured.failing)} failing since {clock(measured.failing_since)}")
    return Row("Notify", tuple(cells), Tone.WARN if measured.failing else Tone.PLAIN)


def _boot(state: State) -> Row | None:
    """The boot, if it had warnings."""
    warnings = sum(step.outcome is Outcome.WARNED for step in state.steps.values())
    if not warnings or not state.is_open:
        return None
    return Row("Boot", (f"{many(warnings, 'warning')} (b shows the steps)", f"took {took(state.boot_seconds)}"), Tone.WARN)
