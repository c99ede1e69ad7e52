"""What the gate says while it runs: what it refused is counted, what it carried is kept, and lines that were lost are told.

HAProxy writes to pipes, and drops a line for which there is no room. The half that guards credentials has a pipe of its own, to
which only refusals are written: a flood of other lines leaves room for those.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from backend.contract.events import Event, Noted, Reason, Refused, Via
from backend.contract.refusals import OTHER_NAMES
from backend.contract.traffic import Connection
from backend.services.cookies import Cookies
from backend.services.service import Tally, lines
from backend.services.tasks import Tasks
from backend.services.traffic import TrafficLog
from network.allowlist import Allowlist
from network.gate import haproxy
from network.gate.haproxy import Line

PIPE_BYTES = 1 << 20  # as much as the kernel gives without asking (pipe(7))
MAX_OF_A_VERDICT = 64  # different ones between two looks; no more of a reason are kept one by one
REFUSALS = {
    "refused": Reason.ANOTHER_SITE,
    "unclear": Reason.ANOTHER_SITE,
    "foreign": Reason.ANOTHER_SITE,
    "credential": Reason.NOT_OURS,
    "scope": Reason.PUSH_SCOPE,
    "grant": Reason.NOT_GRANTED,
}


class GateLog:
    """`listed` gives the list that is in force."""

    def __init__(self, emit: Callable[[Event], None], traffic: TrafficLog, listed: Callable[[], Allowlist]) -> None:
        self._emit, self._traffic, self._listed = emit, traffic, listed
        # None pushes out another.
        self._refused: dict[str, Tally[Line]] = {verdict: Tally(MAX_OF_A_VERDICT) for verdict in REFUSALS}
        self._dropped = 0  # lines, as the gate that runs counts them
        self._tasks = Tasks()
        self.cookies = Cookies()

    async def pipe(self, opened: ExitStack) -> int:
        """A descriptor for the gate to write to; what comes is read until it ends. It is closed here with `opened`."""
        ours, theirs = os.pipe()
        opened.callback(os.close, theirs)
        with contextlib.suppress(OSError):  # a limit of the machine's: it is smaller then, and what is lost is told
            fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", buffering=0)
        )
        self._tasks.begin(self._read(reader))
        return theirs

    async def _read(self, output: asyncio.StreamReader) -> None:
        async for text in lines(output):
            line = haproxy.parse_line(text)
            if line is not None:
                if line.cookies:
                    self.cookies.add(line.name)
                if line.verdict == "carried" and line.protocol != "https":  # those are counted by their connection
                    self._traffic.add(_connection(line))
                elif line.verdict in REFUSALS:
                    self._refused[line.verdict].add(replace(line, bytes_out=0, bytes_in=0, milliseconds=0, cookies=False))
            elif "[ALERT]" in text or "[WARNING]" in text:
                self._emit(Noted("warning", f"gate: {text[:300]}"))

    def take(self) -> list[Refused]:
        """What was asked of an open address and is not carried, since the last time."""
        self._traffic.flush()
        found: list[Refused] = []
        for verdict, tally in self._refused.items():
            refused, rest = tally.take()
            found += [self._refusal(line, count) for line, count in refused.items()]
            found += [Refused(Via.GATE, REFUSALS[verdict], rest, "tcp", OTHER_NAMES)] if rest else []
        return found

    def _refusal(self, line: Line, count: int) -> Refused:
        nameless = not line.name or line.name.startswith("(")
        reason, detail = REFUSALS[line.verdict], line.detail
        if nameless:
            detail = line.name.strip("()")
        elif line.verdict == "refused" and self._listed().match(line.name) is not None:
            reason = Reason.PORT_NOT_LISTED
        elif line.verdict == "foreign":
            detail = "another host in the request"
        return Refused(Via.GATE, reason, count, "tcp", "" if nameless else line.name, line.address, line.port, detail=detail)

    def lost(self, info: str) -> list[Refused]:
        """Lines that the gate has dropped since the last time, from its `show info`: nobody knows what they said."""
        before, self._dropped = self._dropped, haproxy.parse_dropped(info)
        more = self._dropped - (before if before <= self._dropped else 0)  # one that was started again counts from nothing
        return [Refused(Via.GATE, Reason.UNREAD, more, "tcp", OTHER_NAMES)] if more else []


def _connection(line: Line) -> Connection:
    seconds = line.milliseconds / 1000
    return Connection(
        round(time.time(), 3), line.protocol, line.name, line.address, line.port, line.bytes_in, line.bytes_out, seconds
    )
