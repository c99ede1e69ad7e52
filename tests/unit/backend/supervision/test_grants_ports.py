"""What was opened by hand, port by port; and what is not opened at all."""

from __future__ import annotations

import asyncio

import pytest

from backend.contract.events import Withdrawn
from backend.supervision import grants
from backend.system import SystemFailure
from tests.unit.backend.supervision.parts import BOTH, Case, by_hand, entry


async def test_another_port_is_opened_beside_those_that_are_open_each_until_its_own_time(case: Case) -> None:
    await case.grants.grant(by_hand("more.example"), case.now + 100, "operator")
    await case.grants.grant(by_hand("more.example:8443"), case.now + 10, "operator")
    assert case.parts.ports["more.example"] == {443, 80, 8443}
    case.passes(10)
    await case.looks()
    assert case.parts.ports["more.example"] == {443, 80}
    assert case.events[-1] == Withdrawn("more.example", "its time was up", "8443", "443, 80 by more.example (by hand)")
    case.passes(90)
    await case.looks()
    assert "more.example" not in case.parts.ports
    assert case.events[-1] == Withdrawn("more.example", "its time was up")


async def test_a_port_that_is_opened_again_has_one_end_the_newer(case: Case) -> None:
    await case.grants.grant(by_hand("more.example:443,8443"), case.now + 10, "operator")
    await case.grants.grant(by_hand("more.example:443"), case.now + 100, "operator")
    case.passes(50)
    await case.looks()
    assert case.parts.ports["more.example"] == {443}
    (left,) = case.grants.granted["more.example"]
    assert (set(left.entry.numbers), left.until) == ({443}, case.now + 50)


async def test_a_port_can_be_closed_by_itself(case: Case) -> None:
    await case.grants.grant(by_hand("more.example:443,8443"), 0.0, "operator")
    await case.grants.withdraw("more.example", "operator", {8443})
    assert case.parts.ports["more.example"] == {443}
    assert case.events[-1] == Withdrawn("more.example", "operator", "8443", "443 by more.example (by hand)")
    with pytest.raises(KeyError):
        await case.grants.withdraw("more.example", "operator", {8443})


async def test_a_name_below_a_wildcard_keeps_the_ports_that_this_opens(case: Case) -> None:
    """The narrowest entry decides: without them, opening a port of a name would close the others."""
    await case.grants.grant(by_hand("*.wide.example:443,22"), 0.0, "operator")
    await case.grants.grant(by_hand("a.wide.example:8443"), 0.0, "operator")
    assert case.parts.ports["a.wide.example"] == {443, 22, 8443}
    await case.grants.grant(by_hand("*.a.wide.example:9000"), 0.0, "operator")
    assert {one.pattern: one.numbers for one in case.grants.allowlist.entries}["*.a.wide.example"] == {443, 22, 9000}
    await case.grants.withdraw("a.wide.example", "operator")
    assert case.events[-1].stays == "443, 22 by *.wide.example (by hand)"  # type: ignore[attr-defined]


async def test_what_the_list_has_stays_open_and_that_is_said(case: Case) -> None:
    await case.grants.grant(by_hand("always.example"), case.now + 10, "operator")
    case.passes(10)
    await case.looks()
    assert case.parts.ports["always.example"] == {443, 80}
    assert case.events[-1] == Withdrawn("always.example", "its time was up", "", "443, 80 by always.example (test:1)")


# --- names without an address, and a freeze that comes first ---


async def test_a_name_without_an_address_is_not_opened_unless_that_is_meant(case: Case) -> None:
    case.parts.down = {"more.example"}
    with pytest.raises(SystemFailure, match=r"cannot open more\.example: the name does not exist"):
        await case.grants.grant(by_hand("more.example"), 0.0, "operator")
    assert case.parts.has["gate"] == {"always.example"}
    await case.grants.grant(by_hand("more.example"), 0.0, "operator", unresolved=True)
    assert case.parts.has["gate"] == BOTH


@pytest.mark.parametrize("pattern", ["more.example", "*.more.example"])
async def test_what_waited_for_its_turn_is_not_opened_after_a_freeze(case: Case, pattern: str) -> None:
    case.parts.goes_on.clear()
    first = asyncio.create_task(case.grants.grant(by_hand("first.example"), 0.0, "operator"))
    await case.parts.held.wait()
    second = asyncio.create_task(case.grants.grant(entry(pattern), 0.0, "operator"))
    await asyncio.sleep(0)
    case.policy.frozen = True
    case.parts.goes_on.set()
    done = await asyncio.gather(first, second, return_exceptions=True)
    assert [str(failure) for failure in done] == [f"the sandbox is frozen: {grants.FROZEN}"] * 2  # the first was half done
    assert (case.events, case.grants.granted) == ([], {})
    assert case.parts.has == {"guard": {"always.example"}, "names": {"always.example"}, "gate": {"always.example"}}


async def test_what_closes_an_entry_with_ports_of_its_own_names_them(case: Case) -> None:
    await case.grants.grant(by_hand("more.example:8443"), 0.0, "operator")
    await case.grants.withdraw("more.example", "operator", {8443})
    assert case.events[-1] == Withdrawn("more.example", "operator", "8443")
