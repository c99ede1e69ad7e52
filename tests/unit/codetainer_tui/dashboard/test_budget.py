"""The key that continues a used-up budget: it asks once, with what is used and what it adds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from backend.contract import events as e
from backend.contract.control import Budget, Reply, Request
from backend.contract.events import BudgetLevel
from backend.contract.paths import Paths
from codetainer_tui.dashboard import asking
from codetainer_tui.dashboard.app import Dashboard
from codetainer_tui.dashboard.screens.choice import ChoiceScreen
from codetainer_tui.dashboard.screens.text import TextScreen
from tests.unit.codetainer_tui.dashboard.conftest import Told, make, screen_text, settle, until

SIZES = ((120, 40), (80, 24), (60, 20), (40, 12))
BEFORE, AFTER = (
    ["$20.12 of $20.00", "500 of 500 calls in the last hour"],
    ["$20.12 of $40.00", "500 of 1000 calls in the last hour"],
)
OFFER = {"more": "+20,+calls=500", "words": ["$20.00", "500 calls"], "before": BEFORE, "after": AFTER}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    found: list[Request] = []

    def answer(_path: object, request: Request) -> Reply:
        found.append(request)
        return Reply(
            True, "the budget", data={"offer": OFFER, "limits": AFTER if request == Budget("+20,+calls=500") else BEFORE}
        )

    monkeypatch.setattr(asking, "ask", answer)
    return found


def used_up(paths: Path) -> Dashboard:
    source = Told("ready")
    source.say(e.ModelUsed(500, 3_100_000, cost=20.12, limits=tuple(BEFORE), share=1.006))
    source.say(e.BudgetChanged(BudgetLevel.USED_UP, BEFORE[0]))
    return make(source, paths=Paths(paths))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_one_key_and_one_answer_continue(size: tuple[int, int], asked: list[Request], tmp_path: Path) -> None:
    app = used_up(tmp_path)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        assert " + budget " in screen_text(app).splitlines()[-1]
        assert ("+ adds to it" in screen_text(app)) == (size[0] >= 60)
        await pilot.press("plus")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await pilot.press("enter")  # the first answer is no
        await until(pilot, lambda: app.screen is app.main)
        assert asked == [Budget()]
        await pilot.press("plus")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await pilot.press("y")
        await until(pilot, lambda: "added $20.00 and 500" in screen_text(app))
        assert asked == [Budget(), Budget(), Budget("+20,+calls=500")]


async def test_a_late_question_does_not_cover_another_screen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answered = threading.Event()

    def answer(*_: object) -> Reply:
        answered.wait(30)
        return Reply(True, data={"offer": OFFER})

    monkeypatch.setattr(asking, "ask", answer)
    app = used_up(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await pilot.press("plus", "question_mark")
        await until(pilot, lambda: isinstance(app.screen, TextScreen))
        answered.set()
        await until(pilot, lambda: all(worker.is_finished for worker in app.workers))
        await settle(pilot)
        assert isinstance(app.screen, TextScreen)
        await pilot.press("escape")
        await until(pilot, lambda: f"used: {BEFORE[0]}" in screen_text(app))


async def test_without_a_limit_there_is_nothing_to_add_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(asking, "ask", lambda *_: Reply(True, "used", data={"offer": {"more": ""}}))
    app = make(Told("ready"), paths=Paths(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "+ budget" not in screen_text(app)
        await pilot.press("plus")
        await until(pilot, lambda: "there is no limit to add to" in screen_text(app))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.usefixtures("asked")
def test_pictures_of_the_question(size: tuple[int, int], snap_compare: Callable[..., bool], tmp_path: Path) -> None:
    async def ask(pilot: Pilot[None]) -> None:
        await settle(pilot)
        await pilot.press("plus")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChoiceScreen))
        await settle(pilot)

    assert snap_compare(used_up(tmp_path), terminal_size=size, run_before=ask)
