"""Boot steps as data: names, dependencies, timeouts, and the effect of a failure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from backend.contract.events import PlannedStep
from backend.contract.immutable import dataclass

if TYPE_CHECKING:
    from backend.context import Boot


class OnFailure(StrEnum):
    """The effect of a failed step on boot."""

    HALT = "halt"  # the agent does not start; the network stays closed
    DEGRADE = "degrade"  # boot continues with a warning


class StepFailed(Exception):
    """A failed step, with reason and remedy. Neither may contain a secret."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.remedy = remedy


class StepWarned(StepFailed):
    """A step that is done but has a warning for the operator."""


class StepSkipped(Exception):
    """A step that the settings do not need, with the reason."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step. `run` returns a short description of the result; `timeout` is in seconds.

    `rebuild`: a retry after a halt repeats the step even if it succeeded, because it sets up a protection or depends on one.
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
    """Sorts steps by their dependencies. Raises ValueError for an unknown dependency, a duplicate name or a cycle."""
    unordered: Sequence[Step] = tuple(steps)
    names = [step.name for step in unordered]
    if len(set(names)) != len(names):
        raise ValueError("cannot plan boot: two steps have the same name")
    for step in unordered:
        unknown = set(step.needs) - set(names)
        if unknown:
            raise ValueError(f"cannot plan boot: {step.name} needs {', '.join(sorted(unknown))}, which does not exist")
    done: dict[str, Step] = {}
    while len(done) < len(unordered):
        ready = [step for step in unordered if step.name not in done and set(step.needs) <= done.keys()]
        if not ready:
            left = sorted(set(names) - done.keys())
            raise ValueError(f"cannot plan boot: {', '.join(left)} need each other")
        done.update({step.name: step for step in ready})
    return tuple(done.values())
