"""The supervisor in small: what a failed self-test closes, what a retry repeats, and tasks that no error ends for good."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from backend import settings
from backend.boot.runner import Result, Runner
from backend.boot.steps import closed
from backend.contract.events import (
    BootFinished,
    BootStarted,
    BootState,
    Event,
    LockReleased,
    Noted,
    Outcome,
    PlannedStep,
    ProofFinished,
    ProtectionFailed,
    StepFinished,
)
from backend.contract.paths import Paths
from backend.lock import Lock
from backend.selftest import selftest
from backend.session import session
from backend.settings.values import Debug
from backend.supervision.supervisor import Supervisor
from backend.system import SystemFailure


class Steps:
    """A runner that ends as a test wants, and knows whether protections are to be built anew."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor, self.done = supervisor, list[str]()
        self.results: list[Result] = []
        self.steps = ()
        self.free: list[bool] = []  # whether the init lock could be had while it ran

    def forget_protections(self) -> None:
        self.done.append("forget")

    async def run(self, boot: object) -> Result:
        assert boot is self.supervisor.boot
        self.done.append("run")
        self.free.append(is_free(self.supervisor.paths))
        return self.results.pop(0)


def is_free(paths: Paths) -> bool:
    try:
        Lock(paths.lock).acquire(0.0)
    except SystemFailure:
        return False
    return True


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    """Has booted, and has no process: what closes is written down in `closings`."""
    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    loaded = settings.load({"GH_PAT": "ghp_x", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-x", "CODETAINER_PROOF": "1s"})
    made = Supervisor(loaded, paths)
    made._runner = cast(Runner, Steps(made))
    made._booted = True
    made.journal.emit(BootStarted("0.1.0", (PlannedStep("first", "First"), PlannedStep("second", "Second"))))

    def closing(name: str) -> Any:
        async def work(*_: object) -> None:
            closings(made).append(name)

        return work

    made.services = cast(Any, SimpleNamespace(kept=(), stop=closing("services"), closings=[]))
    monkeypatch.setattr(closed, "run", closing("network"))
    monkeypatch.setattr(session, "end", closing("session"))
    return made


def closings(supervisor: Supervisor) -> list[str]:
    return cast(Any, supervisor.services).closings  # type: ignore[no-any-return]


ALL = ["network", "session", "services"]


def steps(supervisor: Supervisor, *results: Result) -> Steps:
    runner = cast(Steps, supervisor._runner)
    runner.results = list(results)
    return runner


@pytest.fixture
def emitted(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    events: list[Event] = []
    emit = supervisor.journal.emit

    def kept(event: Event) -> None:
        if isinstance(event, LockReleased):
            assert is_free(supervisor.paths)
        events.append(event)
        emit(event)

    monkeypatch.setattr(supervisor.journal, "emit", kept)
    return events


HALTED = Result({}, "first", "a reason", "Do it.")
READY = Result({"first": Outcome.DONE})


async def self_tests(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, *found: selftest.Result | SystemFailure) -> None:
    """Runs so many self-tests without waiting between them, and what follows from them."""
    left, over, real = list(found), asyncio.Event(), asyncio.sleep

    async def run(boot: object, *, listed: bool) -> selftest.Result:
        assert (boot, listed) == (supervisor.boot, False)
        supervisor._prove.set()
        if not left:
            over.set()
            await asyncio.Event().wait()
        one = left.pop(0)
        if isinstance(one, SystemFailure):
            raise one
        return one

    monkeypatch.setattr(selftest, "run", run)
    monkeypatch.setattr(asyncio, "sleep", lambda _: real(0))
    supervisor._prove.set()
    running = asyncio.create_task(supervisor._keep_proving())
    for _ in range(200):
        await real(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


HOLDS = selftest.Result(2, (), "", "", {"root read-only": "", "another site": ""})
BROKEN = selftest.Result(
    3,
    ("root is writable",),
    "no answer",
    "",
    {"root read-only": "root is writable", "another site": "", "resolver": "no answer"},
)


async def test_a_protection_that_fails_closes_everything_and_is_no_halt_of_boot(
    supervisor: Supervisor, emitted: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.journal.emit(BootFinished(BootState.READY, 4.0))
    await self_tests(supervisor, monkeypatch, HOLDS, BROKEN, HOLDS)
    assert [event for event in emitted if not isinstance(event, Noted)] == [
        BootFinished(BootState.READY, 4.0),
        HOLDS.event,
        BROKEN.event,
        ProtectionFailed("root is writable", selftest.RETRY, {"root read-only": "root is writable"}),
    ]
    assert closings(supervisor) == ALL
    state = supervisor.journal.state
    assert (state.boot, state.needs_retry, supervisor._provable()) == (BootState.READY, True, False)


async def test_a_self_test_that_cannot_run_three_times_counts_as_a_failure(
    supervisor: Supervisor, emitted: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.journal.emit(BootFinished(BootState.DEGRADED, 4.0))
    error = SystemFailure("cannot run the probe")
    await self_tests(supervisor, monkeypatch, error, error, HOLDS, error, error)
    assert not [event for event in emitted if isinstance(event, ProtectionFailed)]
    await self_tests(supervisor, monkeypatch, error, error, error)
    assert emitted[-1] == ProtectionFailed("cannot run the probe", selftest.RETRY)
    assert isinstance(emitted[-2], ProofFinished)
    assert closings(supervisor) == ALL


async def test_after_a_failure_everything_is_booted_again(supervisor: Supervisor, emitted: list[Event]) -> None:
    for event in (BootFinished(BootState.READY, 4.0), ProtectionFailed("a reason")):
        supervisor.journal.emit(event)
    supervisor.boot.cloned = True
    runner = steps(supervisor, READY)
    assert await supervisor.retry() is BootState.READY
    assert (runner.done, runner.free) == (["forget", "run"], [False])  # logins wait
    assert is_free(supervisor.paths)
    assert isinstance(emitted[2], BootStarted)
    assert isinstance(emitted[3], BootFinished)
    assert emitted[4] == LockReleased(session=True, cloned=True)
    assert (closings(supervisor), supervisor.journal.state.is_open) == ([], True)


async def test_the_log_says_where_commands_are_logged(supervisor: Supervisor, emitted: list[Event]) -> None:
    supervisor.settings = dataclasses.replace(supervisor.settings, debug=Debug.ON)
    supervisor.journal.emit(BootFinished(BootState.HALTED, 4.0, "none", "before"))
    steps(supervisor, READY)
    await supervisor.retry()
    assert [event.text for event in emitted if isinstance(event, Noted)] == [
        f"commands are logged in {supervisor.paths.debug_log}: run codetainer logs --debug"
    ]


async def test_a_retry_that_halts_closes_again(supervisor: Supervisor, emitted: list[Event]) -> None:
    supervisor.journal.emit(BootFinished(BootState.HALTED, 4.0, "none", "before"))
    steps(supervisor, HALTED)
    assert await supervisor.retry() is BootState.HALTED
    assert emitted[-1] == LockReleased(session=False)
    assert (supervisor.journal.state.reason, closings(supervisor)) == ("a reason", ALL)


async def test_a_degraded_sandbox_repeats_what_failed_while_the_agent_goes_on(supervisor: Supervisor) -> None:
    supervisor.journal.emit(StepFinished("first", Outcome.WARNED, 0.1, "slow"))
    supervisor.journal.emit(BootFinished(BootState.DEGRADED, 4.0))
    runner = steps(supervisor, Result({"first": Outcome.WARNED}), READY)
    assert await supervisor.retry() is BootState.DEGRADED
    assert await supervisor.retry() is BootState.READY
    assert (runner.done, runner.free, closings(supervisor)) == (["run", "run"], [True, True], [])
    assert supervisor.journal.state.boot_seconds == 4.0
    assert await supervisor.retry() is BootState.READY  # nothing is left to do
    assert runner.done == ["run", "run"]


async def test_a_degraded_sandbox_whose_retry_halts_is_closed(supervisor: Supervisor) -> None:
    """The self-test may have warned at boot and fail now."""
    supervisor.journal.emit(BootFinished(BootState.DEGRADED, 4.0))
    steps(supervisor, HALTED)
    supervisor.journal.emit(StepFinished("first", Outcome.FAILED, 0.1, "a reason"))
    assert await supervisor.retry() is BootState.HALTED
    assert closings(supervisor) == ALL
    assert supervisor.journal.state.needs_retry


async def test_a_retry_that_fails_with_an_error_lets_logins_go_on(supervisor: Supervisor) -> None:
    supervisor.journal.emit(BootFinished(BootState.HALTED, 4.0, "none", "before"))
    steps(supervisor)  # no result: the runner raises IndexError
    with pytest.raises(IndexError):
        await supervisor.retry()
    assert is_free(supervisor.paths)


async def test_the_first_boot_starts_every_task_once(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    supervisor._booted = False
    monkeypatch.setattr(supervisor, "_begin", started.append)
    supervisor.journal.emit(BootFinished(BootState.HALTED, 4.0, "none", "before"))
    supervisor._prove.set()
    steps(supervisor, HALTED, READY, HALTED, READY)
    counts = []
    for _ in range(2):
        assert await supervisor.retry() is BootState.HALTED
        assert await supervisor.retry() is BootState.READY
        counts.append(len(started))
        supervisor.journal.emit(ProtectionFailed("a reason"))
    assert counts == [7, 7]  # the session, the self-test, grants, certificates, load, the work, its archives
    assert supervisor._keep_proving in started
    assert supervisor.grants.withdraw_in_time in started
    assert supervisor.work.run in started
    assert supervisor.suspender.run in started
    assert not supervisor._prove.is_set()


async def test_two_retries_do_not_run_at_the_same_time(supervisor: Supervisor) -> None:
    supervisor.journal.emit(BootFinished(BootState.HALTED, 4.0, "none", "before"))
    runner = steps(supervisor, READY)
    assert set(await asyncio.gather(supervisor.retry(), supervisor.retry())) == {BootState.READY}
    assert runner.done == ["forget", "run"]


async def test_a_frozen_sandbox_is_not_retried(supervisor: Supervisor) -> None:
    supervisor.journal.emit(BootFinished(BootState.HALTED, 4.0, "none", "before"))
    supervisor.policy.frozen = True
    runner = steps(supervisor, READY)
    with pytest.raises(SystemFailure, match="frozen"):
        await supervisor.retry()
    assert runner.done == []


async def test_before_boot_has_begun_there_is_nothing_to_retry(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    loaded: Mapping[str, str] = {"GH_PAT": "ghp_x", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-x"}
    assert await Supervisor(settings.load(loaded), paths).retry() is BootState.BOOTING
