"""Open addresses: their sets, their names and their leases."""

from __future__ import annotations

from typing import cast

import pytest

from backend.guard.nftables import Nftables, NftError
from backend.guard.openings import MAX_NAMES, Openings
from network import allowlist
from network.allowlist import Allowlist
from tests.unit.backend.guard.kernel import Kernel

ONE, OTHER = "198.51.100.1", "198.51.100.2"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def openings(kernel: Kernel, clock: Clock) -> Openings:
    return Openings(cast(Nftables, kernel), clock, grace_seconds=60, keep_seconds=3600)


LISTED = allowlist.parse("a.example\nb.example:443,22\n", "f").allowlist
A, B = LISTED.entries


def test_an_address_is_open_on_the_ports_of_its_entry(openings: Openings, kernel: Kernel) -> None:
    openings.admit("b.example", B, [ONE], 30)
    assert kernel.sets["open4"] == {(ONE, 443): 3660, (ONE, 22): 3660}
    assert openings.addresses == 1


def test_with_a_gate_ports_that_are_checked_by_address_are_opened_for_the_agent(openings: Openings, kernel: Kernel) -> None:
    openings.gate = True
    openings.admit("b.example", B, [ONE], 30)
    assert set(kernel.sets["open4"]) == {(ONE, 443)}
    assert set(kernel.sets["direct4"]) == {(ONE, 22)}


@pytest.mark.parametrize(("ttl", "keep", "seconds"), [(0, 0, 360), (600, 0, 660), (5, 7200, 7260), (2**31, 0, 7 * 86400)])
def test_the_time_that_an_address_stays_open(openings: Openings, kernel: Kernel, ttl: int, keep: float, seconds: int) -> None:
    """The longest of TTL, CoreDNS's cache time and lease, plus the grace time."""
    openings.keep_seconds = keep
    openings.admit("a.example", A, [ONE], ttl)
    assert kernel.sets["open4"][ONE, 443] == seconds


def test_an_answer_extends_the_lease(openings: Openings, kernel: Kernel, clock: Clock) -> None:
    openings.admit("a.example", A, [ONE], 30)
    kernel.sets["open4"][ONE, 443] = 5  # the remaining time in the kernel
    clock.now += 3655
    openings.admit("a.example", A, [ONE], 30)
    assert kernel.sets["open4"][ONE, 443] == 3660


def test_nothing_is_open_if_the_kernel_refuses_the_change(openings: Openings, kernel: Kernel) -> None:
    kernel.broken = True
    with pytest.raises(NftError):
        openings.admit("a.example", A, [ONE], 30)
    assert openings.addresses == 0
    assert openings.open == {}


def test_openings_that_no_listed_name_needs_are_closed(openings: Openings, kernel: Kernel) -> None:
    openings.admit("a.example", A, [ONE, OTHER], 30)
    openings.admit("b.example", B, [ONE], 30)
    gone = openings.close_unlisted(LISTED.without("a.example").match)
    assert set(gone) == {(ONE, 80), (OTHER, 443), (OTHER, 80)}
    assert set(kernel.sets["open4"]) == {(ONE, 443), (ONE, 22)}


def test_ports_removed_from_an_entry_are_closed(openings: Openings, kernel: Kernel) -> None:
    openings.admit("b.example", B, [ONE], 30)
    openings.close_unlisted(allowlist.parse("b.example:443", "f").allowlist.match)
    assert set(kernel.sets["open4"]) == {(ONE, 443)}


def test_a_reloaded_table_is_filled_again(openings: Openings, kernel: Kernel, clock: Clock) -> None:
    openings.admit("a.example", A, [ONE], 30)
    kernel.sets["open4"].clear()
    clock.now += 660
    openings.restore()
    assert kernel.sets["open4"] == {(ONE, 443): 3000, (ONE, 80): 3000}


def test_a_restarted_guard_reads_open_addresses_and_lets_them_expire(openings: Openings, kernel: Kernel, clock: Clock) -> None:
    kernel.sets["open4"][ONE, 443] = 100
    openings.read_back()
    assert openings.addresses == 1
    clock.now += 100.9  # the kernel's element may have had almost 101 seconds left
    openings.expire()
    assert openings.addresses == 1
    clock.now += 0.2
    openings.expire()
    assert openings.addresses == 0


def test_a_record_outlives_the_kernels_element(openings: Openings, kernel: Kernel, clock: Clock) -> None:
    """Otherwise an address that is resolved again in between would be added as new, and expire with the old element."""
    change = kernel.run

    def slowly(commands: str) -> str:
        clock.now += 2  # a busy machine: the element's time begins only then
        return change(commands)

    kernel.run = slowly  # type: ignore[method-assign]
    openings.admit("a.example", A, [ONE], 30)
    clock.now += kernel.sets["open4"][ONE, 443] - 0.1
    openings.expire()
    assert openings.addresses == 1
    openings.keep_used([(ONE, 443)])
    clock.now += kernel.sets["open4"][ONE, 443] - 0.1
    openings.expire()
    assert openings.addresses == 1


def test_an_open_flow_extends_the_lease(openings: Openings, kernel: Kernel, clock: Clock) -> None:
    openings.admit("a.example", A, [ONE, OTHER], 30)
    clock.now += 3000
    openings.keep_used([(ONE, 443)])
    assert kernel.sets["open4"][ONE, 443] == 3600
    clock.now += 1000
    openings.expire()
    assert {(address, port) for _, address, port in openings.open} == {(ONE, 443)}


def test_empty_closes_everything(openings: Openings, kernel: Kernel) -> None:
    openings.admit("a.example", A, [ONE], 30)
    assert set(openings.empty()) == {(ONE, 443), (ONE, 80)}
    assert kernel.addresses() == set()
    assert Allowlist() == Allowlist(())


def test_many_names_below_a_wildcard_do_not_displace_others(openings: Openings, kernel: Kernel) -> None:
    """If the agent keeps asking for new names with one address, memory is bounded and no other name is closed too early."""
    listed = allowlist.parse("a.example\n*.wild.example\n", "f").allowlist
    a, wild = listed.entries
    openings.admit("a.example", a, [ONE], 30)
    for number in range(10_000):
        openings.admit(f"{number}.wild.example", wild, [ONE], 30)
    assert len(openings.open["open4", ONE, 443].names) <= MAX_NAMES + 1
    assert openings.close_unlisted(Allowlist((wild,)).match) == []
    assert openings.close_unlisted(listed.match) == []
    openings.admit("a.example", a, [ONE], 30)
    openings.admit("last.wild.example", wild, [ONE], 30)
    assert openings.close_unlisted(Allowlist((a,)).match) == []
    assert openings.open["open4", ONE, 443].names == {"a.example"}
    assert openings.close_unlisted(Allowlist().match) == [(ONE, 443), (ONE, 80)]
    assert kernel.sets["open4"] == {}
