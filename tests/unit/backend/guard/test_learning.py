"""A learning run: a name is looked up outside, at most so often, and answered when it is open."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from backend.contract.events import Event, Reason, Refused
from backend.guard import learning
from backend.guard.channel import Configure, Found, Message
from backend.guard.learning import MAX_AT_ONCE, MAX_BELOW, MAX_NAMES, Learner
from backend.guard.nftables import Nftables
from backend.guard.openings import Openings
from backend.guard.server import Server
from backend.guard.upstream import UpstreamError, Upstreams
from network import allowlist
from network.allowlist import Allowlist
from network.dns import dns_message
from network.dns.dns_message import Answer, Question
from tests.unit.backend.guard.kernel import Kernel

LISTED = allowlist.parse("a.example\n", "f").allowlist


class Internet:
    """Stands in for the upstream resolvers: one answer for all names."""

    def __init__(self, *addresses: str, rcode: int = dns_message.NOERROR) -> None:
        self.answer = Answer(rcode, addresses, 30)
        self.asked: list[str] = []

    async def ask(self, name: str) -> Answer:
        self.asked.append(name)
        if self.answer.rcode == dns_message.SERVFAIL:
            raise UpstreamError("cannot resolve")
        return self.answer


class Lab:
    """A guard in a learning run, and what it asks the supervisor to open."""

    def __init__(self, *addresses: str, rcode: int = dns_message.NOERROR) -> None:
        self.kernel, self.internet, self.events = Kernel(), Internet(*addresses, rcode=rcode), list[Event]()
        self.found: list[str] = []
        self.now = 0.0
        self.learner = Learner(self.found.append, lambda: self.now)
        self.server = Server(
            Openings(cast(Nftables, self.kernel), lambda: 0.0), self.events.append, LISTED, cast(Upstreams, self.internet),
            learner=self.learner,
        )  # fmt: skip

    async def ask(self, name: str, kind: int = dns_message.A) -> Answer:
        question = Question(1, name, kind)
        wire = await self.server.reply(dns_message.build_query(question))
        assert wire is not None
        return dns_message.parse_answer(wire, question)

    def open(self, *names: str) -> None:
        """The supervisor's part."""
        self.server.allowlist = LISTED.merged(allowlist.parse("\n".join(names), "f").allowlist)
        self.learner.changed(lambda name: self.server.allowlist.match(name) is not None)

    async def until_found(self, name: str) -> None:
        for _ in range(100):
            if name in self.found:
                return
            await asyncio.sleep(0)
        raise AssertionError(f"{name} was not found")

    @property
    def refused(self) -> list[tuple[str, Reason]]:
        return [(event.name, event.reason) for event in self.events if isinstance(event, Refused)]


async def test_an_answer_is_held_until_the_name_is_open() -> None:
    lab = Lab("198.51.100.1")
    asking = [asyncio.create_task(lab.ask(name)) for name in ("New.Example", "new.example")]
    await lab.until_found("new.example")
    for _ in range(20):
        await asyncio.sleep(0)
    assert not any(task.done() for task in asking)
    assert lab.kernel.addresses() == set()
    lab.open("other.example")
    for _ in range(20):
        await asyncio.sleep(0)
    assert not any(task.done() for task in asking)
    lab.open("other.example", "new.example")
    assert [answer.addresses for answer in await asyncio.gather(*asking)] == [("198.51.100.1",)] * 2
    assert lab.kernel.addresses() == {"198.51.100.1"}
    assert lab.found == ["new.example"]
    assert lab.refused == []


async def test_a_name_that_is_not_opened_in_time_has_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "OPEN_SECONDS", 0.01)
    lab = Lab("198.51.100.1")
    assert (await lab.ask("new.example")).rcode == dns_message.SERVFAIL
    assert lab.kernel.addresses() == set()


@pytest.mark.parametrize("addresses", [("10.0.0.1",), ("127.0.0.1", "169.254.169.254"), ("192.168.7.7", "0.0.0.0")])
async def test_names_with_private_addresses_stay_closed(addresses: tuple[str, ...]) -> None:
    lab = Lab(*addresses)
    assert (await lab.ask("private.example")).addresses == ()
    assert lab.found == []
    assert {reason for _, reason in lab.refused} <= {Reason.PRIVATE, Reason.BLOCKED}


@pytest.mark.parametrize("rcode", [dns_message.NXDOMAIN, dns_message.NOERROR, dns_message.SERVFAIL])
async def test_names_without_an_address_stay_closed(rcode: int) -> None:
    lab = Lab(rcode=rcode)
    assert (await lab.ask("none.example")).rcode == rcode
    assert lab.found == []


@pytest.mark.parametrize(
    "name",
    [
        ".".join(["a" * 60] * 4),
        "x.invalid",
        "printer.local",
        "db.internal",
        "host",
        "x.onion",
        "1.0.0.127.in-addr.arpa",
        "api.github.com",
    ],
)
async def test_some_names_are_never_looked_up(name: str) -> None:
    lab = Lab("198.51.100.1")
    lab.learner.never = frozenset({"api.github.com"})
    assert (await lab.ask(name)).rcode == dns_message.NXDOMAIN
    assert (lab.internet.asked, lab.found) == ([], [])
    assert lab.refused == [(name, Reason.NOT_LISTED)]


async def test_other_types_are_not_looked_up() -> None:
    lab = Lab("198.51.100.1")
    for kind in (16, dns_message.AAAA, 65):
        await lab.ask("new.example", kind)
    assert (lab.internet.asked, lab.found) == ([], [])


async def test_lookups_are_bounded_in_rate() -> None:
    lab = Lab(rcode=dns_message.NXDOMAIN)
    for number in range(MAX_AT_ONCE + 20):
        await lab.ask(f"n{number}.d{number}.example")
    assert len(lab.internet.asked) == MAX_AT_ONCE
    assert len(lab.refused) == MAX_AT_ONCE + 20  # the detection of tunnels sees all of them
    lab.now += 10.0
    for number in range(100):
        await lab.ask(f"m{number}.e{number}.example")
    assert len(lab.internet.asked) == MAX_AT_ONCE + 10 * learning.A_SECOND


async def test_lookups_are_bounded_in_number() -> None:
    lab = Lab(rcode=dns_message.NXDOMAIN)
    for number in range(MAX_BELOW + 20):
        lab.now += 1.0
        await lab.ask(f"secret-{number}.tunnel.example")
    assert len(lab.internet.asked) == MAX_BELOW
    for number in range(MAX_NAMES + 20):
        lab.now += 1.0
        await lab.ask(f"n.d{number}.test")
    assert len(lab.internet.asked) == MAX_NAMES
    lab.now += 1.0
    await lab.ask("n.d1.test")  # known: it may be asked for again
    assert len(lab.internet.asked) == MAX_NAMES + 1


def test_a_configuration_begins_and_ends_a_learning_run() -> None:
    sent: list[Message] = []
    configure = Configure((), (), learning=True, never=("api.github.com",))
    made = learning.configured(None, configure, Allowlist(), sent.append)
    assert made is not None
    assert made.never == {"api.github.com"}
    made._found("new.example")
    assert sent == [Found("new.example")]
    assert learning.configured(made, configure, Allowlist(), sent.append) is made
    assert learning.configured(made, Configure((), ()), Allowlist(), sent.append) is None
