"""The first line of every screen: the state of the sandbox, and whether it needs the operator."""

from __future__ import annotations

from dataclasses import replace

from backend.contract.events import CLAUDE, BootState, Outcome, ProtectionFailed, ServiceState, SessionState
from backend.contract.state import State
from codetainer_tui.view.parts import Condition, Headline, Tone
from codetainer_tui.view.refusals import alarm_words
from codetainer_tui.view.session import limit_end
from codetainer_tui.words import clock, harmless, many

SERVICES = {
    "coredns": "CoreDNS",
    "guard": "the guard",
    "gate": "the gate",
    "reader": "the reader",
    "sshd": "sshd",
    "metrics": "the metrics server",
}
LEARNING = "LEARNING RUN"  # in red on every screen, and in the terminal's title
NO_SESSION = "no agent session"
GONE = "codetainer boot has exited; nothing supervises this sandbox"
OVERLOADED_STATUS = "529"
NEEDS_YOU = frozenset((SessionState.WAITS, SessionState.ENDED, SessionState.ASKS, SessionState.REFUSED, SessionState.STUCK))
ASKS = "Claude is asking something before it begins"


def headline(state: State, now: float | None = None, *, supervised: bool = True) -> Headline:
    """The headline of a state. `supervised`: the process that writes the journal appears to be running.

    `now` is in seconds since the epoch; without it there is no countdown.
    """
    words = (LEARNING if state.learning and not state.stopping else "", alarm_words(state))
    return replace(_headline(state, now, supervised=supervised), alarm=", ".join(filter(None, words)))


def _headline(state: State, now: float | None, *, supervised: bool) -> Headline:
    closed = _closed(state, supervised=supervised)
    if closed:
        return Headline(Condition.CLOSED, closed, Tone.BAD)
    if state.frozen:
        return Headline(Condition.CLOSED, frozen_words(state), Tone.BAD, frozen=True)
    if state.boot is None:
        return Headline(Condition.BOOTING, "waiting for boot to start", Tone.DIM)
    if state.boot is BootState.BOOTING:
        done = sum(step.outcome is not None for step in state.steps.values())
        return Headline(Condition.BOOTING, f"{done} of {many(len(state.steps), 'step')}", Tone.PLAIN)
    degraded = _degraded(state)
    if degraded:
        return Headline(Condition.DEGRADED, degraded, Tone.WARN)
    attention = agent_needs_you(state) or state.session_state in (SessionState.LIMITED, SessionState.OVERLOADED)
    return Headline(Condition.READY, agent_words(state, now), Tone.GOOD, Tone.WARN if attention else Tone.PLAIN)


def _closed(state: State, *, supervised: bool) -> str:
    """The reason why the sandbox is closed, other than a freeze; "" if it is not."""
    if state.stopping:
        return f"stopped: {harmless(state.stopping, 80)}"
    if state.protection_failed is not None:
        return protection_failed(state.protection_failed, state.protection_failed_at, 60)  # 120 columns; a block has all of it
    if state.boot is BootState.HALTED:
        step = state.steps.get(state.halted_step)
        return f"boot halted at {harmless(step.title, 60)}" if step is not None else harmless(state.reason, 120)
    if state.boot is not None and not supervised:
        return GONE
    return ""


def protection_failed(event: ProtectionFailed, at: float, most: int = 600) -> str:
    """The failure and its consequence, with at most so many characters of the reason."""
    return f"protection failed at {clock(at)}: {harmless(event.reason, most)}; everything is closed"


def frozen_words(state: State) -> str:
    """`by root at 11:43`."""
    by = f"by {harmless(state.frozen_by, 40)} " if state.frozen_by else ""
    return f"{by}at {clock(state.frozen_at)}"


def _degraded(state: State) -> str:
    """The reason for DEGRADED, the worst first: a service that is down, no way to Claude, a boot step with a warning."""
    down = [s for s in state.services.values() if s.state not in (ServiceState.UP, ServiceState.STOPPED)]
    if down:
        name = SERVICES.get(down[0].service, harmless(down[0].service, 30))
        return f"{name} is {down[0].state}"
    if state.list and CLAUDE in state.list.failing:  # the agent cannot work
        reason = state.list.reasons.get(CLAUDE, "")
        return f"{CLAUDE} has no address" + (f": {harmless(reason, 120)}" if reason else "")
    warned = [step for step in state.steps.values() if step.outcome is Outcome.WARNED]
    if warned:
        more = f" and {many(len(warned) - 1, 'more step')}" if len(warned) > 1 else ""
        detail = f": {harmless(warned[0].detail, 120)}" if warned[0].detail else ""
        return f"{harmless(warned[0].title, 60)}{more}{detail}"
    if state.boot is BootState.DEGRADED:
        return harmless(state.reason, 160) or "boot did not complete every step"
    return ""


def agent_needs_you(state: State) -> bool:
    return state.session_state in NEEDS_YOU


def agent_words(state: State, now: float | None = None) -> str:
    """The state of the session. `now` (seconds since the epoch) adds a countdown to the end of a limit."""
    session = state.measured or state.session
    if session is None:
        return NO_SESSION
    if state.frozen:  # what is known is from before
        return "the agent is frozen"
    since = f" since {clock(session.since)}" if session.since else ""
    match session.state:
        case SessionState.LIMITED:
            until = state.measured.until if state.measured else 0.0
            return f"at a usage limit{limit_end(until, now) if until else since}"
        case SessionState.OVERLOADED:
            overloaded = state.measured is not None and state.measured.reason == OVERLOADED_STATUS
            return f"the API is overloaded{since}" if overloaded else f"calls of the model fail{since}"
        case SessionState.REFUSED:
            which = harmless(state.measured.credential, 40) if state.measured else ""
            return f"the API refuses {which or 'the credential'}{since}"
        case SessionState.STUCK:
            return f"the agent seems to be stuck{since}"
        case SessionState.ASKS:
            return f"{ASKS}{since}"
        case SessionState.WORKS:
            return "the agent is working"
        case SessionState.WAITS:
            return f"the agent is waiting for you{since}"
        case SessionState.IDLE:
            return f"the agent is idle{since}"
        case SessionState.ENDED:
            return f"the agent exited{since.replace('since', 'at')}"
        case SessionState.NONE:
            return NO_SESSION
        case SessionState.UNKNOWN:
            return "the agent is running"


def without_subject(text: str) -> str:
    """Shortens `the agent is waiting for you` to `waiting for you`, for narrow screens and after the label Agent."""
    return text.removeprefix("the agent ").removeprefix("is ")
