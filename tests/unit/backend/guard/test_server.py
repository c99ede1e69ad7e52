"""The guard's DNS server: it opens addresses before it answers, and in doubt answers SERVFAIL and opens nothing."""

from __future__ import annotations

import asyncio
import struct
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.contract.events import Event, Reason, Refused
from backend.guard.nftables import Nftables
from backend.guard.openings import Openings
from backend.guard.server import Server
from backend.guard.upstream import UpstreamError, Upstreams
from network import allowlist
from network.allowlist import Allowlist
from network.dns import dns_message
from network.dns.dns_message import Answer, Question
from tests.unit.backend.guard.kernel import Kernel

LISTED = allowlist.parse("a.example\n*.w.example\n", "f").allowlist


class Internet:
    """Stands in for the upstream resolvers: gives one answer, once `go` is set, and records the names that were asked for."""

    def __init__(self, *addresses: str) -> None:
        self.answer = Answer(dns_message.NOERROR, addresses, 30)
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.go.set()

    async def ask(self, name: str) -> Answer:
        self.asked.append(name)
        await self.go.wait()
        if self.answer.rcode == dns_message.SERVFAIL:
            raise UpstreamError("cannot resolve")
        return self.answer


class Lab:
    def __init__(self, *addresses: str) -> None:
        self.kernel, self.internet, self.events = Kernel(), Internet(*addresses), list[Event]()
        openings = Openings(cast(Nftables, self.kernel), lambda: 0.0)
        self.server = Server(openings, self.events.append, LISTED, cast(Upstreams, self.internet))

    async def ask(self, name: str, kind: int = dns_message.A) -> Answer:
        question = Question(1, name, kind)
        wire = await self.server.reply(dns_message.build_query(question))
        assert wire is not None
        return dns_message.parse_answer(wire, question)


async def test_the_addresses_of_a_listed_name_are_open_when_it_is_answered() -> None:
    lab = Lab("198.51.100.1", "198.51.100.2")
    assert (await lab.ask("a.example")).addresses == ("198.51.100.1", "198.51.100.2")
    assert lab.kernel.addresses() == {"198.51.100.1", "198.51.100.2"}


@pytest.mark.parametrize("name", ["b.example", "x.a.example", "w.example", "evil.test"])
async def test_an_unlisted_name_does_not_reach_the_upstream(name: str) -> None:
    lab = Lab("198.51.100.1")
    assert (await lab.ask(name)).rcode == dns_message.NXDOMAIN
    assert lab.internet.asked == []
    assert isinstance(lab.events[0], Refused)
    assert lab.events[0].name == name


async def test_queries_of_other_types_get_an_empty_answer() -> None:
    lab = Lab("198.51.100.1")
    assert await lab.ask("a.example", 16) == Answer(dns_message.NOERROR)
    assert lab.internet.asked == []


@pytest.mark.parametrize(
    ("labels", "group", "reported"),
    [
        ((b"a", b"example"), 3, "a.example"),
        ((b"a b", b"w", b"example"), 1, "a b.w.example"),
        ((b"x\0\xe9", b"w", b"example"), 1, "x\\x00\\xe9.w.example"),
    ],
)
async def test_queries_for_anything_but_a_host_address_are_refused_at_once(
    labels: tuple[bytes, ...], group: int, reported: str
) -> None:
    lab = Lab("198.51.100.1")
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    question = name + struct.pack("!2H", dns_message.A, group)
    reply = await lab.server.reply(struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + question)
    assert reply == struct.pack("!6H", 7, 0x8100 | dns_message.REFUSED, 1, 0, 0, 0) + question
    assert lab.kernel.addresses() == set()
    assert lab.internet.asked == []
    assert [event.name for event in lab.events if isinstance(event, Refused)] == [reported]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 11,
        struct.pack("!6H", 7, 0x8100, 1, 0, 0, 0) + b"\0\0\1\0\3",
        struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\1a\0\0\1",
    ],
)
async def test_data_without_a_question_is_not_answered(data: bytes) -> None:
    assert await Lab().server.reply(data) is None


async def test_special_addresses_are_removed_and_reported() -> None:
    lab = Lab("127.0.0.1", "198.51.100.1", "169.254.169.254")
    assert (await lab.ask("a.example")).addresses == ("198.51.100.1",)
    assert lab.kernel.addresses() == {"198.51.100.1"}
    assert [event.reason for event in lab.events if isinstance(event, Refused)] == [Reason.PRIVATE] * 2


async def test_an_answer_with_only_special_addresses_is_empty() -> None:
    lab = Lab("10.0.0.1")
    assert await lab.ask("a.example") == Answer(dns_message.NOERROR)
    assert lab.kernel.addresses() == set()


async def test_the_number_of_addresses_is_limited() -> None:
    lab = Lab(*(f"198.51.100.{number}" for number in range(1, 200)))
    assert len((await lab.ask("a.example")).addresses) == 64
    assert len(lab.kernel.addresses()) == 64


async def test_a_failed_change_of_the_firewall_is_servfail() -> None:
    lab = Lab("198.51.100.1")
    lab.kernel.broken = True
    assert (await lab.ask("a.example")).rcode == dns_message.SERVFAIL


async def test_a_failed_upstream_is_servfail() -> None:
    lab = Lab()
    lab.internet.answer = Answer(dns_message.SERVFAIL)
    assert (await lab.ask("a.example")).rcode == dns_message.SERVFAIL
    assert lab.kernel.addresses() == set()


async def test_servfail_before_configuration_and_while_paused() -> None:
    lab = Lab("198.51.100.1")
    lab.server.paused = True
    assert (await lab.ask("a.example")).rcode == dns_message.SERVFAIL
    lab.server.paused, lab.server.upstreams = False, None
    assert (await lab.ask("a.example")).rcode == dns_message.SERVFAIL


async def test_concurrent_queries_share_one_answer() -> None:
    lab = Lab("198.51.100.1")
    lab.internet.go.clear()
    asking = [asyncio.create_task(lab.ask("a.example")) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    lab.internet.go.set()
    assert {answer.addresses for answer in await asyncio.gather(*asking)} == {("198.51.100.1",)}
    assert lab.internet.asked == ["a.example"]


@pytest.mark.parametrize("change", ["frozen", "withdrawn"])
async def test_a_freeze_or_revoke_while_the_upstream_is_asked_is_servfail(change: str) -> None:
    lab = Lab("198.51.100.1")
    lab.internet.go.clear()
    asking = asyncio.create_task(lab.ask("a.example"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if change == "frozen":
        lab.server.paused = True
    else:
        lab.server.allowlist = Allowlist()
    lab.internet.go.set()
    assert (await asking).rcode == dns_message.SERVFAIL
    assert lab.kernel.addresses() == set()


@given(st.binary(max_size=200))
def test_no_datagram_makes_the_guard_resolve_an_unlisted_name(data: bytes) -> None:
    async def run() -> None:
        lab = Lab("198.51.100.1")
        await lab.server.reply(data)
        assert all(LISTED.match(name) for name in lab.internet.asked)

    asyncio.run(run())
