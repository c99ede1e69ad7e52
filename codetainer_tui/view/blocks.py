"""Whatever is not well: what, since when, why, and which key or command helps."""

from __future__ import annotations

from backend.contract.events import BootState, Outcome, ServiceState, SessionState
from backend.contract.state import State
from codetainer_tui.view import work
from codetainer_tui.view.headline import GONE, SERVICES
from codetainer_tui.view.machinery import NEARLY_FULL, percent
from codetainer_tui.view.parts import Block, Tone
from codetainer_tui.words import ago, clock, harmless, lasting, many, size


def blocks(state: State, now: float, *, supervised: bool = True) -> tuple[Block, ...]:
    """The worst first."""
    found: list[Block] = []
    if state.boot is not None and not supervised and not state.stopping:
        found.append(Block(GONE, ago(state.updated_at, now), ("what stands here is its last word",), Tone.BAD))
    if state.boot is BootState.HALTED:
        found.append(_halted(state))
    if state.frozen:
        found.append(
            Block(
                "Frozen", "", ("The agent's processes are stopped, every address is closed.",), Tone.BAD, ("F lets it go on",)
            )
        )
    found += _services(state, now)
    found += _warned(state)
    found += _failing(state, now)
    found += _full(state)
    if state.session is not None and state.session.state is SessionState.ENDED and not state.stopping:
        since = clock(state.session.since) if state.session.since else ""
        detail = harmless(state.session.detail, 200) or "the agent's session has ended"
        found.append(Block("Session", since, (detail,), Tone.WARN, ("R starts it anew",)))
    only_here = work.block(state)
    if only_here is not None:
        found.append(only_here)
    return tuple(found)


def _halted(state: State) -> Block:
    step = state.steps.get(state.halted_step)
    title = harmless(step.title if step else state.halted_step or "Boot", 60)
    at_boot = step is not None and step.outcome is Outcome.FAILED
    done = sum(s.outcome in (Outcome.DONE, Outcome.WARNED, Outcome.SKIPPED) for s in state.steps.values())
    missing = sum(s.outcome in (None, Outcome.CANCELLED) for s in state.steps.values())
    lines = [harmless(state.reason, 1000)]
    lines.append(
        "The agent was not started and nothing can leave." if at_boot else "The agent was ended and nothing can leave any more."
    )
    if state.remedy:
        lines.append(harmless(state.remedy, 400))
    if at_boot:
        rest = f", {missing} not run" if missing else ""
        lines.append(f"{many(done, 'step')} done{rest} (b shows them)")
    return Block(title, "", tuple(lines), Tone.BAD, ("R tries again",))


def _services(state: State, now: float) -> list[Block]:
    found = []
    for service in state.services.values():
        if service.state in (ServiceState.DOWN, ServiceState.UNRESPONSIVE) and state.boot is not BootState.HALTED:
            at = state.services_at.get(service.service, 0.0)
            lines = [harmless(service.detail, 300)] if service.detail else []
            lines.append(CONSEQUENCES.get(service.service, ""))
            if service.state is ServiceState.DOWN:
                lines.append(
                    "it is started again by itself" + (f", {many(service.restarts, 'time')} so far" if service.restarts else "")
                )
            name = SERVICES.get(service.service, service.service).removeprefix("the ").capitalize()
            name = {"coredns": "CoreDNS", "sshd": "sshd"}.get(service.service) or harmless(name, 30)
            found.append(
                Block(f"{name} is {service.state}", ago(at, now) if at else "", tuple(x for x in lines if x), Tone.BAD)
            )
    return found


CONSEQUENCES = {
    "coredns": "No name is answered; addresses that are open stay open.",
    "guard": "No new address is opened; addresses that are open stay open.",
    "gate": "Nothing is carried to ports 80 and 443.",
    "sshd": "Nobody can log in over ssh; docker exec and kubectl exec need no sshd.",
    "metrics": "Whoever watches by /metrics sees nothing; this dashboard and codetainer logs do.",
}


def _warned(state: State) -> list[Block]:
    return [
        Block(
            harmless(step.title, 60), "",
            tuple(harmless(text, 600) for text in (step.detail, step.remedy) if text),
            Tone.WARN, ("R tries again", "b shows all steps"),
        )
        for step in state.steps.values()
        if step.outcome is Outcome.WARNED and state.boot is not BootState.BOOTING
    ]  # fmt: skip


def _failing(state: State, now: float) -> list[Block]:
    failing = state.list.failing if state.list else {}
    if not failing:
        return []
    names = [f"{harmless(name, 80)}  for {lasting(now - since)}" for name, since in sorted(failing.items())]
    more = [f"and {len(names) - 3} more"] if len(names) > 3 else []
    what = f"{many(len(names), 'listed name')} without an address"
    return [Block(what, "", (*names[:3], *more), Tone.WARN, ("r asks again",))]


def _full(state: State) -> list[Block]:
    measured = state.sandbox
    if measured is None:
        return []
    places = {"memory": (measured.memory_used, measured.memory_limit), **measured.tmpfs}
    return [
        Block(f"{harmless(place, 40)} is nearly full", "", (f"{size(used)} of {size(whole)}",), Tone.WARN)
        for place, (used, whole) in places.items()
        if percent(used, whole) >= NEARLY_FULL
    ]
