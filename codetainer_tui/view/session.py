"""The state of the Claude session in words: what it is, until when, and what the sandbox does about it."""

from __future__ import annotations

from backend.contract.durations import lasting
from backend.contract.events import SessionMeasured, SessionResumed, SessionState
from backend.contract.marks import HINDERED
from codetainer_tui import words
from codetainer_tui.words import clock, clock_seconds, harmless

STATES = {
    SessionState.NONE: "does not exist",
    SessionState.ASKS: "Claude is asking something before it begins",
    SessionState.WORKS: "the agent is working",
    SessionState.WAITS: "the agent is waiting for you",
    SessionState.IDLE: "the agent is idle",
    SessionState.ENDED: "ended",
    SessionState.UNKNOWN: "running",
    **HINDERED,
}
CANNOT_GO_ON = {state: f"{text[0].upper()}{text[1:]}" for state, text in HINDERED.items()}


def session_state(event: SessionMeasured, now: float) -> str:
    """One line about a state for the log: `at a usage limit until 14:30 (in 2 h 10 min): HTTP 429`."""
    detail = f": {harmless(event.detail, 400)}" if event.detail else ""
    return f"{STATES[event.state]}{limit_end(event.until, now)}{detail}"


def limit_end(until: float, now: float | None) -> str:
    """` until 14:30 (in 2 h 10 min)`; "" if the end is not known. Without `now` there is no countdown."""
    if not until:
        return ""
    if now is None:
        return f" until {clock(until)}"
    left = until - now
    return f" {words.until(until, now)} ({f'in {lasting(left)}' if left > 0 else 'over'})"


def resumed(event: SessionResumed) -> str:
    """What the watchdog did to continue, for the log."""
    number = f" (try {event.tries})" if event.tries > 1 else ""
    did = f"could not tell Claude to continue: {harmless(event.problem, 200)}" if event.problem else "told Claude to continue"
    return f"{did}{number}" + (f"; if no call passes, again at {clock_seconds(event.next_at)}" if event.next_at else "")
