"""The control socket: what the operator may ask of a running sandbox, and nobody else.

The socket is root's (0600) and the kernel says who connected (SO_PEERCRED, unix(7)): anybody but root is turned away.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from backend.contract import control
from backend.contract.control import Reply, Request
from backend.contract.events import BootState, Muted, Outcome
from backend.journal import Journal
from backend.services.services import Services
from backend.supervision.grants import Grants
from backend.system import SystemFailure
from network import allowlist
from network.names import EntryError

LONGEST_LINE = 64 << 10


class Control(Protocol):
    """What the supervisor can do for a request."""

    journal: Journal
    services: Services
    grants: Grants
    frozen: bool

    async def freeze(self, by: str) -> None: ...
    async def thaw(self, by: str) -> None: ...
    async def retry(self) -> BootState: ...
    async def restart_session(self) -> None: ...


async def answer(request: Request, target: Control, by: str = "root") -> Reply:
    """Does what was asked. Every refusal says why and what to do; nothing is half done."""
    try:
        match request:
            case control.Allow() | control.Refresh() | control.Retry() | control.RestartSession() if target.frozen:
                return Reply(
                    False, "the sandbox is frozen: nothing is opened, and nothing started as the agent", "codetainer thaw first"
                )
            case control.Allow():
                return await _allow(request, target, by)
            case control.Revoke():
                return await _revoke(request, target, by)
            case control.ListAllowed():
                return Reply(True, data={"entries": _entries(target)})
            case control.Refresh():
                return _from_guard(await target.services.do("refresh", seconds=60.0))
            case control.Explain():
                return _from_guard(await target.services.do("explain", request.target))
            case control.Mute():
                until = -1.0 if request.seconds < 0 else (time.time() + request.seconds if request.seconds else 0.0)
                target.journal.emit(Muted(request.name, until))
                return Reply(True, f"{request.name} is {'shown again' if until < 0 else 'muted'}")
            case control.Freeze():
                await target.freeze(by)
                return Reply(True, "the agent is stopped and every address is closed")
            case control.Thaw():
                await target.thaw(by)
                return Reply(True, "the agent goes on")
            case control.Retry():
                return await _retry(target)
            case control.RestartSession():
                if target.journal.state.boot not in (BootState.READY, BootState.DEGRADED):
                    return Reply(False, "cannot restart the session: the sandbox is not ready", "codetainer retry boots again")
                await target.restart_session()
                return Reply(True, "the session was started anew")
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
    entry = allowlist.parse_entry(request.name, "by hand")
    if request.ports:
        entry = replace(entry, ports=allowlist.parse_ports(request.ports))
    if allowlist.is_broad(entry) and not request.yes:
        return Reply(False, f"{entry.pattern} opens names that anybody can register", "say --yes if that is meant")
    if request.seconds < 0 or request.seconds > 366 * 86400:
        return Reply(False, "cannot allow for so long a time", "at most a year; leave it out for until it is revoked")
    until = time.time() + request.seconds if request.seconds else 0.0
    await target.grants.grant(entry, until, by)
    clock = time.strftime("%H:%M", time.localtime(until)) if until else ""
    return Reply(True, f"{entry} is open {f'until {clock}' if until else 'until it is revoked'}", data={"until": until})


async def _revoke(request: control.Revoke, target: Control, by: str) -> Reply:
    entry = allowlist.parse_entry(request.name)
    if entry.pattern not in target.grants.granted:
        listed = next((e for e in target.grants.allowlist.entries if e.pattern == entry.pattern), None)
        if listed is not None:
            return Reply(
                False, f"{entry.pattern} stands on the list itself ({listed.source})", "take it out there and boot again"
            )
        return Reply(False, f"{entry.pattern} was not allowed by hand", "codetainer allowed shows what was")
    try:
        await target.grants.withdraw(entry.pattern, by)
    except KeyError:
        return Reply(False, f"{entry.pattern} was closed meanwhile", "codetainer allowed shows what is open")
    return Reply(True, f"{entry.pattern} is closed again")


def _entries(target: Control) -> list[dict[str, Any]]:
    return [
        {
            "name": entry.pattern,
            "ports": ",".join(map(str, entry.ports)),
            "source": entry.source,
            "until": target.grants.granted[entry.pattern].until if entry.pattern in target.grants.granted else None,
        }
        for entry in target.grants.allowlist.entries
    ]


async def _retry(target: Control) -> Reply:
    before = target.journal.state
    warned = [step.title for step in before.steps.values() if step.outcome is Outcome.WARNED]
    if before.boot is BootState.BOOTING:
        return Reply(False, "cannot boot again: boot is under way", "codetainer status shows how far it is")
    if before.boot is not BootState.HALTED and not warned:
        return Reply(False, "nothing of boot has failed", "codetainer status shows how it is")
    state = await target.retry()
    now = target.journal.state
    if before.boot is BootState.HALTED or state is not BootState.READY:
        well = state is not BootState.HALTED if before.boot is BootState.HALTED else state is BootState.READY
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
                    reply = Reply(False, "only root may ask for this", "ask the operator of the sandbox")
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
