"""Runs a plan: each step starts when the steps that it needs are done, in parallel with others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from backend.boot.plan import OnFailure, Step, StepFailed, StepSkipped, StepWarned
from backend.context import Boot
from backend.contract.events import Event, Outcome, StepFinished, StepStarted
from backend.system import SystemFailure


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a boot. `halted` is the step that stopped it, with its reason and remedy, or ""."""

    outcomes: Mapping[str, Outcome]
    halted: str = ""
    reason: str = ""
    remedy: str = ""

    @property
    def degraded(self) -> tuple[str, ...]:
        return tuple(name for name, outcome in self.outcomes.items() if outcome is Outcome.WARNED)


@dataclass(slots=True)
class Runner:
    """Runs the steps of a plan. `done` has the outcomes of earlier runs: successful steps do not run again."""

    steps: tuple[Step, ...]
    emit: Callable[[Event], None]
    clock: Callable[[], float] = time.monotonic
    done: dict[str, Outcome] = field(default_factory=dict)

    def forget_protections(self) -> None:
        """Makes the next run repeat every step with `rebuild`."""
        self.done = {step.name: self.done[step.name] for step in self.steps if step.name in self.done and not step.rebuild}

    async def run(self, boot: Boot) -> Result:
        kept = (Outcome.DONE, Outcome.SKIPPED)
        outcomes: dict[str, Outcome] = {name: outcome for name, outcome in self.done.items() if outcome in kept}
        running: dict[asyncio.Task[StepFinished], Step] = {}
        halted: StepFinished | None = None
        while True:
            if halted is None:
                for step in self.steps:
                    if step.name not in outcomes and step not in running.values() and set(step.needs) <= outcomes.keys():
                        self.emit(StepStarted(step.name))
                        running[asyncio.create_task(self._one(step, boot))] = step
            if not running:
                break
            finished, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                del running[task]
                event = task.result()
                outcomes[event.step] = event.outcome
                self.emit(event)
                if event.outcome is Outcome.FAILED and halted is None:
                    halted = event
                    for other in running:
                        other.cancel()
        self.done = dict(outcomes)
        if halted is None:
            return Result(outcomes)
        for step in self.steps:
            if step.name not in outcomes:
                self.emit(StepFinished(step.name, Outcome.CANCELLED, 0.0, f"not started: {halted.step} failed"))
        return Result(outcomes, halted.step, halted.detail, halted.remedy)

    async def _one(self, step: Step, boot: Boot) -> StepFinished:
        """Runs one step and returns its outcome. Turns every exception into an outcome, including those of bugs."""
        begun = self.clock()
        failed = Outcome.FAILED if step.on_failure is OnFailure.HALT else Outcome.WARNED

        def finished(outcome: Outcome, detail: str = "", remedy: str = "") -> StepFinished:
            return StepFinished(step.name, outcome, round(self.clock() - begun, 3), detail, remedy)

        try:
            async with asyncio.timeout(step.timeout):
                return finished(Outcome.DONE, await step.run(boot))
        except StepSkipped as skipped:
            return finished(Outcome.SKIPPED, str(skipped))
        except StepWarned as warned:
            return finished(Outcome.WARNED, str(warned), warned.remedy)
        except StepFailed as error:
            return finished(failed, str(error), error.remedy)
        except SystemFailure as error:
            return finished(failed, str(error), error.hint)
        except TimeoutError:
            return finished(failed, f"not done within {step.timeout:g} s")
        except asyncio.CancelledError:
            return finished(Outcome.CANCELLED, "another step halted boot")
        except Exception as error:
            # Report only type and place of a bug: a traceback shows values, which may be secret.
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{place.tb_lineno}" if place else "?"
            return finished(failed, f"{type(error).__name__} at {where}", "Report this as a bug in Codetainer.")
