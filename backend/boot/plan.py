"""Boot steps as data: what each is called, what it waits for, how long it may take, and what its failure means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from backend.contract.events import PlannedStep

if TYPE_CHECKING:
    from backend.context import Boot


class OnFailure(StrEnum):
    """What the failure of a step means for boot."""

    HALT = "halt"  # the agent is not started, the rules stay closed
    DEGRADE = "degrade"  # boot goes on, with a warning


class StepFailed(Exception):
    """Why a step did not do what it is for, and what to do about it. Neither text holds a secret."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.remedy = remedy


class StepWarned(StepFailed):
    """The step is done, and something about it the operator has to know."""


class StepSkipped(Exception):
    """These settings do not need the step, and why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `run` returns what came of it, in a few words; `timeout` is in seconds.

    `rebuild`: a retry after a halt runs it again, even if it had gone well: it puts up a protection, or rests on one.
    """

    name: str
    title: str
    run: Callable[[Boot], Awaitable[str]]
    needs: tuple[str, ...] = ()
    timeout: float = 30.0
    on_failure: OnFailure = OnFailure.HALT
    rebuild: bool = False

    @property
    def planned(self) -> PlannedStep:
        return PlannedStep(self.name, self.title, self.needs)


def ordered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The steps so that each stands after all that it needs. Raises ValueError for an unknown need, a double or a circle."""
    found: Sequence[Step] = tuple(steps)
    names = [step.name for step in found]
    if len(set(names)) != len(names):
        raise ValueError("cannot plan boot: two steps have one name")
    for step in found:
        unknown = set(step.needs) - set(names)
        if unknown:
            raise ValueError(f"cannot plan boot: {step.name} needs {', '.join(sorted(unknown))}, which is no step")
    done: dict[str, Step] = {}
    while len(done) < len(found):
        ready = [step for step in found if step.name not in done and set(step.needs) <= done.keys()]
        if not ready:
            left = sorted(set(names) - done.keys())
            raise ValueError(f"cannot plan boot: {', '.join(left)} need each other")
        done.update({step.name: step for step in ready})
    return tuple(done.values())
