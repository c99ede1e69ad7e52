"""What an event means for the day (backend/contract/day.py): the activity, and the moments worth a mark. Pure."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from backend.contract import events as e
from backend.contract.day import Doing, Mark, MarkKind

if TYPE_CHECKING:
    from backend.contract.state import State

_SESSION = {
    e.SessionState.NONE: Doing.ENDED,
    e.SessionState.ASKS: Doing.WAITING,
    e.SessionState.WORKS: Doing.WORKING,
    e.SessionState.WAITS: Doing.WAITING,
    e.SessionState.IDLE: Doing.IDLE,
    e.SessionState.ENDED: Doing.ENDED,
    e.SessionState.UNKNOWN: Doing.UNKNOWN,
    e.SessionState.LIMITED: Doing.LIMITED,
    e.SessionState.OVERLOADED: Doing.FAILING,
    e.SessionState.REFUSED: Doing.FAILING,
    e.SessionState.STUCK: Doing.STUCK,
}
# Why an agent cannot go on, in the words of report and screens.
HINDERED = {
    e.SessionState.LIMITED: "at a usage limit",
    e.SessionState.OVERLOADED: "calls of the model fail",
    e.SessionState.REFUSED: "the API refuses the credential",
    e.SessionState.STUCK: "the agent seems to be stuck",
}


def doing(state: State) -> Doing | None:
    """What the sandbox and its agent are doing. A closed or frozen sandbox stops the agent, whatever it last reported.

    None before the first boot.
    """
    if state.stopping:
        return Doing.STOPPED
    if state.needs_retry:
        return Doing.CLOSED
    if state.frozen:
        return Doing.FROZEN
    if state.boot is None:
        return None
    if state.boot is e.BootState.BOOTING:
        return Doing.STARTING
    return _SESSION.get(state.session_state, Doing.UNKNOWN)


@functools.singledispatch
def mark(event: e.Event, at: float) -> Mark | None:
    """The mark for an event; None if it deserves none."""
    return None


@mark.register
def _(event: e.BootStarted, at: float) -> Mark:
    return Mark(at, MarkKind.BOOT, "boot began" + (", as a learning run" if event.learning else ""), bad=event.learning)


@mark.register
def _(event: e.BootFinished, at: float) -> Mark:
    bad = event.state is not e.BootState.READY
    return Mark(at, MarkKind.BOOT, f"boot ended: {event.state}" + (f", {event.reason}" if event.reason else ""), bad=bad)


@mark.register
def _(event: e.Stopping, at: float) -> Mark:
    return Mark(at, MarkKind.STOP, f"stopped: {event.reason}")


@mark.register
def _(event: e.ServiceChanged, at: float) -> Mark | None:
    if event.state not in (e.ServiceState.DOWN, e.ServiceState.UNRESPONSIVE):
        return None
    return Mark(
        at, MarkKind.FAULT, f"{event.service} is {event.state}" + (f": {event.detail}" if event.detail else ""), bad=True
    )


@mark.register
def _(event: e.ProtectionFailed, at: float) -> Mark:
    return Mark(at, MarkKind.PROTECTION, f"protection failed: {event.reason}", bad=True)


@mark.register
def _(event: e.ProofFinished, at: float) -> Mark | None:
    if not event.failed:
        return None
    return Mark(at, MarkKind.PROTECTION, f"the self-test failed: {', '.join(event.failed)}", bad=True)


@mark.register
def _(event: e.Allowed, at: float) -> Mark:
    return Mark(at, MarkKind.GRANT, f"allowed {event.entry}", event.by)


@mark.register
def _(event: e.Withdrawn, at: float) -> Mark:
    return Mark(at, MarkKind.GRANT, f"closed {event.name}{f':{event.ports}' if event.ports else ''}", event.by)


@mark.register
def _(event: e.Muted, at: float) -> Mark:
    return Mark(at, MarkKind.SEEN, f"{'unmuted' if event.until < 0 else 'muted'} {event.name}")


@mark.register
def _(event: e.Acknowledged, at: float) -> Mark:
    what = "one serious refusal" if event.key else "all serious refusals"
    return Mark(at, MarkKind.SEEN, f"acknowledged {what}", event.by)


@mark.register
def _(event: e.Wrote, at: float) -> Mark:
    times = f" ({event.count} times)" if event.count > 1 and event.name else ""
    return Mark(at, MarkKind.WRITE, f"{event.what}{times}", event.name, link=event.link)


@mark.register
def _(event: e.Froze, at: float) -> Mark:
    return Mark(at, MarkKind.FREEZE, "froze the agent" if event.frozen else "thawed the agent", event.by)


@mark.register
def _(event: e.BudgetChanged, at: float) -> Mark:
    text = f"budget {event.level}" if event.level is not e.BudgetLevel.FINE else "budget: below the limit again"
    return Mark(
        at, MarkKind.BUDGET, text + (f" ({event.limit})" if event.limit else ""), bad=event.level is e.BudgetLevel.USED_UP
    )


@mark.register
def _(event: e.BudgetRaised, at: float) -> Mark:
    return Mark(at, MarkKind.BUDGET, f"budget raised by {event.amount}", event.by)


@mark.register
def _(event: e.SessionMeasured, at: float) -> Mark | None:
    if event.state in HINDERED:
        return Mark(at, MarkKind.LIMIT, HINDERED[event.state] + (f": {event.detail}" if event.detail else ""), bad=True)
    return Mark(at, MarkKind.LIMIT, f"no longer: {HINDERED[event.before]}") if event.before in HINDERED else None


@mark.register
def _(event: e.SessionResumed, at: float) -> Mark:
    if event.problem:
        return Mark(at, MarkKind.LIMIT, f"could not tell Claude to continue: {event.problem}", bad=True)
    return Mark(at, MarkKind.LIMIT, "told Claude to continue")


@mark.register
def _(event: e.WorkSaved, at: float) -> Mark:
    if event.problem:
        return Mark(at, MarkKind.SAVE, f"not saved: {event.problem}", bad=True)
    return Mark(at, MarkKind.SAVE, f"saved to {event.branch}")


@mark.register
def _(event: e.SaveSkipped, at: float) -> Mark:
    return Mark(
        at, MarkKind.SAVE, "stopped without a save", "the operator" if event.by_operator else "", bad=not event.by_operator
    )
