"""Notices end when their time is up, or earlier if what they say is no longer true."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.contract import events as e
from backend.contract.control import Request
from backend.contract.paths import Paths
from tests.unit.codetainer_tui.dashboard.conftest import Told, make, refusal, screen_text, settle, until

NO_MATCH = "no refusal matches the filter"


@pytest.mark.parametrize("ends", ["escape", "match", "time"])
async def test_no_match_ends_with_the_filter(ends: str) -> None:
    source = Told("ready")
    app = make(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("/", *"zzz", "enter", "enter")
        await settle(pilot)
        assert NO_MATCH in screen_text(app)
        if ends == "escape":
            await pilot.press("escape")
        elif ends == "match":
            source.say(refusal("zzz.example"))
        source.moment += 9 if ends == "time" else 2
        app.tick()
        await settle(pilot)
        assert NO_MATCH not in screen_text(app)


async def test_the_reply_to_a_freeze_ends_when_another_operator_thaws(asked: list[Request], tmp_path: Path) -> None:
    source = Told("ready")
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(120, 24)) as pilot:
        await settle(pilot)
        await pilot.press("F", "y")
        await until(pilot, lambda: "it is done" in screen_text(app))
        source.moment += 1
        app.tick()  # the reply may come before the event
        assert "it is done" in screen_text(app)
        source.say(e.Froze(frozen=True, by="root"))
        source.moment += 1
        app.tick()
        await settle(pilot)
        assert "it is done" in screen_text(app)
        source.say(e.Froze(frozen=False, by="alice"))
        source.moment += 1
        app.tick()
        await settle(pilot)
        assert "it is done" not in screen_text(app)
        assert len(asked) == 1


async def test_no_session_yet_ends_when_there_is_one(tmp_path: Path) -> None:
    source = Told("booting")
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await pilot.press("t")
        await until(pilot, lambda: "no session yet" in screen_text(app))
        source.say(e.BootFinished(e.BootState.READY, 4.0), e.LockReleased(session=True))
        source.moment += 1
        app.tick()
        await settle(pilot)
        assert "no session yet" not in screen_text(app)
