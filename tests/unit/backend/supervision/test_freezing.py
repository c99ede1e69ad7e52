"""A second freeze, or a thaw without a freeze, changes nothing and is not reported as a change."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from backend.agent.freezer import Freezer
from backend.contract.control import Freeze, Thaw
from backend.contract.events import Event, Froze
from backend.supervision import freezing
from backend.supervision.freezing import Freezing
from backend.system import SystemFailure
from tests.unit.backend.supervision.parts import Case
from tests.unit.backend.supervision.target import Target


class Box(Target):
    """A sandbox whose freezer counts what it is asked for, and fails as long as `broken` is set."""

    def __init__(self, case: Case, monkeypatch: pytest.MonkeyPatch, marker: Path) -> None:
        super().__init__(case)
        monkeypatch.setattr(freezing, "STARTING_SECONDS", 0.0)
        self.freezes, self.broken, self.events = 0, "", list[Event]()
        self.freezing = Freezing(case.policy, self.note, marker)

        async def freezer(_: Path) -> Freezer:
            return cast(Freezer, SimpleNamespace(freeze=self._freeze, thaw=lambda: None))

        monkeypatch.setattr(self.freezing, "_make", freezer)
        self.freezing.prepare(marker)

    def _freeze(self) -> None:
        self.freezes += 1
        if self.broken:
            raise SystemFailure(self.broken)

    def note(self, event: Event) -> None:
        self.events.append(event)
        self.emit(event)

    async def freeze(self, by: str) -> bool:
        return await self.freezing.freeze(by)

    async def thaw(self, by: str) -> bool:
        return await self.freezing.thaw(by)


@pytest.fixture
async def box(case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Box:
    return Box(case, monkeypatch, tmp_path / "frozen")


async def test_a_second_freeze_says_since_when_and_is_not_in_the_journal(box: Box) -> None:
    assert (await box.ask(Freeze())).text == "the agent is stopped and every address is closed"
    before = box.freezes
    again = await box.ask(Freeze())
    assert again.text.startswith("already frozen, by root since ")
    assert again.ok
    assert box.events == [Froze(True, "root")]
    assert box.freezes > before  # to be sure, it is done again all the same


async def test_a_freeze_that_failed_is_not_taken_for_one(box: Box) -> None:
    box.broken = "a process goes on"
    assert not (await box.ask(Freeze())).ok
    box.broken = ""
    assert (await box.ask(Freeze())).text == "the agent is stopped and every address is closed"
    assert box.events == [Froze(True, "root")]


async def test_a_thaw_of_what_is_not_frozen_says_so(box: Box) -> None:
    for _ in range(2):
        reply = await box.ask(Thaw())
        assert (reply.ok, reply.text, box.events) == (True, "not frozen: there is nothing to thaw", [])
    await box.ask(Freeze())
    assert (await box.ask(Thaw())).text == "the agent continues"
    assert (await box.ask(Freeze())).text == "the agent is stopped and every address is closed"
    assert box.events == [Froze(True, "root"), Froze(False, "root"), Froze(True, "root")]
