"""Reports of the guard process about failing and refused names."""

from __future__ import annotations

import asyncio
import json
from typing import cast

import pytest

from backend.contract.events import Reason, Refused, Via, decode
from backend.contract.refusals import OTHER_NAMES, Severity, severity
from backend.guard import openings, process
from backend.guard.channel import Amend, Configure, Configured, Done, ListedName, Refresh, Resolve
from backend.guard.channel import decode as message
from backend.guard.process import Guard
from backend.guard.refusals import MAX_ROWS
from backend.guard.server import Server
from backend.guard.upstream import UpstreamError, Upstreams
from network import allowlist
from network.allowlist import Allowlist, Entry
from network.dns.dns_message import Answer
from tests.unit.backend.guard.kernel import Kernel

LISTED = allowlist.parse("a.example\nb.example\n", "f").allowlist


@pytest.fixture
def sent() -> list[bytes]:
    return []


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch, sent: list[bytes]) -> Guard:
    monkeypatch.setattr(process, "Nftables", Kernel)
    return Guard(sent.append)


async def test_a_name_that_is_removed_while_it_is_resolved_does_not_count_as_failing(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be reported as failing until the allowlist changes again, perhaps days later."""
    guard.server.allowlist = LISTED

    async def resolve(_: object, name: str, entry: Entry) -> Answer:
        guard.server.allowlist = Allowlist(LISTED.entries[:1])
        raise UpstreamError(f"cannot resolve {name}")

    monkeypatch.setattr(Server, "resolve", resolve)
    assert await guard.refresh() == (0, 2)
    assert set(guard.server.failing) == {"a.example"}


def test_a_flood_of_names_hides_no_other_refusal(guard: Guard, sent: list[bytes]) -> None:
    """The other refusal is of a listed name with the metadata address of cloud machines."""
    inner = [Refused(Via.DNS, Reason.PRIVATE, 1, "dns", f"{number}.test", "192.168.7.7") for number in range(2000)]
    for event in (*inner, Refused(Via.DNS, Reason.PRIVATE, 1, "dns", "metadata.test", "169.254.169.254")):
        guard.report(event)
    guard.report_refused()
    reported = [decode(json.loads(line)["line"]).event for line in sent]
    serious = [event for event in reported if isinstance(event, Refused) and severity(event) is Severity.SERIOUS]
    assert [(event.name, event.address, event.count) for event in serious] == [("metadata.test", "169.254.169.254", 1)]
    assert sum(event.count for event in reported if isinstance(event, Refused)) == 2001


def test_refused_names_of_a_flood_are_bounded_and_all_counted(guard: Guard, sent: list[bytes]) -> None:
    """The guard refuses names itself if the allowlist is too long for CoreDNS."""
    for number in range(5000):
        guard.report(Refused(Via.DNS, Reason.NOT_LISTED, protocol="dns", name=f"{number}.example"))
    guard.report_refused()
    lines = (json.loads(line) for line in sent)
    reported = [decode(line["line"]).event for line in lines if line["message"] == "happened"]
    refused = [event for event in reported if isinstance(event, Refused)]
    assert sum(event.count for event in refused) == 5000
    assert (len(refused), refused[-1].name) == (MAX_ROWS + 1, OTHER_NAMES)


class Internet:
    """Stands in for the upstream resolvers: every name has an address of its own. Records the names that were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.addresses: dict[str, str] = {}
        self.health: dict[object, object] = {}
        self.five = asyncio.Event()  # so many names were asked for

    async def ask(self, name: str, _: int = 1) -> Answer:
        self.asked.append(name)
        if len(self.asked) == 5:
            self.five.set()
        address = self.addresses.setdefault(name, f"198.51.100.{len(self.addresses) + 1}")
        return Answer(0, (address,), 30)


def listed(name: str, *ports: int, below: bool = False) -> ListedName:
    return ListedName(name, below, tuple((port, "address") for port in ports or (443,)), "f:1")


class Lab:
    """A configured guard, its answers, and the flows that it has cut."""

    def __init__(self, guard: Guard, sent: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
        self.guard, self.sent, self.internet = guard, sent, Internet()
        self.kernel = cast(Kernel, guard.nft)
        self.cut: list[tuple[str, int]] = []
        monkeypatch.setattr(guard, "_totals", lambda: ())

        async def cut(destinations: list[tuple[str, int]]) -> None:
            self.cut += destinations

        monkeypatch.setattr(openings, "cut", cut)

    async def configure(self, *entries: ListedName, number: int = 1) -> None:
        await self.guard.handle(Configure(entries, (), id=number))
        self.guard.server.upstreams = cast(Upstreams, self.internet)

    async def answer(self, request: Amend | Refresh | Resolve) -> Configured | Done:
        await self.guard.handle(request)
        return next(m for line in reversed(self.sent) if isinstance(m := message(line), Configured | Done))


@pytest.fixture
def lab(guard: Guard, sent: list[bytes], monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(guard, sent, monkeypatch)


async def test_a_grant_resolves_only_its_own_name_and_touches_no_other_opening(lab: Lab) -> None:
    await lab.configure(*(listed(f"n{number}.example") for number in range(50)))
    await lab.answer(Refresh())
    assert len(lab.internet.asked) == 50
    lab.internet.asked.clear()
    before = dict(lab.kernel.sets["open4"])
    lab.kernel.sets["open4"].clear()  # so that a restored opening would be seen
    assert await lab.answer(Amend(1, (listed("granted.example"),), id=2)) == Configured(2)
    done = await lab.answer(Resolve("granted.example", id=3))
    assert (done, lab.internet.asked) == (Done(3, True, "198.51.100.51", {"addresses": ["198.51.100.51"]}), ["granted.example"])
    assert set(lab.kernel.sets["open4"]) == {("198.51.100.51", 443)}
    assert len(before) == 50
    assert lab.cut == []
    assert await lab.answer(Amend(2, (), ("granted.example",), id=4)) == Configured(4)
    assert (lab.kernel.sets["open4"], lab.cut) == ({}, [("198.51.100.51", 443)])
    assert lab.guard.server.allowlist.match("granted.example") is None
    assert lab.internet.asked == ["granted.example"]


async def test_an_entry_that_loses_a_port_closes_it(lab: Lab) -> None:
    await lab.configure(listed("a.example", 443, 22), listed("b.example", 443))
    await lab.answer(Refresh())
    await lab.answer(Amend(1, (listed("a.example", 443),), id=2))
    assert lab.cut == [("198.51.100.1", 22)]
    assert set(lab.kernel.sets["open4"]) == {("198.51.100.1", 443), ("198.51.100.2", 443)}


async def test_a_wildcard_that_is_removed_closes_the_names_below_it(lab: Lab) -> None:
    await lab.configure(listed("w.example", below=True), listed("kept.w.example"), listed("notw.example"))
    for name in ("a.w.example", "kept.w.example", "notw.example"):
        await lab.answer(Resolve(name))
    await lab.answer(Amend(1, (), ("*.w.example",), id=2))
    assert lab.cut == [("198.51.100.1", 443)]


@pytest.mark.parametrize(
    ("amend", "closed"),
    [
        (Amend(1, (listed("new.example"),), id=2), False),
        (Amend(1, (listed("a.example", 22),), id=2), True),
        (Amend(1, (), ("a.example",), id=2), True),
        (Amend(1, (listed("below.w.example", 22),), id=2), True),
    ],
)
async def test_openings_of_unknown_names_stay_only_if_nothing_narrows(lab: Lab, amend: Amend, closed: bool) -> None:
    lab.kernel.sets["open4"]["198.51.100.9", 443] = 100  # from before a restart
    await lab.configure(listed("a.example"), listed("w.example", below=True))
    await lab.answer(amend)
    assert lab.cut == ([("198.51.100.9", 443)] if closed else [])


async def test_an_amendment_of_another_configuration_is_refused(lab: Lab) -> None:
    await lab.configure(listed("a.example"))
    answer = await lab.answer(Amend(7, (listed("b.example"),), id=8))
    assert isinstance(answer, Configured) and "the guard has another one" in answer.error
    assert lab.guard.server.allowlist.match("b.example") is None


async def test_after_a_failure_the_whole_configuration_is_needed(lab: Lab) -> None:
    await lab.configure(listed("a.example"))
    await lab.answer(Refresh())
    lab.kernel.broken = True
    answer = await lab.answer(Amend(1, (), ("a.example",), id=2))
    assert isinstance(answer, Configured) and "cannot change the firewall" in answer.error
    lab.kernel.broken = False
    answer = await lab.answer(Amend(1, (), ("a.example",), id=3))
    assert isinstance(answer, Configured) and answer.error
    await lab.configure(number=4)
    assert lab.kernel.sets["open4"] == {}


async def test_boot_waits_for_some_names_and_the_others_follow(lab: Lab) -> None:
    await lab.configure(*(listed(f"n{number}.example") for number in range(5)))
    refreshing = asyncio.create_task(lab.guard.keep_refreshing())
    done = await lab.answer(Refresh(2))
    assert isinstance(done, Done)
    assert (done.text, done.data) == (
        "2 names resolved, 3 more are being resolved", {"resolved": 2, "failed": 0, "left": 3},
    )  # fmt: skip
    await lab.internet.five.wait()
    assert lab.internet.asked == [f"n{number}.example" for number in range(5)]
    refreshing.cancel()
