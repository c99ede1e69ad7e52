"""A sandbox for requests whose guard is real, over a firewall in memory and resolvers that answer from a table."""

from __future__ import annotations

from typing import Any, cast

import pytest

from backend.contract.control import Explain, Reply
from backend.guard import channel, process
from backend.guard.process import Guard
from backend.guard.upstream import UpstreamError, Upstreams
from network import allowlist
from network.dns import dns_message
from network.dns.dns_message import Answer
from tests.unit.backend.guard.kernel import Kernel
from tests.unit.backend.supervision.parts import Case
from tests.unit.backend.supervision.target import Target

NAMES = "a.example\nports.example:8443\n*.wild.example:443\n*.deep.example read\n"
BLOCKED = Answer(0, ("0.0.0.0",))
ANSWERS = {
    "a.example": Answer(0, ("198.51.100.1",), 60),
    "twin.example": Answer(0, ("198.51.100.1",), 60),
    "ports.example": Answer(0, ("198.51.100.2",), 60),
    "x.wild.example": Answer(0, ("198.51.100.3",), 60),
    "x.deep.example": Answer(0, ("198.51.100.4",), 60),
    "blocked.example": BLOCKED,
    "six.example": Answer(0),
    "empty.example": Answer(0),
    "ghost.example": Answer(dns_message.NXDOMAIN),
    "private.example": Answer(0, ("10.0.0.1",)),
}


class Resolver:
    """Answers from ANSWERS; any other name is a SERVFAIL."""

    health: dict[Any, Any] = {}  # noqa: RUF012

    async def ask(self, name: str, kind: int = dns_message.A) -> Answer:
        if kind == dns_message.AAAA:
            return Answer(0, ("2001:db8::1",) if name == "six.example" else ())
        if name not in ANSWERS:
            raise UpstreamError(f"cannot resolve {name}: 192.0.2.53: SERVFAIL", "the resolver failed (192.0.2.53: SERVFAIL)")
        return ANSWERS[name]


class Lab(Target):
    """A sandbox whose guard is real, over a firewall in memory."""

    def __init__(self, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(case)
        monkeypatch.setattr(process, "Nftables", Kernel)
        self.guard = Guard(lambda _: None)
        self.case.policy.listed = allowlist.parse(NAMES, "domains.conf").allowlist
        self.services = cast(Any, case.parts)
        self.follow()
        monkeypatch.setattr(case.parts.guard, "ask", self._ask_guard)

    def follow(self) -> None:
        self.guard.server.allowlist = self.grants.allowlist
        self.guard.server.upstreams = cast(Upstreams, Resolver())

    async def _ask_guard(self, request: channel.Request, seconds: float = 0.0) -> channel.Done:
        self.follow()
        return await self.guard._do(request)

    async def explain(self, target: str) -> Reply:
        return await self.ask(Explain(target))

    async def list(self, *names: str) -> None:
        """Adds names to the list, as written at boot."""
        more = allowlist.parse("\n".join(names), "more.conf").allowlist
        self.case.policy.listed = self.case.policy.listed.merged(more)
