"""What a resumed sandbox opens again, where an archive may go, and an agent that stands still only for a moment."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.agent.freezer import Freezer
from backend.context import Boot
from backend.contract.events import Event, Noted
from backend.contract.state import State
from backend.journal import Journal
from backend.supervision import freezing
from backend.supervision.freezing import Freezing
from backend.supervision.grants import BY_HAND, LEARNING
from backend.supervision.suspender import BEFORE, RETRY_SECONDS, SPARE, Suspender, compressed_tail, pause_after
from backend.suspension.description import Granted, Manifest, Suspended
from backend.suspension.places import Store
from backend.suspension.resumed import Resumed
from backend.system import SystemFailure
from network.allowlist import parse_entry
from tests.unit.backend.supervision.parts import Case

HOUR = time.time() + 3600
MANIFEST = Manifest(0, 0, {})


class Kept:
    """A journal that keeps its events."""

    def __init__(self, *, gate: bool = True) -> None:
        self.events, self.state = list[Event](), State(gate=gate)

    def emit(self, event: Event) -> None:
        self.events.append(event)


def suspender(case: Case, journal: Kept, *grants: Granted, frozen: Freezing | None = None) -> Suspender:
    resumed = Resumed(Path("/a"), "/a", Suspended(grants=grants), MANIFEST, b"")
    boot = SimpleNamespace(settings=SimpleNamespace(state="", state_seconds=600.0), resumed=resumed)
    return Suspender(cast(Boot, boot), cast(Journal, journal), case.grants, cast(Freezing, frozen))


async def test_grants_are_opened_again(case: Case) -> None:
    case.now = time.time()
    journal = Kept()
    grants = (Granted("a.example", "443,8443", "", HOUR, "root"), Granted("*.b.example", "443", "read", 0.0, f"x{BEFORE}"))
    await suspender(case, journal, *grants)._open()
    (first,), (second,) = case.grants.granted["a.example"], case.grants.granted["*.b.example"]
    assert (set(first.entry.numbers), first.until, first.by) == ({443, 8443}, HOUR, f"root{BEFORE}")
    assert (second.entry.grants, second.until, second.by) == ((("read",),), 0.0, f"x{BEFORE}")  # not a longer one each time
    assert journal.events == []


@pytest.mark.parametrize(
    ("granted", "reason"),
    [
        (Granted("a.example", "443", "", 1000.0), "its time ended at 1970-01-01 00:16 UTC, while the sandbox was suspended"),
        (Granted("a.example", "443", "", -5.0), "its time ended at long ago"),
        (Granted("a example", "443"), ""),
        (Granted("192.0.2.1", "443"), ""),
        (Granted("a.example", "no port"), ""),
        (Granted("a.example", "443", "anything else"), ""),
        (Granted("\x1b[2J", "443"), ""),
    ],
)
async def test_what_has_expired_or_is_not_valid_stays_closed_and_is_named(case: Case, granted: Granted, reason: str) -> None:
    case.now = time.time()
    journal = Kept()
    await suspender(case, journal, granted, Granted("good.example", "443"))._open()
    assert [*case.grants.granted] == ["good.example"]
    (note,) = journal.events
    assert isinstance(note, Noted)
    assert f"is not open any more: {reason}" in note.text


async def test_without_a_gate_a_limited_grant_is_not_widened(case: Case) -> None:
    journal = Kept(gate=False)
    await suspender(case, journal, Granted("a.example", "443", "read"))._open()
    assert not case.grants.granted
    assert "CODETAINER_GATE=off" in str(journal.events)


async def test_what_a_learning_run_has_opened_is_not_kept(case: Case) -> None:
    await case.grants.grant(parse_entry("a.example", LEARNING), 0.0, LEARNING)
    await case.grants.grant(parse_entry("b.example", BY_HAND), 0.0, "root")
    assert [one.name for one in suspender(case, Kept())._granted()] == ["b.example"]


@pytest.mark.skipif(os.geteuid() != 0, reason="pytest's folders belong to root only if root runs it")
def test_an_archive_goes_only_where_the_agent_cannot_write(case: Case, tmp_path: Path) -> None:
    made = suspender(case, Kept())
    made._target("/proc/7/fd/1")
    for file in ("relative.tar", "/tmp/mine.tar", f"{tmp_path}/none/a.tar", str(tmp_path), "/proc/7/fd/1/../../mem"):
        with pytest.raises(SystemFailure):
            made._target(file)


# --- standing still ---


class Stopped:
    """A freezer that notes what it is asked for, and fails as long as `broken` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, case: Case, marker: Path) -> None:
        self.did, self.broken = list[str](), ""
        monkeypatch.setattr(freezing, "STARTING_SECONDS", 0.0)
        self.freezing = Freezing(case.policy, lambda event: None, marker)

        async def freezer(_: Path) -> Freezer:
            return cast(Freezer, SimpleNamespace(freeze=self._freeze, thaw=lambda: self.did.append("thaw")))

        monkeypatch.setattr(self.freezing, "_make", freezer)
        self.freezing.prepare(marker)

    def _freeze(self) -> None:
        self.did.append("freeze")
        if self.broken:
            raise SystemFailure(self.broken)


@pytest.fixture
async def stopped(monkeypatch: pytest.MonkeyPatch, case: Case, tmp_path: Path) -> Stopped:
    return Stopped(monkeypatch, case, tmp_path / "frozen")


async def test_the_agent_goes_on_afterwards_and_the_network_stays_open(stopped: Stopped, case: Case) -> None:
    async with stopped.freezing.held() as still:
        assert (still, case.policy.stands_still, case.policy.frozen, case.parts.paused) == (True, True, False, False)
    assert (stopped.did, case.policy.stands_still) == (["freeze", "thaw"], False)


async def test_it_goes_on_after_an_error_too(stopped: Stopped, case: Case) -> None:
    with pytest.raises(OSError, match="full"):
        async with stopped.freezing.held():
            raise OSError(28, "full")
    assert (stopped.did, case.policy.stands_still) == (["freeze", "thaw"], False)


async def test_an_agent_that_cannot_be_stopped_is_reported(stopped: Stopped) -> None:
    stopped.broken = "it forks too fast"
    async with stopped.freezing.held() as still:
        assert not still
    assert stopped.did == ["freeze", "thaw"]


async def test_a_freeze_interrupts_it_and_the_agent_does_not_run_in_between(stopped: Stopped, case: Case) -> None:
    async with stopped.freezing.held():
        freezing = asyncio.create_task(stopped.freezing.freeze("root"))
        await asyncio.sleep(0)
        assert stopped.freezing.interrupted.is_set()
        assert not freezing.done()
    await freezing
    assert case.policy.frozen
    assert "thaw" not in stopped.did


async def test_in_a_frozen_sandbox_nothing_changes(stopped: Stopped, case: Case) -> None:
    await stopped.freezing.freeze("root")
    before = list(stopped.did)
    async with stopped.freezing.held() as still:
        assert still
        assert not stopped.freezing.interrupted.is_set()
    assert stopped.did == before
    assert case.policy.frozen


@given(st.floats(1.0, 86_400.0), st.floats(0.0, 0.19), st.floats(0.0, 1.0))
def test_a_kill_loses_at_most_the_interval(interval: float, share: float, slower: float) -> None:
    """It comes just before the next archive is complete, which takes up to half as long again as the one before, and SPARE."""
    took = share * interval
    following = (1 + slower / 2) * took + slower * SPARE * interval
    assert took + pause_after(interval, took) + following <= interval * (1 + 1e-9)


@given(st.floats(1.0, 86_400.0), st.floats(0.0, 3600.0))
def test_the_agent_gets_half_of_the_interval(interval: float, took: float) -> None:
    assert interval / 2 <= pause_after(interval, took) <= interval


async def test_work_is_kept_before_the_interval_is_over_and_soon_after_a_failure(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = suspender(case, Kept())
    keeping._store = cast(Store, object())
    pauses, kept = list[float](), iter((True, False))

    async def keep(*_: object) -> bool:
        return next(kept)

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(keeping, "_keep", keep)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await keeping.run()
    first, second, third = pauses
    assert first == 300
    assert 300 < second <= 600 * (1 - SPARE)
    assert third == RETRY_SECONDS


# --- the journal in an archive ---


def test_the_journals_end_begins_with_a_whole_line(tmp_path: Path) -> None:
    first, second, missing = tmp_path / "events.1.jsonl", tmp_path / "events.jsonl", tmp_path / "missing"
    first.write_bytes(b"one\ntwo\n")
    second.write_bytes(b"three\nfour\n")

    def tail(most: int) -> bytes:
        return gzip.decompress(compressed_tail((missing, first, second), most))

    assert tail(1000) == b"one\ntwo\nthree\nfour\n"
    assert tail(18) == b"two\nthree\nfour\n"
    assert tail(12) == b"three\nfour\n"
    assert tail(10) == b"four\n"
    assert tail(3) == b""


def test_a_large_journal_is_not_held_in_memory(tmp_path: Path) -> None:
    journal = tmp_path / "events.jsonl"
    journal.write_bytes(b'{"kind": "refused"}\n' * 500_000)
    tracemalloc.start()
    try:
        compressed_tail((journal,), 8 << 20)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
