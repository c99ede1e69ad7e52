"""Running a plan: parallel steps, dependencies, halts, warnings, timeouts, retries."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from backend.boot import steps
from backend.boot.plan import OnFailure, Step, StepFailed, StepSkipped, StepWarned, ordered
from backend.boot.runner import Runner
from backend.context import Boot
from backend.contract.events import Event, Outcome, StepFinished, StepStarted
from backend.system import SystemFailure

BOOT = cast(Boot, None)  # the steps of these tests do not use it


class Plan:
    """Steps made from functions, and the events of running them."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.emitted: list[Event] = []

    def add(self, name: str, run: Any, *needs: str, timeout: float = 5.0, degrade: bool = False) -> None:
        async def step(_: Boot) -> str:
            result = run()
            return str(await result if asyncio.iscoroutine(result) else result)

        on_failure = OnFailure.DEGRADE if degrade else OnFailure.HALT
        self.steps.append(Step(name, name, step, needs, timeout, on_failure))

    @property
    def runner(self) -> Runner:
        return Runner(ordered(self.steps), self.emitted.append)

    def outcomes(self) -> dict[str, Outcome]:
        return {event.step: event.outcome for event in self.emitted if isinstance(event, StepFinished)}

    def finished(self, name: str) -> StepFinished:
        return next(event for event in self.emitted if isinstance(event, StepFinished) and event.step == name)


def fail(error: Exception) -> Any:
    def run() -> str:
        raise error

    return run


async def test_independent_steps_run_in_parallel() -> None:
    plan, meeting = Plan(), asyncio.Barrier(2)
    plan.add("one", meeting.wait)
    plan.add("other", meeting.wait)
    result = await plan.runner.run(BOOT)
    assert set(result.outcomes.values()) == {Outcome.DONE}


async def test_a_step_waits_for_its_dependencies() -> None:
    plan = Plan()
    plan.add("second", lambda: "b", "first")
    plan.add("first", lambda: "a")
    await plan.runner.run(BOOT)
    words = [(type(event).__name__, event.step) for event in plan.emitted if isinstance(event, StepStarted | StepFinished)]
    assert words == [("StepStarted", "first"), ("StepFinished", "first"), ("StepStarted", "second"), ("StepFinished", "second")]


async def test_a_failure_halts_and_the_rest_is_not_started() -> None:
    plan, cancelled = Plan(), asyncio.Event()

    async def long() -> str:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()
        return ""

    plan.add("protection", fail(StepFailed("the protection failed", "Fix it.")))
    plan.add("parallel", long)
    plan.add("agent", lambda: "", "protection", "parallel")
    result = await plan.runner.run(BOOT)
    assert (result.halted, result.reason, result.remedy) == ("protection", "the protection failed", "Fix it.")
    assert plan.outcomes() == {"protection": Outcome.FAILED, "parallel": Outcome.CANCELLED, "agent": Outcome.CANCELLED}
    assert cancelled.is_set()


async def test_a_step_that_may_fail_degrades_boot_and_its_dependents_run() -> None:
    plan = Plan()
    plan.add("clone", fail(StepFailed("no such repository")), degrade=True)
    plan.add("session", lambda: "there", "clone")
    result = await plan.runner.run(BOOT)
    assert result.degraded == ("clone",)
    assert plan.outcomes()["session"] is Outcome.DONE


async def test_warnings_and_skips() -> None:
    plan = Plan()
    plan.add("warns", fail(StepWarned("nearly", "look")))
    plan.add("skips", fail(StepSkipped("not wanted")))
    result = await plan.runner.run(BOOT)
    assert result.outcomes == {"warns": Outcome.WARNED, "skips": Outcome.SKIPPED}
    assert not result.halted


async def test_a_step_that_times_out_has_failed() -> None:
    plan = Plan()
    plan.add("slow", lambda: asyncio.sleep(60), timeout=0.01)
    result = await plan.runner.run(BOOT)
    assert result.halted == "slow"
    assert "0.01 s" in result.reason


async def test_a_bug_halts_boot_and_its_values_are_not_reported() -> None:
    plan = Plan()
    plan.add("defect", fail(ValueError("ghp_secret")))
    result = await plan.runner.run(BOOT)
    assert result.halted == "defect"
    assert "ValueError at test_runner.py" in result.reason
    assert "ghp_secret" not in str(plan.emitted)


async def test_the_hint_of_a_system_failure_becomes_the_remedy() -> None:
    plan = Plan()
    plan.add("effect", fail(SystemFailure("cannot run nft: not found", "install it")))
    assert (await plan.runner.run(BOOT)).remedy == "install it"


async def test_a_retry_skips_successful_steps() -> None:
    plan, broken = Plan(), [True]

    def sometimes() -> str:
        if broken:
            raise StepFailed("broken")
        return "mended"

    plan.add("first", lambda: "")
    plan.add("sometimes", sometimes, "first")
    plan.add("last", lambda: "", "sometimes")
    runner = plan.runner
    assert (await runner.run(BOOT)).halted == "sometimes"
    plan.emitted.clear()
    broken.clear()
    result = await runner.run(BOOT)
    assert not result.halted
    assert list(plan.outcomes()) == ["sometimes", "last"]


async def test_a_retry_repeats_every_protection_and_keeps_the_rest() -> None:
    done: list[str] = []

    def step(name: str, needs: tuple[str, ...] = (), *, rebuild: bool = False) -> Step:
        async def run(_: Boot) -> str:
            done.append(name)
            return ""

        return Step(name, name, run, needs, rebuild=rebuild)

    plan = ordered((step("rules", rebuild=True), step("tools"), step("agent", ("rules", "tools"), rebuild=True)))
    runner = Runner(plan, lambda _: None)
    await runner.run(BOOT)
    runner.forget_protections()
    await runner.run(BOOT)
    assert sorted(done[:3]) == ["agent", "rules", "tools"]
    assert done[3:] == ["rules", "agent"]


def test_a_retry_repeats_these_steps() -> None:
    """All protections, and the session, which ends when the sandbox closes."""
    assert {step.name for step in steps.plan() if step.rebuild} == {
        "closed", "rules", "guard", "names", "gate", "readiness", "session",
    }  # fmt: skip
