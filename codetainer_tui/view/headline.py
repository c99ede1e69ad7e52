"""The first line: is it well, and does it need me?"""

from __future__ import annotations

from dataclasses import replace

from backend.contract.events import BootState, Outcome, ServiceState, SessionState
from backend.contract.state import State
from codetainer_tui.view.parts import Condition, Headline, Tone
from codetainer_tui.view.refusals import alarm_words
from codetainer_tui.words import clock, harmless, many

SERVICES = {"coredns": "CoreDNS", "guard": "the guard", "gate": "the gate", "sshd": "sshd", "metrics": "the metrics' process"}
GONE = "codetainer boot has gone, nobody watches this sandbox"


def headline(state: State, *, supervised: bool = True) -> Headline:
    """`supervised`: the process that writes the journal is there, as far as can be told."""
    return replace(_headline(state, supervised=supervised), alarm=alarm_words(state))


def _headline(state: State, *, supervised: bool) -> Headline:
    closed = _closed(state, supervised=supervised)
    if closed:
        return Headline(Condition.CLOSED, closed, Tone.BAD)
    if state.boot is None:
        return Headline(Condition.BOOTING, "nothing has been heard of it yet", Tone.DIM)
    if state.boot is BootState.BOOTING:
        done = sum(step.outcome is not None for step in state.steps.values())
        return Headline(Condition.BOOTING, f"{done} of {len(state.steps)}", Tone.PLAIN)
    degraded = _degraded(state)
    if degraded:
        return Headline(Condition.DEGRADED, f"because {degraded}", Tone.WARN)
    return Headline(Condition.READY, agent_words(state), Tone.GOOD, Tone.WARN if agent_needs_you(state) else Tone.PLAIN)


def _closed(state: State, *, supervised: bool) -> str:
    if state.stopping:
        return f"because it was stopped: {harmless(state.stopping, 80)}"
    if state.boot is BootState.HALTED:
        step = state.steps.get(state.halted_step)
        if step is not None and step.outcome is Outcome.FAILED:
            return f"boot halted at {harmless(step.title, 60)}"
        return "because a wall did not hold" if state.halted_step == "readiness" else f"because {harmless(state.reason, 120)}"
    if state.boot is not None and not supervised:
        return f"because {GONE}"
    if state.frozen:
        return "because you froze it"
    return ""


def _degraded(state: State) -> str:
    """The worst first: a service that is away now, then what boot could not do."""
    away = [s for s in state.services.values() if s.state not in (ServiceState.UP, ServiceState.STOPPED)]
    if away:
        name = SERVICES.get(away[0].service, harmless(away[0].service, 30))
        return f"{name} is {away[0].state}"
    warned = [step for step in state.steps.values() if step.outcome is Outcome.WARNED]
    if warned:
        more = f" and {many(len(warned) - 1, 'more step')}" if len(warned) > 1 else ""
        detail = f": {harmless(warned[0].detail, 120)}" if warned[0].detail else ""
        return f"of {harmless(warned[0].title, 60)}{more}{detail}"
    if state.boot is BootState.DEGRADED:
        return harmless(state.reason, 160) or "boot could not do all of it"
    return ""


def agent_needs_you(state: State) -> bool:
    return state.session is not None and state.session.state in (SessionState.WAITS, SessionState.ENDED)


def agent_words(state: State) -> str:
    """What the agent does, as far as is known."""
    session = state.session
    if session is None:
        return "there is no session"
    since = f" since {clock(session.since)}" if session.since else ""
    match session.state:
        case SessionState.WORKS:
            return "the agent works"
        case SessionState.WAITS:
            return f"the agent waits for you{since}"
        case SessionState.IDLE:
            return f"the agent is idle{since}"
        case SessionState.ENDED:
            return f"the agent has ended{since}"
        case SessionState.NONE:
            return "there is no session"
        case SessionState.UNKNOWN:
            return "the session is there"
