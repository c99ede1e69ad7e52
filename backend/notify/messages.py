"""Turns events of the journal into messages for an operator who is away. Pure.

Each kind of event has one function below, registered for its class; to add a kind, add a function. All words are ours: names,
branches, screens and other text that the agent can choose are left out, unless the operator asked for them
(CODETAINER_NOTIFY_TEXT). Names of the allowlist are the operator's own.

Length: one function for each kind of event.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import time
from dataclasses import replace
from enum import IntEnum, StrEnum

from backend.contract import events as e
from backend.contract import unsaved
from backend.contract.immutable import dataclass
from backend.contract.refusals import Severity, severity
from backend.contract.state import State
from backend.notify.lines import MAX_COLUMNS, agents_text, clean, short

SETTLE_SECONDS = 10.0  # a state of the session that lasts shorter is not worth a message
OVERLOAD_SECONDS = 60.0  # the same for an overloaded API
MAX_BY = 60  # characters of an operator's name
OVER = {
    e.SessionState.LIMITED: "the usage limit is over",
    e.SessionState.REFUSED: "the API accepts the credential again",
}
RESUMES = 3  # tries to continue after a limit until the operator hears of it
COMMIT = re.compile(r"[0-9a-f]{40,64}")
# The probes of the self-test (backend/selftest/) that a message may name.
PROBES = frozenset((
    "another site", "credentials", "environments", "notifications", "outside address", "platform", "privileges",
    "loopback", "request to the model", "root read-only", "sshd", "system calls", "unlisted name", "upstream resolver",
))  # fmt: skip


class Kind(StrEnum):
    """The subject of a message. Messages of one kind are folded into one if they come in quick succession."""

    STARTED = "started"
    NEEDS_YOU = "needs you"
    REFUSED = "refused"
    BUDGET = "budget"
    LIMIT = "limit"
    CLOSED = "closed"
    FROZEN = "frozen"
    ENDED = "ended"
    WORK = "work"
    REPORT = "report"
    TEST = "test"


class Urgency(IntEnum):
    LOW = 0
    NORMAL = 1
    HIGH = 2
    URGENT = 3


@dataclass(frozen=True, slots=True)
class Message:
    """A message. `text` is one line, `details` are further ones. `count` counts the occurrences that it stands for.

    `at` is in seconds since the epoch, `settle` is how long to wait for a message that takes it back, in seconds. `asks`: the
    agent's screen has a question, which belongs to the details if the operator wants the agent's text. `sort` tells messages of
    one kind apart that must each be named: without one, the latest stands for all. The agent cannot choose it. Messages of the
    kind `takes_back` that are still settling are out of date.
    """

    kind: Kind
    urgency: Urgency
    text: str
    at: float
    details: tuple[str, ...] = ()
    count: int = 1
    settle: float = 0.0
    asks: bool = False
    sort: str = ""
    takes_back: Kind | None = None

    @property
    def words(self) -> str:
        """The text, with the number of occurrences."""
        return f"{self.text} ({self.count} times)" if self.count > 1 else self.text


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Messages of this kind that are still settling are out of date."""

    kind: Kind


News = Message | TakeBack | None


@dataclass(frozen=True, slots=True)
class Context:
    """The state before and after an event, its time, and whether the operator wants the agent's text."""

    before: State
    after: State
    at: float
    with_text: bool = False


@functools.singledispatch
def news(event: e.Event, context: Context) -> News:
    """The message for an event, None if it needs none."""
    return None


def is_relevant(event: e.Event) -> bool:
    """True if events of this class can have a message. Cheap, because it is called for every event."""
    return news.dispatch(type(event)) is not news.dispatch(e.Event)


@news.register
def _(event: e.BootFinished, context: Context) -> News:
    """A reason can contain names of the repository's files, or the output of programs of the agent's uid: the agent's text."""
    step = context.after.steps.get(event.step)
    what = short(event.reason) if context.with_text else f"at {short(step.title if step else event.step)}"
    remedy = _remedy(event.remedy if context.with_text else "Run codetainer status to see why.")
    if event.state is e.BootState.HALTED:
        text = f"boot halted: {what}. The agent is not started, and everything is closed"
        return Message(Kind.CLOSED, Urgency.URGENT, text, context.at, remedy)
    if event.state is e.BootState.DEGRADED:
        text = f"has started with a warning: {what}"
        return Message(Kind.STARTED, Urgency.NORMAL, text, context.at, remedy)
    return Message(Kind.STARTED, Urgency.LOW, "has started", context.at)


@news.register
def _(event: e.ProtectionFailed, context: Context) -> News:
    """The self-test's own words come from a process of the agent's uid, so they are the agent's text."""
    reason = short(event.reason) if context.with_text else ", ".join(sorted(PROBES & event.failed.keys()))
    text = f"a protection failed{f': {reason}' if reason else ''}. Everything is closed, and the agent was stopped"
    return Message(Kind.CLOSED, Urgency.URGENT, text, context.at, _remedy(event.remedy))


@news.register
def _(event: e.SessionChanged, context: Context) -> News:
    before = context.before.session
    if context.after.measured is not None or (before is not None and before.state is event.state):
        return None
    return _session(event.state, event.detail, context)


@news.register
def _(event: e.SessionMeasured, context: Context) -> News:
    before = context.before.measured
    if before is not None and (before.state, before.until) == (event.state, event.until):
        return None
    match event.state:
        case e.SessionState.LIMITED:
            until = f" until {time.strftime('%H:%M UTC', time.gmtime(event.until))}" if event.until > 0 else ""
            return _limit(event.state, Urgency.NORMAL, f"the agent is at a usage limit{until}", context)
        case e.SessionState.OVERLOADED:
            text = f"calls of the model fail ({short(event.reason) or 'overloaded'})"
            return replace(_limit(event.state, Urgency.NORMAL, text, context), settle=OVERLOAD_SECONDS)
        case e.SessionState.REFUSED:
            text = f"the API refuses the credential {short(event.credential)}".rstrip()
            return _limit(event.state, Urgency.HIGH, text, context)
        case e.SessionState.WORKS if event.before in (e.SessionState.LIMITED, e.SessionState.REFUSED):
            # As urgent as the bad news that it ends, so that it comes first in a notification that has both.
            urgency = Urgency.HIGH if event.before is e.SessionState.REFUSED else Urgency.NORMAL
            return _limit(event.state, urgency, "the agent works again: calls of the model pass", context)
        case e.SessionState.WORKS if event.before is e.SessionState.OVERLOADED:
            return TakeBack(Kind.LIMIT)
        case _:
            found = _session(event.state, event.detail, context)
            if not isinstance(found, Message):
                return found
            if event.state is e.SessionState.WAITS and event.before in OVER:  # Claude was done before its work was seen
                found = replace(found, text=f"{found.text}: {OVER[event.before]}")
            return replace(found, takes_back=Kind.LIMIT) if event.before is e.SessionState.OVERLOADED else found


def _limit(state: e.SessionState, urgency: Urgency, text: str, context: Context) -> Message:
    """A message about calls of the model. Each state is named: a limit must not hide that a credential was refused before."""
    return Message(Kind.LIMIT, urgency, text, context.at, sort=str(state))


@news.register
def _(event: e.SessionResumed, context: Context) -> News:
    if event.problem:
        problem = f": {short(event.problem)}" if context.with_text else ""
        text = f"the conversation could not be continued{problem}"
        return Message(Kind.LIMIT, Urgency.HIGH, text, context.at, sort="resumed")
    if event.tries != RESUMES:
        return None
    text = f"the conversation does not go on: told Claude {event.tries} times to continue, and no call has passed"
    return Message(Kind.LIMIT, Urgency.HIGH, text, context.at, sort="resumed")


def _session(state: e.SessionState, detail: str, context: Context) -> News:
    """The message for a new state of the session, whoever reported it."""
    if context.after.frozen:
        return None
    match state:
        case e.SessionState.WAITS:
            text = "the agent waits for you"
            return Message(Kind.NEEDS_YOU, Urgency.HIGH, text, context.at, settle=SETTLE_SECONDS, asks=context.with_text)
        case e.SessionState.ASKS:
            text = "Claude asks something before it begins"
            screen = context.after.session.screen if context.with_text and context.after.session else ()
            return Message(Kind.NEEDS_YOU, Urgency.HIGH, text, context.at, agents_text(screen))
        case e.SessionState.STUCK:
            text = "the agent is stuck: no output, no call and no child at work for a long time"
            return Message(Kind.NEEDS_YOU, Urgency.HIGH, text, context.at)
        case e.SessionState.ENDED:
            return Message(Kind.ENDED, Urgency.HIGH, f"the agent ended: {short(detail) or 'its session has ended'}", context.at)
        case e.SessionState.WORKS:
            return TakeBack(Kind.NEEDS_YOU)
        case _:
            return None


@news.register
def _(event: e.Refused, context: Context) -> News:
    if severity(event) is Severity.SERIOUS:
        text = f"serious refusal: {_destination(event, context)}{event.reason}"
        return Message(Kind.REFUSED, Urgency.HIGH, text, context.at, count=event.count, sort=str(event.reason))
    old, new = context.before.refusals.crowds, context.after.refusals.crowds
    crowd = next((one for key, one in new.items() if one.alarm and not (key in old and old[key].alarm)), None)
    if crowd is None:
        return None
    below = f": {clean(crowd.below)}" if context.with_text and crowd.below else ""
    text = f"refusals that look suspicious: {crowd.suspicion}{below}"
    return Message(Kind.REFUSED, Urgency.HIGH, text, context.at, sort=str(crowd.suspicion))


def _destination(event: e.Refused, context: Context) -> str:
    """The destination of a refusal, if the agent could not choose its text freely or the operator wants it anyway."""
    state = context.after
    operators = event.name in state.listed or any(grant.name == event.name for grant in state.allowed.values())
    if event.name and (operators or context.with_text):
        detail = f" ({clean(event.detail)})" if event.detail and context.with_text else ""
        return f"{clean(event.name)}{detail}: "
    try:
        return f"{ipaddress.ip_address(event.address)}{f':{event.port}' if event.port else ''}: "
    except ValueError:
        return ""


@news.register
def _(event: e.Froze, context: Context) -> News:
    by = f" by {clean(event.by, MAX_BY)}" if event.by else ""
    if event.frozen:
        text = f"frozen{by}: the agent is stopped, and every address is closed"
        return Message(Kind.FROZEN, Urgency.NORMAL, text, context.at, ("Run codetainer thaw to continue.",))
    since = context.before.frozen_at
    was = f"; it was frozen since {time.strftime('%H:%M UTC', time.gmtime(since))}" if since else ""
    whose = f" by {clean(context.before.frozen_by, MAX_BY)}" if since and context.before.frozen_by else ""
    return Message(Kind.FROZEN, Urgency.NORMAL, f"thawed{by}: the agent continues{was}{whose}", context.at)


@news.register
def _(event: e.BudgetChanged, context: Context) -> News:
    before = context.before.budget.level if context.before.budget else e.BudgetLevel.FINE
    if event.level is before:
        return None
    if event.level is e.BudgetLevel.USED_UP:
        text = f"the model's budget is used up: {short(event.limit)}. Calls are refused"
        return Message(Kind.BUDGET, Urgency.HIGH, text, context.at, ("Run codetainer budget +20 to add to it.",))
    if event.level is e.BudgetLevel.WARNED and before is e.BudgetLevel.FINE:
        return Message(Kind.BUDGET, Urgency.NORMAL, f"the model's budget is nearly used up: {short(event.limit)}", context.at)
    if before is e.BudgetLevel.USED_UP:
        return Message(Kind.BUDGET, Urgency.NORMAL, "the model has budget again", context.at)
    return None


@news.register
def _(event: e.Stopping, context: Context) -> News:
    return Message(Kind.ENDED, Urgency.HIGH, f"the sandbox stops: {short(event.reason)}", context.at)


@news.register
def _(event: e.WorkSaved, context: Context) -> News:
    before = context.before
    if event.problem:
        if before.save_problem and not context.after.stopping:
            return None  # reported already; saves are repeated
        detail = (clean(event.problem),) if context.with_text else ("Run codetainer save to see the reason.",)
        return Message(Kind.WORK, Urgency.HIGH, "work could not be saved", context.at, detail)
    ended = before.session is not None and before.session.state is e.SessionState.ENDED
    if before.saved is not None and not (before.save_problem or before.stopping or ended):
        return None
    branch = f" to {clean(event.branch)}" if context.with_text else ""
    left_out = f", without {len(event.left_out)} files" if event.left_out else ""
    commit = f" as {event.commit[:12]}" if COMMIT.fullmatch(event.commit) else ""
    return Message(Kind.WORK, Urgency.NORMAL, f"work is saved{commit}{branch}{left_out}", context.at)


@news.register
def _(event: e.SaveSkipped, context: Context) -> News:
    text = "the sandbox stops without saving unsaved work" + (", as the operator chose" if event.by_operator else "")
    return Message(Kind.WORK, Urgency.NORMAL if event.by_operator else Urgency.HIGH, text, context.at)


@news.register
def _(event: e.WorkCounted, context: Context) -> News:
    """Work that the end of the sandbox loses: repositories that no save contains, and an unknown amount."""
    if event.occasion is not e.Occasion.STOPPING:
        return None
    lost = unsaved.needs_export(event.repositories)
    parts = [unsaved.joined(unsaved.amounts(work)) or unsaved.UNKNOWN for work in lost]
    if parts:
        text = f"work in {len(parts)} {'repository' if len(parts) == 1 else 'repositories'} is never saved: {'; '.join(parts)}"
        return Message(Kind.WORK, Urgency.HIGH, short(text), context.at)
    if event.problem:
        return Message(Kind.WORK, Urgency.HIGH, "unsaved work could not be counted, so some may be lost", context.at)
    return None


def test(at: float) -> Message:
    """The message of `codetainer notify --test`."""
    return Message(Kind.TEST, Urgency.NORMAL, "this is a test of notifications", at)


def report(text: str, at: float) -> Message:
    """The report that the operator wants to have sent. It contains the agent's text, as far as the operator's command did."""
    lines = tuple(cleaned for line in text.splitlines() if (cleaned := clean(line, MAX_COLUMNS)))
    return Message(Kind.REPORT, Urgency.NORMAL, "report", at, lines)


def with_details(message: Message, details: tuple[str, ...]) -> Message:
    return replace(message, details=(*message.details, *details), asks=False)


def _remedy(text: str) -> tuple[str, ...]:
    return (clean(text),) if clean(text) else ()
