"""The record of a learning run: for each name that was asked for, the programs, the requests, and what answered.

Programs, paths and names that do not resolve are text from the agent. Everything is bounded, whatever the agent does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from network import grant
from network.allowlist import Check, Entry, Port
from network.learning.requests import Granted, Requests

MAX_NAMES = 1000
MAX_PROGRAMS = 8  # of a name
TLS_PORT, HTTP_PORT = 443, 80  # the ports that a learning run opens
PORTS = (Port(TLS_PORT, Check.TLS, grant=grant.RECORDED), Port(HTTP_PORT, Check.HTTP, grant=grant.RECORDED))
UNTRUSTED_PORTS = (Port(TLS_PORT, Check.TLS), Port(HTTP_PORT, Check.HTTP, grant=grant.RECORDED))
_PROGRAM = re.compile(r"[^A-Za-z0-9._+-]")


class Standing(StrEnum):
    """What became of a name."""

    ASKED = "asked"  # it was opened, but nothing has answered
    ANSWERED = "answered"
    CLOSED = "closed"  # the operator closed it


def program(name: str) -> str:
    """The name of a program for a comment: letters, digits and a few marks, each other character as `?`."""
    return _PROGRAM.sub("?", name)[:32]


@dataclass(slots=True)
class Learned:
    """A name that the run has opened. Times in seconds since the epoch. `tls` and `http` hold the requests that were answered.

    `untrusted`: a client refused the gate's certificate, so TLS passes unopened from then on. `unopened` counts the connections
    that brought an answer since. `ports` are those that the run still opens: the operator has closed the others, or decided
    what they grant.
    """

    name: str
    first: float
    last: float
    programs: dict[str, None] = field(default_factory=dict)
    tls: Requests = field(default_factory=Requests)
    http: Requests = field(default_factory=Requests)
    unanswered: int = 0
    untrusted: bool = False
    unopened: int = 0
    ports: frozenset[int] = frozenset((TLS_PORT, HTTP_PORT))

    @property
    def closed(self) -> bool:
        return not self.ports

    @property
    def standing(self) -> Standing:
        if self.granted:
            return Standing.ANSWERED
        return Standing.ASKED if self.ports == {TLS_PORT, HTTP_PORT} else Standing.CLOSED

    @property
    def requests(self) -> tuple[tuple[Port, Requests], ...]:
        """The requests that were answered on each port that the run opens."""
        all_ports = ((Port(TLS_PORT, Check.TLS), self.tls), (Port(HTTP_PORT, Check.HTTP), self.http))
        return tuple((port, requests) for port, requests in all_ports if port.number in self.ports)

    @property
    def _is_wide(self) -> bool:
        """True if the TLS port needs `open`, whatever was seen: a client does not accept that the gate opens TLS."""
        return self.untrusted and TLS_PORT in self.ports and bool(self.unopened or self.tls.count)

    @property
    def granted(self) -> tuple[tuple[Port, Granted], ...]:
        """The ports that answered, each with the smallest grant that permits its requests again."""
        found: list[tuple[Port, Granted]] = []
        for port, requests in self.requests:
            if port.number == TLS_PORT and self._is_wide:
                found.append((port, Granted(grant.ANYTHING, 0, False)))
            elif requests.count:
                found.append((port, requests.grant))
        return tuple(found)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries that permit the same requests again: one, or one for each port if their grants differ."""
        ports: dict[tuple[str, ...], list[Port]] = {}
        for port, granted in self.granted:
            ports.setdefault(granted.words, []).append(Port(port.number, port.check, grant=granted.words))
        return tuple(Entry(self.name, ports=tuple(same)) for same in ports.values())

    @property
    def why_open(self) -> tuple[str, ...]:
        """Why a port of it needs `open`; empty if none does."""
        reasons = ["a client refused the gate's certificate, so its requests were not seen"] if self._is_wide else []
        for port, requests in self.requests:
            reasons += () if port.number == TLS_PORT and self._is_wide else requests.needs_open
        return tuple(dict.fromkeys(reasons))


def line(entry: Entry) -> str:
    """The entry as a line of an allowlist, with its grant in any case."""
    return f"{entry} {grant.OPEN}" if grant.ANYTHING in entry.grants else str(entry)


class Record:
    """The names of a run, in the order in which they were asked for."""

    def __init__(self) -> None:
        self.names: dict[str, Learned] = {}
        self.changed: dict[str, None] = {}  # names since the last `take_changed`
        self._programs: dict[str, dict[str, None]] = {}  # by name, of those that are not open yet

    def opened(self, name: str, at: float) -> None:
        """A name was opened."""
        if name not in self.names and len(self.names) < MAX_NAMES:
            self.names[name] = Learned(name, at, at, self._programs.pop(name, {}))
            self.changed[name] = None

    def asked(self, name: str, by: str) -> None:
        """A program asked for a name, which may not be open yet or never be."""
        known = self.names.get(name)
        if known is None and name not in self._programs and len(self._programs) >= MAX_NAMES:
            del self._programs[next(iter(self._programs))]
        programs = known.programs if known else self._programs.setdefault(name, {})
        if len(programs) < MAX_PROGRAMS:
            programs[program(by)] = None
            if known is not None:
                self.changed[name] = None

    def request(self, request: Request, at: float) -> None:
        """A request has ended. One without an answer of the host is only counted."""
        known = self.names.get(request.name)
        if known is None or request.port not in known.ports:
            return
        known.last = at
        self.changed[known.name] = None
        if not request.answered:
            known.unanswered += 1
            return
        requests = known.tls if request.port == TLS_PORT else known.http
        requests.add(request.method, request.path, request.feature)

    def untrusted(self, name: str) -> bool:
        """A client has refused the gate's certificate. True if that is new."""
        known = self.names.get(name)
        if known is None or known.untrusted or TLS_PORT not in known.ports:
            return False
        known.untrusted = True
        self.changed[name] = None
        return True

    def connection(self, name: str, port: int, bytes_in: int, at: float) -> None:
        """A connection has ended whose TLS was not opened."""
        known = self.names.get(name)
        if known is not None and known.untrusted and port == TLS_PORT and port in known.ports and bytes_in > 0:
            known.last = at
            known.unopened += 1
            self.changed[name] = None

    def keep(self, name: str, ports: Iterable[int]) -> None:
        """The run opens only these ports of a name: the operator has closed the others, or gave them another grant."""
        known = self.names.get(name)
        if known is not None and (kept := known.ports.intersection(ports)) != known.ports:
            known.ports = kept
            self.changed[name] = None

    def take_changed(self, most: int) -> tuple[Learned, ...]:
        """Returns names that have changed since the last call, at most `most`; the next call returns others."""
        taken = tuple(self.changed)[:most]
        for name in taken:
            del self.changed[name]
        return tuple(self.names[name] for name in taken)

    @property
    def answered(self) -> Iterator[Learned]:
        return (each for each in self.names.values() if each.standing is Standing.ANSWERED)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the gate has logged it (network/gate/learning.py). `answered`: the host has sent an answer."""

    name: str
    port: int
    method: str
    path: str
    feature: str
    answered: bool
