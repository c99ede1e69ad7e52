"""Reads the gate's log: counts refusals, records connections, and reports lost lines.

HAProxy writes to pipes and drops a line if the pipe is full. The credential proxy has a separate pipe that gets only refusals,
so a flood of other lines cannot displace them.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from backend.contract.events import Event, Noted, Reason, Refused, Via
from backend.contract.refusals import OTHER_NAMES
from backend.contract.traffic import Connection
from backend.services.cookies import Cookies
from backend.services.service import Tally, lines
from backend.services.tasks import Tasks
from backend.services.traffic import TrafficLog
from backend.services.writes import Writes
from network.gate import haproxy, wording
from network.gate.haproxy import Line
from network.gate.written import WROTE

NAME = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
PIPE_BYTES = 1 << 20  # the default limit for unprivileged users (pipe(7))
MAX_OF_A_REASON = 64  # different refusals between two calls of `take`; the others are added up


if TYPE_CHECKING:
    from network.learning.record import Request


class Learns(Protocol):
    """What a learning run takes from the log (backend/supervision/learning.py)."""

    def untrusted(self, name: str) -> None: ...
    def request(self, request: Request) -> None: ...
    def connection(self, name: str, port: int, bytes_in: int) -> None: ...


class GateLog:
    """Reads the log and counts refusals."""

    def __init__(self, emit: Callable[[Event], None], traffic: TrafficLog) -> None:
        self._emit, self._traffic = emit, traffic
        # One tally per reason, so that no reason displaces another.
        self._refused: dict[Reason, Tally[Line]] = {reason: Tally(MAX_OF_A_REASON) for reason in Reason}
        self._dropped = 0  # lines that the running HAProxy has dropped
        self._tasks = Tasks()
        self.cookies, self.writes = Cookies(), Writes()
        self.learns: Learns | None = None

    @property
    def traffic_head(self) -> str:
        """The head of the traffic log's chain."""
        return self._traffic.head

    async def pipe(self, opened: ExitStack) -> int:
        """Returns a descriptor for the gate's log and reads it until the gate ends. `opened` closes the supervisor's copy."""
        return await self._pipe(opened, self._read)

    async def pipe_of_learning(self, opened: ExitStack) -> int:
        """Returns a descriptor like `pipe`, for the log of names that a learning run has opened (network/gate/learning.py)."""
        return await self._pipe(opened, self._read_learning)

    async def _pipe(self, opened: ExitStack, read: Callable[[asyncio.StreamReader], Coroutine[Any, Any, None]]) -> int:
        ours, theirs = os.pipe()
        opened.callback(os.close, theirs)
        with contextlib.suppress(OSError):  # a limit of the machine: the pipe stays smaller, and lost lines are reported
            fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", buffering=0)
        )
        self._tasks.begin(read(reader))
        return theirs

    async def _read(self, output: asyncio.StreamReader) -> None:
        async for text in lines(output):
            line = haproxy.parse_line(text)
            if line is not None:
                if line.cookies:
                    self.cookies.add(line.name)
                if line.verdict == WROTE:
                    self.writes.add(line.name, line.detail)
                refused = wording.parse_verdict(line.verdict)
                if (
                    line.verdict in (haproxy.CARRIED, haproxy.RECORDED) and line.protocol != "https"
                ):  # the TLS connection of an https request is logged
                    self._traffic.add(_connection(line))
                    if self.learns is not None and line.protocol == "tls" and line.verdict == haproxy.CARRIED:
                        self.learns.connection(line.name, line.port, line.bytes_in)
                elif refused is not None:
                    self._refused[Reason(refused[0])].add(replace(line, bytes_out=0, bytes_in=0, milliseconds=0, cookies=False))
            elif "[ALERT]" in text or "[WARNING]" in text:
                self._emit(Noted("warning", f"gate: {text[:300]}"))

    async def _read_learning(self, output: asyncio.StreamReader) -> None:
        from network.gate import learning  # only learning runs need it
        from network.learning.record import Request

        async for text in lines(output):
            match learning.parse_line(text):
                case learning.Untrusted(name) if self.learns is not None:
                    self.learns.untrusted(name)
                case Request() as request if self.learns is not None:
                    self.learns.request(request)
                case learning.Denied(verdict, name, port) if refused := wording.parse_verdict(verdict):
                    self._refused[Reason(refused[0])].add(Line(verdict, "https", "", port, 0, 0, 0, name))
                case _:
                    pass

    async def drain(self, seconds: float) -> None:
        """Reads what is left in the logs of a gate that has ended."""
        await self._tasks.ended(seconds)

    def take(self) -> list[Refused]:
        """Returns the refusals since the last call."""
        self._traffic.flush()
        refusals: list[Refused] = []
        for reason, tally in self._refused.items():
            refused, rest = tally.take()
            refusals += [_refusal(reason, line, count) for line, count in refused.items()]
            refusals += [Refused(Via.GATE, reason, rest, "tcp", OTHER_NAMES)] if rest else []
        return refusals

    def lost(self, info: str) -> list[Refused]:
        """Returns the lines that the gate has dropped since the last call. `info` is its answer to `show info`."""
        before, self._dropped = self._dropped, haproxy.parse_dropped(info)
        more = self._dropped - (before if before <= self._dropped else 0)  # a restarted HAProxy counts from zero
        return [Refused(Via.GATE, Reason.UNREAD, more, "tcp", OTHER_NAMES)] if more else []


def _refusal(reason: Reason, line: Line, count: int) -> Refused:
    _, detail = wording.parse_verdict(line.verdict) or ("", "")
    detail = detail or line.detail
    if line.protocol == "tls" and line.name.startswith("("):  # the reason why a client hello has no name
        detail = line.name.strip("()")
    name = line.name if NAME.fullmatch(line.name) else ""  # in plain HTTP any text that the agent puts into the Host header
    return Refused(Via.GATE, reason, count, "tcp", name, line.address, line.port, detail=detail)


def _connection(line: Line) -> Connection:
    seconds = line.milliseconds / 1000
    return Connection(
        round(time.time(), 3), line.protocol, line.name, line.address, line.port, line.bytes_in, line.bytes_out, seconds
    )
