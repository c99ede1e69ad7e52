"""Rebound keys, notifications, and notices that appear unasked."""

from __future__ import annotations

import pytest

from codetainer_tui.dashboard.app import Dashboard
from codetainer_tui.dashboard.notify import Notify
from codetainer_tui.dashboard.preferences import Preferences
from codetainer_tui.dashboard.screens.log import LogScreen
from tests.unit.codetainer_tui.dashboard.conftest import Told, make, refusal, screen_text, settle, until


async def test_a_rebound_key_works_and_the_old_one_does_not() -> None:
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
async def test_notifications_depend_on_the_setting_and_the_focus(
    monkeypatch: pytest.MonkeyPatch, wanted: Notify, focus: bool, told: bool
) -> None:
    source = Told("ready")
    app = Dashboard(source, None, stay=True, steady=source.steady, preferences=Preferences(wanted))
    sent: list[str] = []
    monkeypatch.setattr(app, "_to_terminal", sent.append)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert not any("]9;" in text for text in sent)  # earlier events do not notify
        app.app_focus = focus
        source.say(refusal("new.example"))
        app.tick()
        assert any("]9;codetainer: refused new.example" in text for text in sent) is told


async def test_a_slow_boot_has_a_notice() -> None:
    source = Told("booting")
    app = Dashboard(source, None, stay=True, steady=source.steady, patience=60.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "boot is still running" not in screen_text(app)
        source.at += 60
        app.tick()
        assert "boot is still running after 1 min" in screen_text(app)


async def test_an_invalid_settings_file_has_a_notice() -> None:
    source = Told("ready")
    app = make(source)
    app.say_first("dashboard.toml: unknown action 'x'")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "unknown action" in screen_text(app)
