"""Refusals: counted exactly, named, bounded."""

from __future__ import annotations

from typing import Any

import pytest

from backend.contract.events import Reason
from backend.contract.refusals import OTHER_DESTINATIONS, Severity
from backend.guard import refusals
from backend.guard.nflog import Report
from backend.guard.refusals import Refusals
from network import allowlist
from network.firewall.packets import Packet

LISTED = allowlist.parse("a.example:443\n", "f").allowlist
NAMES = {"198.51.100.1": "a.example", "198.51.100.2": "gone.example"}


def gathered() -> Refusals:
    return Refusals(lambda address: NAMES.get(address, ""), LISTED.match)


def report(address: str, port: int = 443, protocol: str = "tcp", version: int = 4, prefix: str = "agent") -> Report:
    return Report(Packet(version, protocol, "203.0.113.2", address, 5000, port), 1000, prefix)


@pytest.mark.parametrize(
    ("given", "reason", "name"),
    [
        (report("198.51.100.9"), Reason.NEVER_RESOLVED, ""),
        (report("198.51.100.1", 8443), Reason.PORT_NOT_LISTED, "a.example"),
        (report("198.51.100.1"), Reason.EXPIRED, "a.example"),
        (report("198.51.100.2"), Reason.NOT_LISTED, "gone.example"),
        (report("10.0.0.1"), Reason.PRIVATE, ""),
        (report("169.254.169.254", 80), Reason.PRIVATE, ""),
        (report("198.51.100.1", 443, "udp"), Reason.NOT_TCP, "a.example"),
        (report("2001:db8::1", 443, "tcp", 6), Reason.IPV6, ""),
        (report("fd00:ec2::254", 80, "tcp", 6), Reason.PRIVATE, ""),
        (report("fe80::1", 80, "tcp", 6), Reason.PRIVATE, ""),
        (report("::ffff:169.254.169.254", 80, "tcp", 6), Reason.PRIVATE, ""),
        (report("ff02::fb", 5353, "udp", 6), Reason.IPV6, ""),
        (report("127.0.0.54", 53, "udp"), Reason.OWN, ""),
        (report("::1", 22, "tcp", 6), Reason.OWN, ""),
        (report("203.0.113.2", 22), Reason.OWN, ""),  # where it comes from
    ],
)
def test_why_and_what(given: Report, reason: Reason, name: str) -> None:
    found = gathered()
    found.add(given)
    (row,) = found.take()
    assert (row.reason, row.name, row.address, row.port, row.uid) == (
        reason,
        name,
        given.packet.destination,
        given.packet.port,
        1000,
    )


def test_the_same_is_one_row() -> None:
    found = gathered()
    for _ in range(5):
        found.add(report("198.51.100.9"))
    assert [row.count for row in found.take()] == [5]
    assert found.take() == []


def test_the_sandboxs_own_are_not_the_agents() -> None:
    found = gathered()
    found.add(report("198.51.100.9", prefix="other"))
    assert found.take() == []


def test_a_flood_of_destinations_costs_a_bounded_number_of_rows() -> None:
    found = gathered()
    for number in range(5000):
        found.add(report(f"198.51.{number // 250}.{number % 250}"))
    rows = found.take()
    assert len(rows) == refusals.MAX_ROWS + 1
    assert sum(row.count for row in rows) == 5000
    assert rows[-1].name == OTHER_DESTINATIONS


def test_a_flood_of_public_destinations_hides_no_serious_one_and_one_reason_no_other() -> None:
    found = gathered()
    for number in range(5000):
        found.add(report(f"198.51.{number // 250}.{number % 250}", 7))
    for number in range(5000):
        found.add(report(f"10.51.{number // 250}.{number % 250}", 7))
    found.add(report("203.0.113.2", 22))
    rows = found.take()
    assert sum(row.count for row in rows) == 10_001
    by_reason = {reason: sum(row.count for row in rows if row.reason is reason) for reason in (Reason.PRIVATE, Reason.OWN)}
    assert by_reason == {Reason.PRIVATE: 5000, Reason.OWN: 1}
    assert len(rows) <= refusals.MAX_ROWS + refusals.MAX_SERIOUS_ROWS + 3
    assert len(found.take()) == 0


def test_the_kernels_totals_of_what_is_serious_are_exact_whatever_else_there_was() -> None:
    found = gathered()
    for number in range(2 * refusals.MAX_SEEN):
        found.add(report(f"198.{number >> 16}.{number >> 8 & 255}.{number & 255}"))
    found.add(report("169.254.169.254", 80))
    found.add(report("203.0.113.2", 22))
    found.add_totals({("169.254.169.254", "tcp", 80): 7, ("203.0.113.2", "tcp", 22): 3}, Severity.SERIOUS)
    counts = {(row.reason, row.address): row.count for row in found.take()}
    assert counts[Reason.PRIVATE, "169.254.169.254"] == 7
    assert counts[Reason.OWN, "203.0.113.2"] == 3
    found.add_totals({("169.254.169.254", "tcp", 80): 9}, Severity.SERIOUS)
    assert [(row.reason, row.count) for row in found.take()] == [(Reason.PRIVATE, 2)]


def test_what_the_kernel_counted_before_the_guard_was_started_is_told_by_nobody_again() -> None:
    """It has been told, and some of it the sandbox itself has brought about."""
    found = gathered()
    place = ("127.0.0.1", "tcp", 22)
    found.begin({place: 4}, Severity.SERIOUS)
    found.add_totals({place: 4}, Severity.SERIOUS)
    assert found.take() == []
    found.add_totals({place: 5}, Severity.SERIOUS)
    assert [(row.reason, row.count) for row in found.take()] == [(Reason.OWN, 1)]


def test_totals_of_the_kernel_make_it_exact() -> None:
    found = gathered()
    key = ("198.51.100.9", "tcp", 443)
    for _ in range(3):
        found.add(report("198.51.100.9"))
    found.add_totals({key: 1000})
    assert sum(row.count for row in found.take()) == 1000
    found.add(report("198.51.100.9"))
    found.add_totals({key: 1001})
    assert sum(row.count for row in found.take()) == 1
    found.add_totals({key: 1001})
    assert found.take() == []


def test_a_counter_that_began_anew_is_no_loss() -> None:
    found = gathered()
    found.add_totals({("198.51.100.9", "tcp", 443): 500})
    found.take()
    found.add_totals({("198.51.100.9", "tcp", 443): 2})
    assert found.take() == []
    found.add_totals({("198.51.100.9", "tcp", 443): 5})
    assert sum(row.count for row in found.take()) == 3


def test_a_destination_tried_again_an_hour_later_is_counted_as_exactly() -> None:
    """The kernel has forgotten it by then. What was reported of it before is no part of what it counts now."""
    now = 0.0
    found = Refusals(lambda _: "", LISTED.match, lambda: now)
    for _ in range(80):
        found.add(report("198.51.100.9"))
    found.take()
    now = 3600.0
    for _ in range(50):
        found.add(report("198.51.100.9"))
    found.add_totals({("198.51.100.9", "tcp", 443): 100})
    assert sum(row.count for row in found.take()) == 100


def test_destinations_of_days_do_not_keep_new_ones_from_being_known() -> None:
    """One after the other, never many at once; then a flood, whose reports would be counted twice."""
    now = 0.0
    found = Refusals(lambda _: "", LISTED.match, lambda: now)
    for number in range(2 * refusals.MAX_SEEN):
        now += 1.0
        found.add(report(f"198.{number >> 16}.{number >> 8 & 255}.{number & 255}"))
        found.take()
    for _ in range(50):
        found.add(report("192.0.2.9"))
    found.add_totals({("192.0.2.9", "tcp", 443): 90})
    assert sum(row.count for row in found.take()) == 90


def test_reading_the_kernels_set() -> None:
    element = {"elem": {"val": {"concat": ["192.0.2.99", "udp", 9999]}, "expires": 5, "counter": {"packets": 5, "bytes": 145}}}
    objects: list[dict[str, Any]] = [
        {"metainfo": {}},
        {"set": {"name": "refused4", "elem": [element, {"elem": {"val": "odd"}}]}},
        {"set": {}},
    ]
    assert refusals.destination_totals(objects) == {("192.0.2.99", "udp", 9999): 5}
