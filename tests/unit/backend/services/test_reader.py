"""The reader's account: notes are counted, orders follow, and the counts survive a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backend.contract.events import BudgetChanged, BudgetLevel, Event, ModelUsed, Noted
from backend.contract.paths import Paths
from backend.services.gate import Gate
from backend.services.reader import MAX_CALLS, Reader
from network.gate import budget
from network.gate.budget import Kind
from network.gate.calls import Answered, Ended, Moved


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    return paths


def made(paths: Paths, limits: str, events: list[Event]) -> Reader:
    reader = Reader(paths, Gate(paths, events.append), events.append)
    reader.begin(budget.limits(limits))
    return reader


def call(reader: Reader, **used: Any) -> None:
    reader._heard({"begun": True}, [])
    reader._heard({"used": {"model": "claude-opus-5", "input": 100, "output": 10, "cache_read": 5, **used}}, [])


def test_a_first_boot_reports_nothing(paths: Paths) -> None:
    events: list[Event] = []
    made(paths, "calls=2/h", events)
    assert events == []


def test_calls_are_counted_and_a_limit_is_told_twice(paths: Paths) -> None:
    events: list[Event] = []
    reader = made(paths, "calls=5", events)
    levels = []
    for _ in range(5):
        call(reader)
        levels += [event.level for event in reader.take_used() if isinstance(event, BudgetChanged)]
    assert levels == [BudgetLevel.WARNED, BudgetLevel.USED_UP]
    assert "5 of 5 calls" in str(reader._current()["refusal"])
    assert reader._current()["calls"] == 5  # all that may begin in the life of this reader
    reader.raise_limits({Kind.CALLS: 2})
    assert reader._current() == {"tools": [], "calls": 7, "refusal": "", "placeholders": {}}
    assert [event.level for event in reader.take_used() if isinstance(event, BudgetChanged)] == [BudgetLevel.FINE]


def test_the_account_survives_a_restart_of_boot(paths: Paths) -> None:
    events: list[Event] = []
    call(made(paths, "cost=1", events))
    (used,) = [event for event in made(paths, "cost=1", events).take_used() if isinstance(event, ModelUsed)]
    assert (used.calls, used.input, used.output, used.cached) == (1, 100, 10, 5)
    assert used.cost == pytest.approx((100 * 5 + 10 * 25 + 5 * 0.5) / 1e6, abs=1e-4)
    assert paths.budget.stat().st_mode & 0o777 == 0o600
    paths.budget.write_text("{")
    made(paths, "cost=1", events)
    assert "cannot read what the model has used so far" in next(e.text for e in reversed(events) if isinstance(e, Noted))


def test_an_unknown_model_and_an_estimate_are_told(paths: Paths) -> None:
    events: list[Event] = []
    reader = made(paths, "", events)
    for number in range(20):
        call(reader, model=f"new\x1b-{number}", estimated=True)
    (used,) = [event for event in reader.take_used() if isinstance(event, ModelUsed)]
    assert (used.estimated, len(used.unknown), used.unknown[0]) == (20, 8, "new?-0")
    assert sum("no price is known" in event.text for event in events if isinstance(event, Noted)) == 8


def test_without_calls_and_limits_nothing_is_told(paths: Paths) -> None:
    assert made(paths, "", []).take_used() == []
    assert [type(event) for event in made(paths, "calls=1", []).take_used()] == [ModelUsed]


def test_a_new_reader_gets_what_is_left(paths: Paths) -> None:
    reader = made(paths, "calls=5", [])
    call(reader)
    call(reader)
    reader._begun = 0  # as at its start
    assert json.loads(json.dumps(reader._current()))["calls"] == 3


def test_what_becomes_of_calls_is_kept_for_the_watchdog(paths: Paths) -> None:
    reader = made(paths, "", [])
    reader.placeholders = {"TOKEN": "placeholder"}
    assert reader._current()["placeholders"] == {"placeholder": "TOKEN"}
    reader._heard({"answer": {"status": 429, "model": "m", "credential": "TOKEN"}}, [])
    reader._heard({"moved": True}, [])
    reader._heard({"ended": {"whole": True, "model": "m"}}, [])
    assert reader.take_calls() == [Answered(429, "m", "TOKEN"), Moved(), Ended(True, "m")]
    assert reader.take_calls() == []
    for number in range(3 * MAX_CALLS):
        reader._heard({"answer": {"status": number % 600}}, [])
    assert len(reader.take_calls()) == MAX_CALLS
