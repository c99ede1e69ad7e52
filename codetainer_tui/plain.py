"""Events as lines of words: for `--no-tui`, pipes, dumb terminals and screen readers."""

from __future__ import annotations

import functools
import time

from backend.contract import events as e
from backend.contract.state import State
from codetainer_tui.harmless import harmless

WORDS = {
    e.Outcome.DONE: "done", e.Outcome.WARNED: "warning", e.Outcome.FAILED: "failed", e.Outcome.SKIPPED: "skipped",
    e.Outcome.CANCELLED: "not started",
}  # fmt: skip


def line(stamped: e.Stamped, state: State) -> str:
    """The line for an event, "" for one that has nothing to say. `state` is the one after the event."""
    text = _words(stamped.event, state)
    return f"{time.strftime('%H:%M:%S', time.localtime(stamped.at))} {harmless(text, 400)}" if text else ""


def _title(step: str, state: State) -> str:
    known = state.steps.get(step)
    return known.title if known else step


@functools.singledispatch
def _words(event: e.Event, state: State) -> str:
    return ""


@_words.register
def _(event: e.BootStarted, state: State) -> str:
    what = f" for {event.repository}" if event.repository else ""
    return f"booting{what}: {len(event.plan)} steps, codetainer {event.version}, credentials {event.credentials}"


@_words.register
def _(event: e.StepStarted, state: State) -> str:
    return f"{_title(event.step, state)}: started"


@_words.register
def _(event: e.StepOutput, state: State) -> str:
    return f"{_title(event.step, state)}: {event.line}"


@_words.register
def _(event: e.StepFinished, state: State) -> str:
    text = f"{_title(event.step, state)}: {WORDS[event.outcome]} after {event.seconds:.1f} s"
    text += f", {event.detail}" if event.detail else ""
    return text + (f" [{event.remedy}]" if event.remedy else "")


@_words.register
def _(event: e.BootFinished, state: State) -> str:
    if event.state is e.BootState.READY:
        return f"READY after {event.seconds:.1f} s"
    word = "CLOSED, boot halted at" if event.state is e.BootState.HALTED else "DEGRADED because of"
    remedy = f" [{event.remedy}]" if event.remedy else ""
    return f"{word} {_title(event.step, state)}: {event.reason}{remedy}"


@_words.register
def _(event: e.LockReleased, state: State) -> str:
    return "init is over, the session is there" if event.session else "init is over, there is no session"


@_words.register
def _(event: e.Stopping, state: State) -> str:
    return f"stopping: {event.reason}"


@_words.register
def _(event: e.ServiceChanged, state: State) -> str:
    text = f"{event.service} is {event.state}" + (f" (pid {event.pid})" if event.pid else "")
    text += f", started again {event.restarts} times" if event.restarts else ""
    return text + (f": {event.detail}" if event.detail else "")


@_words.register
def _(event: e.ListMeasured, state: State) -> str:
    if not event.failing:
        return ""
    names = ", ".join(list(event.failing)[:5])
    return f"{len(event.failing)} of {event.names} names do not resolve: {names}"


@_words.register
def _(event: e.ProofFinished, state: State) -> str:
    if event.failed:
        return f"a wall did not hold: {'; '.join(event.failed)} [{event.remedy}]"
    return f"{event.tried} walls tried, all hold"


@_words.register
def _(event: e.Noted, state: State) -> str:
    return f"{event.level}: {event.text}"


@_words.register
def _(event: e.Refused, state: State) -> str:
    times = f" {event.count} times" if event.count > 1 else ""
    by = f", by {event.program}" if event.program else ""
    return f"refused{times}: {destination(event)}, {event.reason}{by}"


@_words.register
def _(event: e.Allowed, state: State) -> str:
    until = time.strftime("%H:%M", time.localtime(event.until)) if event.until else "it is revoked"
    return f"allowed by {event.by}: {event.name} until {until}"


@_words.register
def _(event: e.Withdrawn, state: State) -> str:
    return f"no longer allowed: {event.name} ({event.by})"


@_words.register
def _(event: e.Muted, state: State) -> str:
    return f"{event.name} is {'shown again' if event.until < 0 else 'muted'}"


@_words.register
def _(event: e.Froze, state: State) -> str:
    return f"frozen by {event.by}: the agent is stopped, nothing is open" if event.frozen else f"thawed by {event.by}"


@_words.register
def _(event: e.SessionChanged, state: State) -> str:
    return f"the agent {AGENT_WORDS[event.state]}" + (f": {event.detail}" if event.detail else "")


AGENT_WORDS = {
    e.SessionState.NONE: "is not there", e.SessionState.WORKS: "works", e.SessionState.WAITS: "waits for you",
    e.SessionState.IDLE: "is idle", e.SessionState.ENDED: "has ended", e.SessionState.UNKNOWN: "is there",
}  # fmt: skip


def destination(event: e.Refused) -> str:
    """What was asked for: the name where there is one, else the address; with its port, and the type of an odd query."""
    what = event.name or event.address
    if event.protocol == "dns":
        return what + (f" ({event.detail} query)" if event.detail else "") + (f" at {event.address}" if event.address else "")
    port = f":{event.port}" if event.port else ""
    protocol = "" if event.protocol in ("tcp", "") else f" {event.protocol}"
    return f"{what}{port}{protocol}" + (f" {event.detail}" if event.detail else "")
