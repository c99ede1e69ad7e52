"""Supervises CoreDNS, changes its allowlist without a gap, and reads its output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

from backend import system
from backend.contract.events import Event, Noted, Reason, Refused, Via
from backend.contract.paths import Paths
from backend.contract.refusals import OTHER_NAMES
from backend.services import dns_client
from backend.services.service import Service, Tally, lines
from backend.services.tasks import Tasks
from backend.system import COREDNS, SystemFailure
from network.allowlist import Allowlist
from network.dns import corefile
from network.firewall.ruleset import COREDNS_ADDRESS

RELOAD_SECONDS = 10.0
OTHER_HALF = {"A": "AAAA", "AAAA": "A"}


class Lookups:
    """Pairs the A and AAAA queries of a lookup (getaddrinfo(3)), which come from one socket: one refusal, not two.

    Only queries whose port is known are paired, that is those of an interval with few of them. All others count one by one.
    """

    def __init__(self) -> None:
        self._open: set[tuple[str, int, str]] = set()  # name, port and type of the missing half
        self._before: set[tuple[str, int, str]] = set()  # of the previous interval: a pair may be split between two

    def completed_by(self, query: corefile.LoggedQuery) -> bool:
        """True if a query is the second half of a lookup whose first half has been counted."""
        other = OTHER_HALF.get(query.type)
        if not query.port or other is None:
            return False
        mine = (query.name, query.port, query.type)
        for halves in (self._open, self._before):
            if mine in halves:
                halves.remove(mine)
                return True
        self._open.add((query.name, query.port, other))
        return False

    def turn(self) -> None:
        """Begins another interval."""
        self._before, self._open = self._open, set()


class CoreDns:
    """The service, the allowlist it serves and the names it has refused."""

    def __init__(self, paths: Paths, emit: Callable[[Event], None]) -> None:
        self._paths, self._emit = paths, emit
        self.service = Service("coredns", self._spawn, self._ready, emit)
        self.learning = False
        self.asked: Callable[[str, str], None] | None = None  # takes name and program, in a learning run
        self._allowlist = Allowlist()
        self._written = ""  # the last configuration
        self._refused: Tally[tuple[str, str]] = Tally()  # by name and query type
        self._lookups = Lookups()
        self._programs: dict[str, str] = {}  # name -> program that asked for it; few, as CoreDNS delays only few answers
        self._tasks = Tasks()
        self._reloaded = asyncio.Event()

    async def change(self, allowlist: Allowlist) -> None:
        """Serves another allowlist without a gap; returns when it is in force. Raises SystemFailure.

        If CoreDNS is not running, it begins with this allowlist.
        """
        self._allowlist = allowlist
        own = corefile.own_name(os.uname().nodename.lower(), allowlist)
        names = str(self._paths.listed_names)
        text = corefile.render_learning(own) if self.learning else corefile.render(names, own)
        same, self._written = text == self._written, text
        system.write(self._paths.listed_names, corefile.listed(allowlist, own))
        system.write(self._paths.corefile, text)
        if not self.service.pid or (same and self.learning):
            return
        self._reloaded.clear()
        self.service.signal(signal.SIGUSR1)
        try:
            await asyncio.wait_for(self._reloaded.wait(), RELOAD_SECONDS)
        except TimeoutError as error:
            raise SystemFailure("cannot change the allowlist: CoreDNS did not load its new configuration") from error

    def take_refused(self) -> list[Refused]:
        """Returns the queries for unlisted names since the last call."""
        names, rest = self._refused.take()
        self._lookups.turn()
        programs, self._programs = self._programs, {}
        refused = [
            Refused(
                Via.DNS,
                Reason.NOT_LISTED,
                count,
                "dns",
                name,
                program=programs.get(name, ""),
                detail="" if kind in ("A", "AAAA") else kind,
            )
            for (name, kind), count in names.items()
        ]
        return [*refused, *([Refused(Via.DNS, Reason.NOT_LISTED, rest, "dns", OTHER_NAMES)] if rest else [])]

    async def _spawn(self) -> asyncio.subprocess.Process:
        process = await system.spawn(
            [str(self._paths.coredns), "-conf", str(self._paths.corefile)], identity=COREDNS,
            environment={"PATH": system.SYSTEM_PATH, "GOMAXPROCS": "2"},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        assert process.stdout is not None
        self._tasks.begin(self._read(process.stdout))
        return process

    async def _read(self, output: asyncio.StreamReader) -> None:
        """Counts refused names, finds the programs that asked for them, and reports CoreDNS's own errors."""
        async for line in lines(output):
            if line.endswith("Reloading complete"):
                self._reloaded.set()
            refused = corefile.parse_log_line(line)
            if refused is None:
                if "[ERROR] plugin/errors" not in line and (
                    "[ERROR]" in line or "[FATAL]" in line or "error" in line[:40].lower()
                ):
                    self._emit(Noted("warning", f"coredns: {line[:300]}"))
            elif not refused.refused:
                if self.asked is not None and (program := dns_client.program(refused.port)):
                    self.asked(refused.name, program)
            elif self._allowlist.match(refused.name) is None:  # it may have been allowed since
                if not self._lookups.completed_by(refused):
                    self._refused.add((refused.name, refused.type))
                if refused.port and (program := dns_client.program(refused.port)):
                    self._programs[refused.name] = program

    async def _ready(self) -> None:
        while True:
            with contextlib.suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
                if (await http_get(corefile.READY_PORT, "/ready"))[0] == 200:
                    return
            await asyncio.sleep(0.02)


async def http_get(port: int, path: str, host: str = COREDNS_ADDRESS, seconds: float = 2.0) -> tuple[int, str]:
    """Sends a GET to one of CoreDNS's own ports; returns status and body. Raises OSError, TimeoutError or ValueError."""
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            answer = (await reader.read(4 << 20)).decode(errors="replace")
            while chunk := await reader.read(1 << 20):
                answer += chunk.decode(errors="replace")
        finally:
            writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    words = head.split(" ", 2)
    return int(words[1]) if len(words) > 1 else 0, body
