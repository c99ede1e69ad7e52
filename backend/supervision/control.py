"""The control socket: what the operator may ask of a running sandbox, and nobody else.

The socket is root's (0600) and the kernel says who connected (SO_PEERCRED, unix(7)): anybody but root is turned away.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import os
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from backend.contract import control, durations, shell
from backend.contract.control import Reply, Request
from backend.contract.events import Acknowledged, BootState, Muted, Outcome
from backend.contract.refusals import Refusals
from backend.guard import channel
from backend.journal import Journal
from backend.policy import Policy
from backend.services.bundle import Services
from backend.supervision.grants import BY_HAND, Grants, in_words
from backend.system import SystemFailure
from backend.work import requests
from backend.work.keeper import Keeper
from network import allowlist
from network.names import EntryError, normalise

LONGEST_LINE = 64 << 10
HOW_LONG = "Give a time from 1 s to a year, or none for until it is taken back."


class Control(Protocol):
    """What the supervisor can do for a request."""

    journal: Journal
    services: Services
    grants: Grants
    policy: Policy
    work: Keeper

    async def freeze(self, by: str) -> None: ...
    async def thaw(self, by: str) -> None: ...
    async def retry(self) -> BootState: ...
    async def restart_session(self) -> None: ...


async def answer(request: Request, target: Control, by: str = "root") -> Reply:
    """Does what was asked. Every refusal says why and what to do; nothing is half done."""
    try:
        match request:
            case control.Allow() | control.Refresh() | control.Retry() | control.RestartSession() if target.policy.frozen:
                return Reply(
                    False,
                    "the sandbox is frozen: nothing is opened, and nothing started as the agent",
                    "Run codetainer thaw first.",
                )
            case control.Allow():
                return await _allow(request, target, by)
            case control.Revoke():
                return await _revoke(request, target, by)
            case control.ListAllowed():
                return Reply(True, data={"entries": _entries(target)})
            case control.Refresh():
                return _from_guard(await target.services.guard.ask(channel.Refresh(), seconds=60.0))
            case control.Explain():
                return _from_guard(await target.services.guard.ask(channel.Explain(request.target)))
            case control.Mute():
                return _mute(request, target)
            case control.Acknowledge():
                return _acknowledge(request, target, by)
            case control.Freeze():
                await target.freeze(by)
                return Reply(True, "the agent is stopped and every address is closed")
            case control.Thaw():
                await target.thaw(by)
                return Reply(True, "the agent goes on")
            case control.Retry():
                return await _retry(target)
            case control.RestartSession():
                if not target.journal.state.is_open:
                    return Reply(
                        False, "cannot restart the session: the sandbox is not ready", "Run codetainer retry to boot again."
                    )
                await target.restart_session()
                return Reply(True, "the session was started anew")
            case control.CountWork() | control.SaveWork() | control.DropWork():
                return await requests.answer(request, target.work)
            case _:
                return Reply(False, f"cannot do {request.verb}")
    except SystemFailure as error:
        return Reply(False, str(error), error.hint)
    except OSError as error:
        return Reply(False, f"cannot do {request.verb}: {error.strerror or type(error).__name__}")
    except EntryError as error:
        return Reply(False, f"cannot read {error.text!a}: {error.reason}", error.remedy)


def _from_guard(done: Any) -> Reply:
    data: Mapping[str, Any] = done.data
    return Reply(bool(done.ok), str(done.text), data=data)


async def _allow(request: control.Allow, target: Control, by: str) -> Reply:
    entry = allowlist.parse_entry(request.name, BY_HAND)
    if request.ports:
        entry = replace(entry, ports=allowlist.parse_ports(request.ports))
    if allowlist.is_broad(entry) and not request.yes:
        return Reply(False, f"{entry.pattern} opens names that anybody can register", "Repeat it with --yes if that is meant.")
    if not _is_duration(request.seconds):
        return Reply(False, f"cannot allow {entry} for {request.seconds:g} s", HOW_LONG)
    before = target.grants.open_for(entry)
    until = time.time() + request.seconds if request.seconds is not None else 0.0
    await target.grants.grant(entry, until, by, unresolved=request.yes)
    text = f"{entry} is open {_until(until)}"
    known = [other for other in before if other.numbers - entry.numbers or other.source != BY_HAND]
    if known:
        text += f"; also open: {in_words(known)}"
    return Reply(True, text, data={"until": until})


def _is_duration(seconds: float | None) -> bool:
    """What a request may ask for: a time, or None for one without an end. 0 could be read as either."""
    return seconds is None or 0 < seconds <= durations.LONGEST  # false for a number that is none, too


def _until(until: float) -> str:
    if not until:
        return "until it is revoked"
    near = until - time.time() < 12 * durations.HOUR
    return time.strftime("until %H:%M" if near else "until %d %b %H:%M", time.localtime(until))


async def _revoke(request: control.Revoke, target: Control, by: str) -> Reply:
    entry = allowlist.parse_entry(request.name)
    given = request.ports or request.name.partition(":")[2]
    numbers = frozenset(port.number for port in allowlist.parse_ports(given)) if given else None
    what = f"{entry.pattern}:{given}" if given else entry.pattern
    there = entry.pattern in target.grants.granted
    try:
        await target.grants.withdraw(entry.pattern, by, numbers)
    except KeyError:
        if there and entry.pattern not in target.grants.granted:
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
    """What closes entries that a revoke does not."""
    by_hand = next((entry.pattern for entry in left if entry.source == BY_HAND), "")
    if by_hand and all(entry.source == BY_HAND for entry in left):
        revoke = shell.command("codetainer", "revoke", by_hand)
        return f"Run {revoke} to close it, or codetainer freeze to close everything now."
    return "Take it off the allowlist and start the sandbox again, or run codetainer freeze to close everything now."


def _entries(target: Control) -> list[dict[str, Any]]:
    """The list, then what was allowed by hand: each with ports and an end of its own."""
    listed = [(entry, entry.source, None) for entry in target.grants.listed.entries]
    by_hand = [
        (
            grant.entry,
            f"{BY_HAND}, by {grant.by}" + (f"; being closed, by {grant.closed_by}" if grant.closed_by else ""),
            grant.until,
        )
        for grants in target.grants.granted.values()
        for grant in grants
    ]
    return [
        {"name": entry.pattern, "ports": ",".join(map(str, entry.ports)), "source": source, "until": until}
        for entry, source, until in (*listed, *by_hand)
    ]


def _mute(request: control.Mute, target: Control) -> Reply:
    """What is muted is a name or an address; of one that nobody has asked for yet it has to be one that somebody could."""
    name = request.name.rstrip(".").lower()
    state = target.journal.state
    refused = state.refusals.values()
    if request.off:
        if name not in state.muted:
            return Reply(False, f"{name} is not muted", "Press i in codetainer dashboard to see what is.")
        target.journal.emit(Muted(name, -1.0))
        return Reply(True, f"{name} is shown again")
    if not _is_duration(request.seconds):
        return Reply(False, f"cannot mute {name} for {request.seconds:g} s", HOW_LONG)
    known = bool(name) and any(name in (view.latest.name, view.latest.address) for view in refused)
    if not known and not _could_be_refused(name):
        return Reply(
            False, f"cannot mute {name!a}: nothing of that name was refused, and it is neither a host name nor an address",
            "Run codetainer status to see what was refused.",
        )  # fmt: skip
    until = time.time() + request.seconds if request.seconds is not None else 0.0
    target.journal.emit(Muted(name, until))
    nothing = "" if known else "; nothing of it has been refused so far"
    if any(name in (view.latest.name, view.latest.address) for view in state.refusals.serious.values()):
        nothing = "; its serious refusals are shown all the same"
    return Reply(True, f"{name} is muted {_until(until) if until else 'until it is shown again'}{nothing}")


def _acknowledge(request: control.Acknowledge, target: Control, by: str) -> Reply:
    if not math.isfinite(request.until):
        return Reply(False, "cannot acknowledge: until when is no moment")
    event, before = Acknowledged(request.until, request.key, by), target.journal.state.refusals
    after = before.acknowledged(event)
    if after == before:
        return Reply(False, "it has come again meanwhile: look again" if before.alarms else "there is nothing to acknowledge")
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


async def _retry(target: Control) -> Reply:
    before = target.journal.state
    warned = [step.title for step in before.steps.values() if step.outcome is Outcome.WARNED]
    if before.boot is BootState.BOOTING:
        return Reply(False, "cannot boot again: boot is under way", "Run codetainer status to see how far it is.")
    if not before.needs_retry and not warned:
        return Reply(False, "nothing of boot has failed", "Run codetainer status to see its state.")
    state = await target.retry()
    now = target.journal.state
    if before.needs_retry or state is not BootState.READY:
        well = state is not BootState.HALTED if before.needs_retry else state is BootState.READY
        return Reply(well, f"boot ended: {state}" + (f", {now.reason}" if now.reason else ""), now.remedy)
    return Reply(True, f"tried again and done: {', '.join(warned)}")


class ControlServer:
    """Serves `answer` on the control socket."""

    def __init__(self, path: Path, target: Control) -> None:
        self._path, self._target = path, target
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=LONGEST_LINE)
        finally:
            os.umask(before)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            peer: socket.socket = writer.get_extra_info("socket")
            _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            while line := (await reader.readline()).decode(errors="replace"):
                if uid != 0:
                    reply = Reply(False, "only root may ask for this", "Ask the operator of the sandbox.")
                else:
                    try:
                        reply = await answer(control.decode_request(line), self._target)
                    except ValueError as error:
                        reply = Reply(False, str(error))
                writer.write(control.encode_reply(reply).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass  # whoever asked has gone, or sent a line beyond all bounds
        finally:
            writer.close()
