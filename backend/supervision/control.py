"""Answers the operator's requests: one function for each request class of backend/contract/control.py.

Length: a function for each request.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import ipaddress
import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from backend.contract import control, durations, shell
from backend.contract.control import Reply, Request
from backend.contract.events import Acknowledged, BootState, Muted, Outcome, Reason
from backend.contract.refusals import Refusals, RefusalView
from backend.guard import channel
from backend.journal import Journal
from backend.policy import Policy
from backend.services.bundle import Services
from backend.supervision import explanation
from backend.supervision.budget_reply import budget_reply
from backend.supervision.grants import BY_HAND, REVOCABLE, Grant, Grants
from backend.supervision.openers import in_words, until_words
from backend.supervision.suspender import Suspender
from backend.system import SystemFailure
from backend.work.keeper import Keeper
from backend.work.save_reply import save_reply
from network import allowlist, grant
from network.names import EntryError, normalise

if TYPE_CHECKING:
    from backend.notify.notifier import Notifier
    from backend.supervision.learning import Learning

REFRESH_SECONDS = 60.0
HOW_LONG = "Give a time from 1 s to a year, or none for until it is taken back."
NOT_TRUSTED = "programs that are running already do not trust the gate's certificate for it"
FROZEN = f"{Reason.FROZEN}: nothing is opened, and nothing started as the agent"


class Control(Protocol):
    """The parts of the supervisor that answer requests."""

    journal: Journal
    services: Services
    grants: Grants
    policy: Policy
    work: Keeper
    notifier: Notifier | None
    learning: Learning | None
    suspender: Suspender

    async def freeze(self, by: str) -> bool: ...
    async def thaw(self, by: str) -> bool: ...
    async def retry(self) -> BootState: ...
    async def restart_session(self) -> None: ...


async def answer(request: Request, target: Control, by: str = "root") -> Reply:
    """Does what the request asks for. A refusal gives the reason and a remedy, and leaves nothing half done."""
    if request.opens and target.policy.frozen:
        return Reply(False, FROZEN, "Run codetainer thaw first.")
    try:
        return await dispatch(request, target, by)
    except SystemFailure as error:
        return Reply(False, str(error), error.hint)
    except OSError as error:
        return Reply(False, f"cannot do {request.verb}: {error.strerror or type(error).__name__}")
    except EntryError as error:
        return Reply(False, f"cannot read {error.text!a}: {error.reason}", error.remedy)


@functools.singledispatch
async def dispatch(request: Request, target: Control, by: str) -> Reply:
    """One function for each request class, chosen by its annotation. `by` is the client, for the journal."""
    raise NotImplementedError(request.verb)


@dispatch.register
async def _(request: control.ListAllowed, target: Control, by: str) -> Reply:
    return await explanation.allowed(target)


@dispatch.register
async def _(request: control.Refresh, target: Control, by: str) -> Reply:
    return _from_guard(await target.services.guard.ask(channel.Refresh(), seconds=REFRESH_SECONDS))


@dispatch.register
async def _(request: control.Explain, target: Control, by: str) -> Reply:
    return await explanation.explain(request.target, target, request.url)


@dispatch.register
async def _(request: control.Freeze, target: Control, by: str) -> Reply:
    fresh = await target.freeze(by)
    done = "the agent is stopped and every address is closed"
    return Reply(True, done if fresh else f"already frozen, {explanation.frozen_since(target.journal.state)}: {done}")


@dispatch.register
async def _(request: control.Thaw, target: Control, by: str) -> Reply:
    if not await target.thaw(by):
        return Reply(True, "not frozen: there is nothing to thaw")
    return Reply(True, "the agent continues")


@dispatch.register
async def _(request: control.RestartSession, target: Control, by: str) -> Reply:
    if not target.journal.state.is_open:
        return Reply(False, "cannot restart the session: the sandbox is not ready", "Run codetainer retry to boot again.")
    await target.restart_session()
    return Reply(True, "the session was restarted")


@dispatch.register
async def _(request: control.CountWork, target: Control, by: str) -> Reply:
    return Reply(True, data=dataclasses.asdict(await target.work.at_stake()))


@dispatch.register
async def _(request: control.SaveWork, target: Control, by: str) -> Reply:
    if request.off:
        target.work.drop()
        return Reply(True, "nothing will be saved when the sandbox stops")
    return save_reply(*await target.work.save(), target.work.repository)


@dispatch.register
async def _(request: control.Suspend, target: Control, by: str) -> Reply:
    return await target.suspender.to_file(request.file)


def _from_guard(done: channel.Done) -> Reply:
    return Reply(done.ok, done.text, data=done.data)


@dispatch.register
async def _(request: control.Budget, target: Control, by: str) -> Reply:
    return budget_reply(request, target.services.reader, target.journal.emit, by)


@dispatch.register
async def _(request: control.Notify, target: Control, by: str) -> Reply:
    if target.notifier is None:
        return Reply(False, "no notifications are sent: CODETAINER_NOTIFY is not set", "Set it for the next boot.")
    from backend.supervision.notifications import notify_reply  # loaded only if there are addresses

    return await notify_reply(request, target.notifier, target.journal.state.notifications)


@dispatch.register
async def _(request: control.ShowLearned, target: Control, by: str) -> Reply:
    if target.learning is None:
        return Reply(False, "this is no learning run", "Start the sandbox with codetainer up --learn, or CODETAINER_LEARN=on.")
    try:
        return Reply(True, data={"text": target.learning.text()})
    except ValueError as error:
        return Reply(False, str(error))


@dispatch.register
async def _(request: control.Allow, target: Control, by: str) -> Reply:
    entry = allowlist.parse_entry(request.name, BY_HAND)
    if request.ports:
        entry = dataclasses.replace(entry, ports=allowlist.parse_ports(request.ports))
    if words := _grant(request):
        if not target.journal.state.gate:
            return Reply(
                False,
                f"cannot limit the requests to {entry}: CODETAINER_GATE=off",
                "Repeat it without --read and --grant to allow any request.",
            )
        entry = entry.granting(words)
    if allowlist.is_broad(entry) and not request.yes:
        return Reply(False, f"{entry.pattern} opens names that anybody can register", "Repeat it with --yes if that is meant.")
    if not _is_duration(request.seconds):
        return Reply(False, f"cannot allow {entry} for {request.seconds:g} s", HOW_LONG)
    before, replaced = target.grants.open_for(entry), target.grants.overlapping(entry)
    now = time.time()
    until = now + request.seconds if request.seconds is not None else 0.0
    lack = await target.grants.grant(entry, until, by, unresolved=request.yes)
    text = f"{entry} is open {until_words(until, now)}"
    if lack:
        text = f"{entry} is allowed {until_words(until, now)}, but cannot be reached: {lack}"
    text += "".join(f"; {_was_open(each, entry, now)}" for each in replaced)
    if any(entry.grants):
        text += f"; {NOT_TRUSTED}"
    if wider := _wider(target.grants.allowlist, entry):
        text += f"; {wider}"
    others = [other for other in before if other.numbers - entry.numbers or other.source != BY_HAND]
    if others:
        text += f"; also open: {in_words(others)}"
    return Reply(True, text, data={"until": until})


def _wider(in_force: allowlist.Allowlist, entry: allowlist.Entry) -> str:
    """What passes besides the grant of an entry, because other entries or the rules for a credential decide; "" if nothing."""
    now = in_force.listed(entry.pattern)
    grants = now.grants if now is not None else ()
    if grant.BY_CREDENTIAL in grants:
        return f"{entry.pattern} has a credential, so its rules in credentials.toml decide"
    if grant.ANYTHING in grants and grant.ANYTHING not in entry.grants:
        return "the allowlist already grants any request"
    return ""


def _grant(request: control.Allow) -> tuple[str, ...]:
    """The grant that a request asks for. Raises EntryError."""
    words = [*request.grant.split(), *([grant.READ] if request.read else [])]
    return grant.parse([(0, word) for word in words]) if words else grant.ANYTHING


def _was_open(was: Grant, entry: allowlist.Entry, now: float) -> str:
    """What a new grant replaces: `was open until 18:17`, with the ports unless they are the same."""
    shared = [port for port in was.entry.ports if port.number in entry.numbers]
    on = "" if {port.number for port in shared} == entry.numbers else f" on {', '.join(map(str, shared))}"
    return f"was open{on} {until_words(was.until, now)}"


def _is_duration(seconds: float | None) -> bool:
    """True for a time that a request may give, or for None, which has no end. 0 could mean either."""
    return seconds is None or 0 < seconds <= durations.LONGEST  # False for NaN, too


@dispatch.register
async def _(request: control.Revoke, target: Control, by: str) -> Reply:
    entry = allowlist.parse_entry(request.name)
    ports = request.ports or request.name.partition(":")[2]
    numbers = frozenset(port.number for port in allowlist.parse_ports(ports)) if ports else None
    what = f"{entry.pattern}:{ports}" if ports else entry.pattern
    was_open = entry.pattern in target.grants.granted
    try:
        await target.grants.withdraw(entry.pattern, by, numbers)
    except KeyError:
        if was_open and entry.pattern not in target.grants.granted:
            return Reply(False, f"{what} was closed meanwhile", "Run codetainer allowed to see what is open.")
        return _not_by_hand(what, target.grants.open_for(entry))
    left = target.grants.open_for(entry)
    data = {"open": [{"name": e.pattern, "ports": ",".join(map(str, e.ports)), "source": e.source} for e in left]}
    if not left:
        return Reply(True, f"{what} is closed again", data=data)
    text = f"what was allowed by hand of {what} is closed again, but it stays open on {in_words(left)}"
    return Reply(True, f"{text}. {_how_to_close(left)}", data=data)


def _not_by_hand(what: str, left: list[allowlist.Entry]) -> Reply:
    if not left:
        return Reply(False, f"{what} was not allowed by hand, and is not open", "Run codetainer allowed to see what is.")
    return Reply(False, f"{what} was not allowed by hand; it is open on {in_words(left)}", _how_to_close(left))


def _how_to_close(left: list[allowlist.Entry]) -> str:
    """The remedy for entries that a revoke leaves open."""
    by_hand = next((entry.pattern for entry in left if entry.source in REVOCABLE), "")
    if by_hand and all(entry.source in REVOCABLE for entry in left):
        revoke = shell.command("codetainer", "revoke", by_hand)
        return f"Run {revoke} to close it, or codetainer freeze to close everything now."
    return "Take it off the allowlist and start the sandbox again, or run codetainer freeze to close everything now."


@dispatch.register
async def _(request: control.Mute, target: Control, by: str) -> Reply:
    """Mutes a name or an address: one that was refused already, or any that could be."""
    name = request.name.rstrip(".").lower()
    state = target.journal.state
    if request.off:
        if name not in state.muted:
            return Reply(False, f"{name} is not muted", "Press i in codetainer dashboard to see what is.")
        target.journal.emit(Muted(name, -1.0))
        return Reply(True, f"{name} is shown again")
    if not _is_duration(request.seconds):
        return Reply(False, f"cannot mute {name} for {request.seconds:g} s", HOW_LONG)
    was_refused = bool(name) and _is_among(name, state.refusals.values())
    if not was_refused and not _could_be_refused(name):
        return Reply(
            False, f"cannot mute {name!a}: nothing of that name was refused, and it is neither a host name nor an address",
            "Run codetainer status to see what was refused.",
        )  # fmt: skip
    until = time.time() + request.seconds if request.seconds is not None else 0.0
    target.journal.emit(Muted(name, until))
    note = "" if was_refused else "; nothing of it has been refused so far"
    if _is_among(name, state.refusals.serious.values()):
        note = "; its serious refusals are shown all the same"
    return Reply(True, f"{name} is muted {until_words(until, time.time()) if until else 'until it is shown again'}{note}")


def _is_among(name: str, refusals: Iterable[RefusalView]) -> bool:
    return any(name in (view.latest.name, view.latest.address) for view in refusals)


@dispatch.register
async def _(request: control.Acknowledge, target: Control, by: str) -> Reply:
    if not math.isfinite(request.until):
        return Reply(False, "cannot acknowledge: the time is not a number")
    event, before = Acknowledged(request.until, request.key, by), target.journal.state.refusals
    after = before.acknowledged(event)
    if after == before:
        return Reply(False, "more came meanwhile: look again" if before.alarms else "there is nothing to acknowledge")
    target.journal.emit(event)
    left = f", {_kinds(after.alarms, after)} left" if after.alarms else ""
    return Reply(True, f"{_kinds(before.alarms - after.alarms, before)} acknowledged{left}", data={"left": after.alarms})


def _kinds(number: int, of: Refusals) -> str:
    return str(number) if of.alarms_exact else f"at least {number}"


def _could_be_refused(name: str) -> bool:
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    with contextlib.suppress(EntryError):
        normalise(name)
        return True
    return False


@dispatch.register
async def _(request: control.Retry, target: Control, by: str) -> Reply:
    before = target.journal.state
    if before.boot is BootState.BOOTING:
        return Reply(False, "cannot boot again: boot is still running", "Run codetainer status to see how far it is.")
    warned = [step.title for step in before.steps.values() if step.outcome is Outcome.WARNED]
    if not before.needs_retry and not warned:
        return Reply(False, "no step of boot has failed", "Run codetainer status to see its state.")
    result = await target.retry()
    after = target.journal.state
    if before.needs_retry or result is not BootState.READY:
        succeeded = result is not BootState.HALTED if before.needs_retry else result is BootState.READY
        return Reply(succeeded, f"boot ended: {result}" + (f", {after.reason}" if after.reason else ""), after.remedy)
    return Reply(True, f"repeated and done: {', '.join(warned)}")
