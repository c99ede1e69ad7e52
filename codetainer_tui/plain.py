"""Formats the journal as text, one line per event, for logs, pipes, dumb terminals and screen readers.

Length: a case for each kind of event.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from backend.contract import events as e
from backend.contract import unsaved
from backend.contract.refusals import Severity, severity
from backend.contract.state import State, fold
from codetainer_tui.folding import Folding
from codetainer_tui.refusal import what
from codetainer_tui.view import work
from codetainer_tui.view.headline import LEARNING, protection_failed
from codetainer_tui.view.session import STATES, resumed, session_state
from codetainer_tui.view.walls import table, walls
from codetainer_tui.words import clock_seconds, date, harmless, many, size, took, until

OUTCOMES = {
    e.Outcome.DONE: "done",
    e.Outcome.WARNED: "warning",
    e.Outcome.FAILED: "FAILED",
    e.Outcome.SKIPPED: "not needed",
    e.Outcome.CANCELLED: "not run",
}
PROGRESS = re.compile(r"\b[0-9]{1,2}% \(")
# Measurements arrive every few seconds and would flood a log; screens show them.
MEASUREMENTS = (e.ListRead, e.NamesMeasured, e.SandboxMeasured, e.Carried, e.WorkRecounted, e.Snapshot, e.Unknown)


OF_PROTECTIONS = (e.BootStarted, e.ServiceChanged, e.ProofFinished)  # the events behind the table of protections


class Lines:
    """Formats events as lines. Remembers the titles of boot steps and the day, which later lines need."""

    def __init__(self, state: State | None = None, *, folded: bool = False) -> None:
        """`state` provides the titles if the events do not begin with a boot. `folded`: a flood gets few lines (folding.py)."""
        self._titles = {step.name: step.title for step in state.steps.values()} if state else {}
        self._state = state or State()
        self._pretend = self._state.pretend
        self._others = tuple(unsaved.needs_export(self._state.work.repositories)) if self._state.work else ()
        self._day = ""
        self._failing: frozenset[str] = frozenset()
        self._folding = Folding() if folded else None
        self._measured = self._state.measured is not None  # the journal has the measured state of the session
        self._unreached: dict[str, str] = {}  # by address of a notification service

    def of(self, stamped: e.Stamped) -> Iterator[str]:
        """The lines of one event, usually one; a new day adds a line with the date."""
        text = self.text(stamped.event, stamped.at)
        if isinstance(stamped.event, OF_PROTECTIONS):
            self._state = fold(self._state, stamped)
        if not text:
            return
        day = date(stamped.at)
        if day != self._day:
            self._day = day
            yield f"-------- {day}"
        yield f"{clock_seconds(stamped.at)} {text}"
        if isinstance(stamped.event, e.BootFinished | e.ProtectionFailed) and (rows := walls(self._state)):
            yield f"{clock_seconds(stamped.at)} protections:"
            yield from table(rows).splitlines()

    @staticmethod
    def _sealed(event: e.JournalSealed) -> str:
        """The first key and the last seal, to be compared with later (codetainer verify); "" for the seals between them."""
        if not event.seal:
            return f"journal: the key of its seals is {harmless(event.key, 64)}"
        return f"journal: last seal, after line {harmless(event.head, 50)}" if event.last else ""

    def text(self, event: e.Event, at: float) -> str:
        """The text of an event, "" for a measurement."""
        match event:
            case _ if isinstance(event, MEASUREMENTS):
                return ""
            case e.JournalSealed():
                return self._sealed(event)
            case e.BootStarted():
                self._titles = {step.name: step.title for step in event.plan}
                self._pretend = event.pretend
                repository = f" for {harmless(event.repository)}" if event.repository else ""
                run = f"{LEARNING}: every public name opens when it is asked for; " if event.learning else ""
                steps = many(len(event.plan), "step")
                return f"{run}boot started{repository}: {steps}, codetainer {harmless(event.version, 40)}"
            case e.StepStarted():
                return f"{self._title(event.step)} ..."
            case e.StepOutput():
                if PROGRESS.search(event.line):
                    return ""  # git reports every percent; a log needs only the end
                return f"{self._title(event.step)}: {harmless(event.line, 400)}"
            case e.StepFinished():
                return self._finished(event)
            case e.BootFinished():
                return f"{f'{LEARNING}: ' if self._state.learning else ''}{self._booted(event)}"
            case e.LockReleased():
                return "boot finished, session ready" if event.session else "boot finished, no session"
            case e.Stopping():
                return f"the sandbox is stopping: {harmless(event.reason)}"
            case e.ServiceChanged():
                pid = f" (pid {event.pid})" if event.pid else ""
                more = f", restarted {many(event.restarts, 'time')}" if event.restarts else ""
                return f"{harmless(event.service, 40)} is {event.state}{pid}{more}{_after(': ', event.detail)}"
            case e.SshOpened():
                keys, key = many(event.keys, "key"), harmless(event.fingerprint, 60)
                return f"ssh: port {event.port}, {keys} may log in as root, host key {key}"
            case e.ListMeasured():
                return self._list(event)
            case e.ProofFinished():
                if not event.failed:
                    reduced = f", but protections are reduced ({harmless(event.reduced, 120)})" if event.reduced else ""
                    return f"self-test passed{reduced}: {many(event.tried, 'check')}"
                return f"self-test FAILED: {harmless('; '.join(event.failed), 600)}{_after('. ', event.remedy)}"
            case e.ProtectionFailed():
                return f"CLOSED, {protection_failed(event, at)}{_after('. ', event.remedy)}"
            case e.Noted():
                return f"{'' if event.level == 'info' else harmless(event.level, 20) + ': '}{harmless(event.text, 600)}"
            case e.Refused() if self._folding and (folded := self._folding.folds(event, at)) is not None:
                return folded
            case e.Refused():
                by = f", by {harmless(event.program, 40)}" if event.program else ""
                times = f" ({event.count} times)" if event.count > 1 else ""
                serious = "SERIOUS " if severity(event) is Severity.SERIOUS else ""
                return f"{serious}refused {what(event)}: {event.reason}{by}{times}"
            case e.Learned():
                return _learned(event)
            case e.CookiesDropped():
                requests = many(event.count, "request")
                return f"dropped cookies from {requests} to {harmless(event.name, 253)}: this sandbox never received any"
            case e.Wrote():
                times = f" ({event.count} times)" if event.count > 1 and event.name else ""
                return f"wrote: {harmless(event.what, 300)}{times}{_after(', see ', event.link)}"
            case e.BudgetChanged():
                words = {e.BudgetLevel.WARNED: "nearly used up", e.BudgetLevel.USED_UP: "used up: calls are refused"}
                state = words.get(event.level, "no longer used up")
                return f"the model's budget is {state}{_after(', ', event.limit)}"
            case e.BudgetRaised():
                return f"the model's budget was raised by {harmless(event.amount, 60)}{_after(', by ', event.by)}"
            case e.NotificationsMeasured():
                return self._notifications(event)
            case e.Allowed() | e.Withdrawn() | e.Muted() | e.Acknowledged() | e.Froze():
                return _by_hand(event, at)
            case e.WorkCounted():
                self._others = tuple(unsaved.needs_export(event.repositories))
                return _work(event)
            case e.WorkSaved():
                return self._saved(event)
            case e.SaveSkipped():
                return _skipped(event)
            case e.SessionMeasured():
                self._measured = True
                return f"session: {session_state(event, at)}"
            case e.SessionResumed():
                return f"session: {resumed(event)}"
            case e.WorkSuspended():
                return _suspended(event)
            case e.WorkResumed():
                return _resumed(event)
            case e.SessionChanged():
                if self._measured and not event.screen:
                    return ""  # `session.state` has told it, or does so now
                return f"session {harmless(event.name, 60)}: {STATES[event.state]}{_after(', ', event.detail)}{_screen(event)}"
            case e.AgentSettings():
                return f"Claude Code's settings: {harmless('; '.join(event.problems), 1000) or 'no problems'}"
            case _:
                return ""

    def _saved(self, event: e.WorkSaved) -> str:
        branch = harmless(event.branch, 100)
        if event.problem:
            return f"warning: cannot save {unsaved.CLONE} to {branch}: {harmless(event.problem, 400)}"
        where = f" of {unsaved.PRETEND}" if self._pretend else ""
        without = f", left out: {harmless('; '.join(event.left_out), 400)}" if event.left_out else ""
        others = ", ".join(
            f"{harmless(one.path, 80)} ({command})"
            for one, command in zip(self._others, work.exports(self._others), strict=False)
        )
        return f"saved {unsaved.CLONE} to {branch} ({harmless(event.commit[:12])}){where}{without}" + (
            f"; not saved: {others}" if others else ""
        )

    def _title(self, step: str) -> str:
        return harmless(self._titles.get(step, step), 80)

    def _finished(self, event: e.StepFinished) -> str:
        ran = event.outcome in (e.Outcome.DONE, e.Outcome.WARNED, e.Outcome.FAILED)
        spent = f" in {took(event.seconds)}" if ran else ""
        remedy = _after(". ", event.remedy) if event.outcome is not e.Outcome.DONE else ""
        return f"{self._title(event.step)}: {OUTCOMES[event.outcome]}{spent}{_after(', ', event.detail)}{remedy}"

    def _booted(self, event: e.BootFinished) -> str:
        match event.state:
            case e.BootState.READY:
                return f"READY after {took(event.seconds)}"
            case e.BootState.DEGRADED:
                reason = _after(": ", event.reason) + _after(". ", event.remedy)
                return f"DEGRADED after {took(event.seconds)} because of {self._title(event.step)}{reason}"
            case e.BootState.HALTED:
                reason = _after(": ", event.reason) + _after(". ", event.remedy)
                return f"CLOSED, halted at {self._title(event.step)}{reason}"
            case e.BootState.BOOTING:
                return "boot continues"

    def _list(self, event: e.ListMeasured) -> str:
        """A line only if the set of failing names changed."""
        failing = frozenset(event.failing)
        if failing == self._failing:
            return ""
        before, self._failing = self._failing, failing
        if failing - before:
            each = (f"{name} ({event.reasons[name]})" if event.reasons.get(name) else name for name in sorted(failing))
            return f"warning: no address found for {harmless(', '.join(each), 600)}"
        return f"addresses found again for {harmless(', '.join(sorted(before - failing)), 400)}"

    def _notifications(self, event: e.NotificationsMeasured) -> str:
        """A line only if other addresses cannot be reached than before."""
        before, self._unreached = self._unreached, dict(event.failing)
        if self._unreached.keys() == before.keys():
            return ""
        each = "; ".join(map(": ".join, self._unreached.items()))
        text = f"warning: notifications are not delivered: {harmless(each, 600)}"
        return text if each else "notifications are delivered again"


def _work(event: e.WorkCounted) -> str:
    """Unsaved work, only if it may be lost now; a screen shows it all the time."""
    if event.occasion is e.Occasion.LOOKED or not (event.repositories or event.problem):
        return ""
    if not event.anything and not event.unknown:
        return "no unsaved work"
    works = [one for one in event.repositories if one.anything or one.notes]
    if event.occasion is e.Occasion.STOPPING:
        how = f" (saves contain only {unsaved.CLONE})" if unsaved.needs_export(works) else ""
    else:
        how = f". Run {unsaved.joined(work.exports(works)) or unsaved.export()} to keep it."
    subject = "unsaved work: " if works else "unsaved work is "
    return f"{subject}{'; '.join(work.only_here(event))}{how}"


def _skipped(event: e.SaveSkipped) -> str:
    if event.by_operator:
        return "the sandbox stops without a save, as the operator decided"
    how = f": CODETAINER_AUTOSAVE=exit would have saved {unsaved.CLONE} to wip/..." if event.covered else ""
    return f"warning: unpushed work is lost when this sandbox stops{how}"


def _suspended(event: e.WorkSuspended) -> str:
    file = harmless(event.file, 200)
    if event.problem:
        return f"warning: cannot write all work to {file}: {harmless(event.problem, 400)}"
    moving = "" if event.stood_still else "; the agent could not be stopped meanwhile"
    written = f"{many(event.entries, 'file')}, {size(event.size)} in {took(event.seconds)}"
    return f"all work written to {file}: {written}{moving}{_lacks(event.left_out, event.more)}"


def _resumed(event: e.WorkResumed) -> str:
    at = f"{date(event.suspended_at)} {clock_seconds(event.suspended_at)}"
    return f"resumed the work of {at}: {many(event.entries, 'file')}{_lacks(event.left_out, event.more)}"


def _lacks(left_out: Sequence[str], more: int) -> str:
    """The files that an archive lacks, after a separator; "" if there are none."""
    names = (*left_out, *([f"and {more} more"] if more else []))
    return f"; left out: {harmless('; '.join(names), 600)}" if names else ""


def _by_hand(event: e.Allowed | e.Withdrawn | e.Muted | e.Acknowledged | e.Froze, at: float) -> str:
    match event:
        case e.Allowed():
            ports = f" ports {harmless(event.ports, 40)}" if event.ports else ""
            only = f" only {harmless(event.grant, 120)}" if event.grant else ""
            return f"allowed {harmless(event.name)}{ports}{only} {until(event.until, at)}{_after(', by ', event.by)}"
        case e.Withdrawn():
            ports = f" ports {harmless(event.ports, 40)}" if event.ports else ""
            done = "revoked" if event.stays else "closed"
            by = _after(": " if event.by == e.TIME_UP else ", by ", event.by)
            return f"{done} {harmless(event.name)}{ports}{by}{_after('; still open: ', event.stays)}"
        case e.Muted():
            if event.until < 0:
                return f"unmuted {harmless(event.name)}"
            return f"muted {harmless(event.name)} {until(event.until, at) if event.until else 'until unmuted'}"
        case e.Acknowledged():
            which = "one kind of serious refusal" if event.key else "all serious refusals"
            return f"acknowledged {which} up to {clock_seconds(event.until)}{_after(', by ', event.by)}"
        case e.Froze():
            return f"{'FROZEN' if event.frozen else 'thawed'}{_after(', by ', event.by)}"


def _learned(event: e.Learned) -> str:
    by = _after(", by ", ", ".join(event.programs))
    if event.entry:
        why = _after(", because of ", event.why_open)
        return f"{LEARNING}: learned {harmless(event.entry, 400)}{why}{by}"
    return f"{LEARNING}: {'closed' if event.standing == 'closed' else 'opened'} {harmless(event.name, 253)}{by}"


def _screen(event: e.SessionChanged) -> str:
    return f"; its screen, in the agent's words: {harmless(' | '.join(event.screen), 1000)}" if event.screen else ""


def _after(before: str, text: str) -> str:
    """The escaped text after a separator; "" if there is no text."""
    return before + harmless(text, 600) if text else ""
