"""What was opened by hand: told to every part, taken back whole where one of them refuses, closed when its time is up."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import cast

import pytest

from backend.boot import briefing
from backend.contract.control import Revoke
from backend.contract.events import Allowed, Noted, Withdrawn
from backend.supervision import control, grants
from backend.system import SystemFailure
from network.allowlist import Allowlist
from tests.unit.backend.supervision.parts import BOTH, Case, entry, names


async def test_a_grant_reaches_every_part_and_claude_before_it_is_over(case: Case) -> None:
    await case.grants.grant(entry("more.example"), 0.0, "operator")
    assert case.parts.has == {"guard": BOTH, "names": BOTH, "gate": BOTH}
    assert case.parts.resolved == ["resolve more.example"]
    assert case.events == [Allowed("more.example", "", 0.0, "operator")]
    assert (case.proofs, case.told) == (1, [BOTH])


@pytest.mark.parametrize(
    ("text", "pattern", "ports"), [("a.example:8443", "a.example", "8443"), ("*.b.example", "*.b.example", "")]
)
async def test_ports_are_said_and_names_below_one_are_not_resolved(case: Case, text: str, pattern: str, ports: str) -> None:
    await case.grants.grant(entry(text), 9.0, "operator")
    assert case.events == [Allowed(pattern, ports, 9.0, "operator")]
    assert case.parts.resolved == ([] if text.startswith("*") else ["resolve a.example"])


@pytest.mark.parametrize("part", ["guard", "names", "gate", "resolver"])
async def test_a_grant_that_one_part_refuses_is_taken_back_from_all(case: Case, part: str) -> None:
    case.parts.down = {part}
    with pytest.raises(SystemFailure):
        await case.grants.grant(entry("more.example"), 0.0, "operator")
    assert (case.grants.granted, case.events, case.told) == ({}, [], [])
    assert all(has == {"always.example"} for has in case.parts.has.values())


async def test_a_longer_grant_that_fails_leaves_the_one_before(case: Case) -> None:
    await case.grants.grant(entry("more.example"), 5.0, "operator")
    before = dict(case.grants.granted)
    case.parts.down = {"resolver"}
    with pytest.raises(SystemFailure):
        await case.grants.grant(entry("more.example"), 50.0, "operator")
    assert case.grants.granted == before
    assert [grant.until for grant in before["more.example"]] == [5.0]
    assert case.parts.has["gate"] == BOTH


async def test_what_is_withdrawn_is_closed_everywhere(case: Case) -> None:
    await case.grants.grant(entry("more.example"), 0.0, "operator")
    await case.grants.withdraw("more.example", "operator")
    assert all(has == {"always.example"} for has in case.parts.has.values())
    assert case.events[-1] == Withdrawn("more.example", "operator")
    assert (case.proofs, case.told[-1]) == (2, {"always.example"})
    with pytest.raises(KeyError):
        await case.grants.withdraw("more.example", "operator")


async def test_what_cannot_be_withdrawn_is_closed_where_it_can_be_and_known_to_be_open_elsewhere(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard is away. Names and gate forget it at once, the guard as soon as it is back, and then it is said."""
    monkeypatch.setattr(grants, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(grants, "LOOK_SECONDS", 0.0)
    await case.grants.grant(entry("more.example"), 0.0, "operator")
    case.parts.down = {"guard"}
    with pytest.raises(SystemFailure, match="off the allowlist but may still be open: guard is down"):
        await case.grants.withdraw("more.example", "operator")
    assert case.parts.has == {"guard": BOTH, "names": {"always.example"}, "gate": {"always.example"}}
    assert [grant.closed_by for grant in case.grants.granted["more.example"]] == ["operator"]
    assert not any(isinstance(event, Withdrawn) for event in case.events)
    with pytest.raises(KeyError):
        await case.grants.withdraw("more.example", "operator")
    case.parts.down = set()
    watching = asyncio.create_task(case.grants.withdraw_in_time())
    await case.said(Withdrawn)
    watching.cancel()
    assert case.events[-1] == Withdrawn("more.example", "operator")
    assert (case.parts.has["guard"], case.grants.granted) == ({"always.example"}, {})


async def test_a_revoke_waits_for_a_guard_that_is_being_started_again(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "AGAIN_SECONDS", 0.0)
    await case.grants.grant(entry("more.example"), 0.0, "operator")
    case.parts.down = {"guard"}
    closing = asyncio.create_task(case.grants.withdraw("more.example", "operator"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not closing.done()
    case.parts.down = set()
    await closing
    assert case.events[-1] == Withdrawn("more.example", "operator")


async def test_a_time_that_is_up_is_withdrawn_as_soon_as_it_can_be(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    await case.grants.grant(entry("stays.example"), 0.0, "operator")
    await case.grants.grant(entry("later.example"), case.now + 3600, "operator")
    await case.grants.grant(entry("more.example"), case.now + 10, "operator")
    case.passes(10)
    case.parts.down = {"gate"}
    monkeypatch.setattr(grants, "LOOK_SECONDS", 0.0)
    watching = asyncio.create_task(case.grants.withdraw_in_time())
    await case.said(Noted)
    for _ in range(100):
        await asyncio.sleep(0)
    case.parts.down = set()
    await case.said(Withdrawn)
    watching.cancel()
    assert case.events[-1] == Withdrawn("more.example", "its time was up")
    assert set(case.grants.granted) == {"stays.example", "later.example"}
    assert len([event for event in case.events if isinstance(event, Noted)]) == 1  # tried a hundred times, said once


@pytest.mark.parametrize("step", [-7200.0, 7200.0])
async def test_an_hour_is_an_hour_whatever_is_done_to_the_clock(
    case: Case, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """And until when it is open is said anew, once."""
    monkeypatch.setattr(grants, "LOOK_SECONDS", 0.0)
    await case.grants.grant(entry("more.example"), case.now + 3600, "operator")
    watching = asyncio.create_task(case.grants.withdraw_in_time())
    case.passes(600)
    case.now += step
    await case.said(Allowed, after=1)
    for _ in range(100):
        await asyncio.sleep(0)
    assert case.events[1:] == [Allowed("more.example", "", case.now + 3000, "operator")]
    case.passes(2999)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(case.events) == 2
    case.passes(1)
    await case.said(Withdrawn)
    watching.cancel()


async def test_what_was_open_when_everything_was_closed_is_over_in_time_too(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is there to be told; the guard begins with what is still to be open when boot begins anew."""
    monkeypatch.setattr(grants, "LOOK_SECONDS", 0.0)
    await case.grants.grant(entry("more.example"), case.now + 10, "operator")
    await case.grants.grant(entry("later.example"), case.now + 3600, "operator")
    case.parts.down = {"guard"}
    case.parts.stopped()
    case.passes(10)
    watching = asyncio.create_task(case.grants.withdraw_in_time())
    await case.said(Withdrawn)
    watching.cancel()
    assert case.parts.has["gate"] == {"always.example", "later.example"}
    assert {entry.name for entry in case.policy.configuration().entries} == {"always.example", "later.example"}


async def test_of_two_at_once_the_one_that_fails_takes_nothing_of_the_other(case: Case) -> None:
    case.parts.down = {"bad.example"}
    both = (case.grants.grant(entry(name), 0.0, "operator") for name in ("bad.example", "more.example"))
    failed, done = await asyncio.gather(*both, return_exceptions=True)
    assert isinstance(failed, SystemFailure)
    assert done == ""
    assert case.parts.has["gate"] == names(case.grants.allowlist) == BOTH


async def test_what_changes_while_claude_is_told_is_told_too(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file may be a pipe that is read late: a change is not held up for long, and what is told last is how it is."""
    read = threading.Event()

    def write(_: object, __: object, allowlist: Allowlist) -> None:
        read.wait(30)
        case.told.append(names(allowlist))

    monkeypatch.setattr(briefing, "write", write)
    monkeypatch.setattr(grants, "TELL_SECONDS", 0.0)
    await case.grants.grant(entry("more.example"), 0.0, "operator")
    await case.grants.withdraw("more.example", "operator")
    assert case.told == []
    read.set()
    assert case.grants._telling is not None
    await asyncio.wait_for(case.grants._telling, 30)
    assert case.told == [BOTH, {"always.example"}]


async def test_changes_at_once_leave_every_part_with_the_newest_list(case: Case) -> None:
    case.parts.goes_on.clear()
    first = asyncio.create_task(case.grants.grant(entry("first.example"), 0.0, "operator"))
    await case.parts.held.wait()
    second = asyncio.create_task(case.grants.grant(entry("second.example"), 0.0, "another"))
    third = asyncio.create_task(case.grants.withdraw("first.example", "a third"))
    await asyncio.wait((second, third), timeout=0.1)  # they would overtake it, if they could
    case.parts.goes_on.set()
    await asyncio.gather(first, second, third)
    assert all(has == {"always.example", "second.example"} for has in case.parts.has.values())
    assert [event.name for event in case.events if isinstance(event, Allowed | Withdrawn)] == [
        "first.example",
        "second.example",
        "first.example",
    ]


async def test_a_time_that_was_up_does_not_close_what_was_opened_anew(case: Case) -> None:
    await case.grants.grant(entry("more.example"), case.now + 5, "operator")
    await case.grants.grant(entry("more.example"), case.now + 50, "operator")
    case.passes(10)
    await case.looks()
    assert case.parts.has["gate"] == BOTH
    assert not any(isinstance(event, Withdrawn) for event in case.events)


async def test_two_revoke_one_name_and_both_are_answered(case: Case) -> None:
    """Both wait for another change; the one that is second finds it closed."""
    await case.grants.grant(entry("more.example"), 0.0, "operator")
    case.parts.goes_on.clear()
    other = asyncio.create_task(case.grants.grant(entry("other.example"), 0.0, "operator"))
    await case.parts.held.wait()
    target = cast(control.Control, SimpleNamespace(grants=case.grants, policy=case.policy))
    asked = [asyncio.create_task(control.answer(Revoke("more.example"), target)) for _ in range(2)]
    await asyncio.sleep(0)
    case.parts.goes_on.set()
    await other
    replies = [await one for one in asked]
    assert [(reply.ok, reply.text) for reply in replies] == [
        (True, "more.example is closed again"),
        (False, "more.example was closed meanwhile"),
    ]
