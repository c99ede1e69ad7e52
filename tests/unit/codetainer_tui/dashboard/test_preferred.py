"""The dashboard as an operator wants it: other keys, notifications, and what is said where nobody asked."""

from __future__ import annotations

import pytest

from codetainer_tui.dashboard.app import Dashboard
from codetainer_tui.dashboard.notify import Notify
from codetainer_tui.dashboard.preferences import Preferences
from codetainer_tui.dashboard.screens.log import LogScreen
from tests.unit.codetainer_tui.dashboard.conftest import Told, make, refusal, screen_text, settle, until


async def test_a_key_that_was_rebound_does_what_it_says_and_the_old_one_nothing() -> None:
    source = Told("ready")
    app = Dashboard(source, None, stay=True, steady=source.steady, preferences=Preferences(keys={"log": "f5"}))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert "f5 log" in screen_text(app)
        await pilot.press("l")
        assert not isinstance(app.screen, LogScreen)
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(app.screen, LogScreen))


@pytest.mark.parametrize(
    ("wanted", "focus", "told"),
    [(Notify.BLUR, False, True), (Notify.BLUR, True, False), (Notify.ALWAYS, True, True), (Notify.NEVER, False, False)],
)
async def test_somebody_who_looks_elsewhere_is_told(
    monkeypatch: pytest.MonkeyPatch, wanted: Notify, focus: bool, told: bool
) -> None:
    source = Told("ready")
    app = Dashboard(source, None, stay=True, steady=source.steady, preferences=Preferences(wanted))
    sent: list[str] = []
    monkeypatch.setattr(app, "_to_terminal", sent.append)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert not any("]9;" in text for text in sent)  # what was there before is no news
        app.app_focus = focus
        source.say(refusal("new.example"))
        app.tick()
        assert any("]9;codetainer: refused new.example" in text for text in sent) is told


async def test_a_boot_that_takes_too_long_is_remarked_upon_once() -> None:
    source = Told("booting")
    app = Dashboard(source, None, stay=True, steady=source.steady, patience=60.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "boot is not over" not in screen_text(app)
        source.at += 60
        app.tick()
        assert "boot is not over after 1 min" in screen_text(app)


async def test_a_file_of_keys_that_is_wrong_is_said_on_the_screen() -> None:
    source = Told("ready")
    app = make(source)
    app.say_first("dashboard.toml: there is no action 'x'")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "there is no action" in screen_text(app)
