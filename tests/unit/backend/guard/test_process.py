"""Reports of the guard process about failing and refused names."""

from __future__ import annotations

import json

import pytest

from backend.contract.events import Reason, Refused, Via, decode
from backend.contract.refusals import OTHER_NAMES, Severity, severity
from backend.guard import process
from backend.guard.process import Guard
from backend.guard.refusals import MAX_ROWS
from backend.guard.server import Server
from backend.guard.upstream import UpstreamError
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
