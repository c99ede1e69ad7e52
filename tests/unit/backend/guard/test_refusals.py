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


def new_refusals() -> Refusals:
    return Refusals(lambda address: NAMES.get(address, ""), LISTED.match)


def report(address: str, port: int = 443, protocol: str = "tcp", version: int = 4, prefix: str = "agent") -> Report:
    return Report(Packet(version, protocol, "203.0.113.2", address, 5000, port), 1000, prefix)


@pytest.mark.parametrize(
    ("packet_report", "reason", "name"),
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
        (report("203.0.113.2", 22), Reason.OWN, ""),  # the source address itself
    ],
)
def test_reasons_and_names(packet_report: Report, reason: Reason, name: str) -> None:
    refused = new_refusals()
    refused.add(packet_report)
    (row,) = refused.take()
    assert (row.reason, row.name, row.address, row.port, row.uid) == (
        reason,
        name,
        packet_report.packet.destination,
        packet_report.packet.port,
        1000,
    )


def test_equal_refusals_share_a_row() -> None:
    refused = new_refusals()
    for _ in range(5):
        refused.add(report("198.51.100.9"))
    assert [row.count for row in refused.take()] == [5]
    assert refused.take() == []


def test_packets_of_the_sandboxs_services_are_ignored() -> None:
    refused = new_refusals()
    refused.add(report("198.51.100.9", prefix="other"))
    assert refused.take() == []


def test_a_flood_of_destinations_costs_a_bounded_number_of_rows() -> None:
    refused = new_refusals()
    for number in range(5000):
        refused.add(report(f"198.51.{number // 250}.{number % 250}"))
    rows = refused.take()
    assert len(rows) == refusals.MAX_ROWS + 1
    assert sum(row.count for row in rows) == 5000
    assert rows[-1].name == OTHER_DESTINATIONS


def test_a_flood_hides_no_serious_refusal_and_no_other_reason() -> None:
    refused = new_refusals()
    for number in range(5000):
        refused.add(report(f"198.51.{number // 250}.{number % 250}", 7))
    for number in range(5000):
        refused.add(report(f"10.51.{number // 250}.{number % 250}", 7))
    refused.add(report("203.0.113.2", 22))
    rows = refused.take()
    assert sum(row.count for row in rows) == 10_001
    by_reason = {reason: sum(row.count for row in rows if row.reason is reason) for reason in (Reason.PRIVATE, Reason.OWN)}
    assert by_reason == {Reason.PRIVATE: 5000, Reason.OWN: 1}
    assert len(rows) <= refusals.MAX_ROWS + refusals.MAX_SERIOUS_ROWS + 3
    assert len(refused.take()) == 0


def test_totals_of_serious_refusals_stay_exact_in_a_flood() -> None:
    refused = new_refusals()
    for number in range(2 * refusals.MAX_SEEN):
        refused.add(report(f"198.{number >> 16}.{number >> 8 & 255}.{number & 255}"))
    refused.add(report("169.254.169.254", 80))
    refused.add(report("203.0.113.2", 22))
    refused.add_totals({("169.254.169.254", "tcp", 80): 7, ("203.0.113.2", "tcp", 22): 3}, Severity.SERIOUS)
    counts = {(row.reason, row.address): row.count for row in refused.take()}
    assert counts[Reason.PRIVATE, "169.254.169.254"] == 7
    assert counts[Reason.OWN, "203.0.113.2"] == 3
    refused.add_totals({("169.254.169.254", "tcp", 80): 9}, Severity.SERIOUS)
    assert [(row.reason, row.count) for row in refused.take()] == [(Reason.PRIVATE, 2)]


def test_counts_from_before_the_guards_start_are_not_reported_again() -> None:
    """An earlier guard has reported them, and the self-test caused some of them."""
    refused = new_refusals()
    place = ("127.0.0.1", "tcp", 22)
    refused.begin({place: 4}, Severity.SERIOUS)
    refused.add_totals({place: 4}, Severity.SERIOUS)
    assert refused.take() == []
    refused.add_totals({place: 5}, Severity.SERIOUS)
    assert [(row.reason, row.count) for row in refused.take()] == [(Reason.OWN, 1)]


def test_the_kernels_totals_correct_the_count() -> None:
    refused = new_refusals()
    key = ("198.51.100.9", "tcp", 443)
    for _ in range(3):
        refused.add(report("198.51.100.9"))
    refused.add_totals({key: 1000})
    assert sum(row.count for row in refused.take()) == 1000
    refused.add(report("198.51.100.9"))
    refused.add_totals({key: 1001})
    assert sum(row.count for row in refused.take()) == 1
    refused.add_totals({key: 1001})
    assert refused.take() == []


def test_a_restarted_counter_is_handled() -> None:
    refused = new_refusals()
    refused.add_totals({("198.51.100.9", "tcp", 443): 500})
    refused.take()
    refused.add_totals({("198.51.100.9", "tcp", 443): 2})
    assert refused.take() == []
    refused.add_totals({("198.51.100.9", "tcp", 443): 5})
    assert sum(row.count for row in refused.take()) == 3


def test_a_destination_tried_again_an_hour_later_is_counted_exactly() -> None:
    """The kernel's counter has expired by then, so earlier reports must not be subtracted from the new count."""
    now = 0.0
    refused = Refusals(lambda _: "", LISTED.match, lambda: now)
    for _ in range(80):
        refused.add(report("198.51.100.9"))
    refused.take()
    now = 3600.0
    for _ in range(50):
        refused.add(report("198.51.100.9"))
    refused.add_totals({("198.51.100.9", "tcp", 443): 100})
    assert sum(row.count for row in refused.take()) == 100


def test_old_destinations_do_not_use_up_the_limit() -> None:
    """Many destinations over days, then a flood: without a place in the table its packets would be counted twice."""
    now = 0.0
    refused = Refusals(lambda _: "", LISTED.match, lambda: now)
    for number in range(2 * refusals.MAX_SEEN):
        now += 1.0
        refused.add(report(f"198.{number >> 16}.{number >> 8 & 255}.{number & 255}"))
        refused.take()
    for _ in range(50):
        refused.add(report("192.0.2.9"))
    refused.add_totals({("192.0.2.9", "tcp", 443): 90})
    assert sum(row.count for row in refused.take()) == 90


def test_the_counters_of_a_set_are_parsed() -> None:
    element = {"elem": {"val": {"concat": ["192.0.2.99", "udp", 9999]}, "expires": 5, "counter": {"packets": 5, "bytes": 145}}}
    objects: list[dict[str, Any]] = [
        {"metainfo": {}},
        {"set": {"name": "refused4", "elem": [element, {"elem": {"val": "odd"}}]}},
        {"set": {}},
    ]
    assert refusals.destination_totals(objects) == {("192.0.2.99", "udp", 9999): 5}
