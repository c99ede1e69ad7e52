"""Details, copying, muting and retrying on a dashboard without a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.contract import control
from backend.contract import events as e
from backend.contract.control import Request
from backend.contract.paths import Paths
from codetainer_tui import handover
from codetainer_tui.dashboard.app import NOTICE_SECONDS, NOTIFY_SECONDS, Dashboard
from codetainer_tui.dashboard.copied import MAX_COPIED
from codetainer_tui.dashboard.notify import Notify
from codetainer_tui.dashboard.preferences import Preferences
from codetainer_tui.dashboard.screens.choice import ChoiceScreen
from codetainer_tui.dashboard.screens.log import LogScreen
from codetainer_tui.dashboard.screens.text import TextScreen, hanging
from tests.unit.codetainer_tui.dashboard.conftest import Told, make, refusal, screen_text, settle, until


def test_wrapped_text_stays_in_its_column() -> None:
    assert hanging("  a  allow what was refused", 16) == ["  a  allow what", "     was refused"]
    assert hanging("Names     up   1.2 ms", 40) == ["Names     up   1.2 ms"]
    assert hanging("x" * 30, 10) == ["x" * 10] * 3
    assert hanging("", 10) == [""]


# --- in full ---


async def test_the_details_screen_has_everything() -> None:
    source = Told("ready")
    source.say(e.Allowed("files.example.org", "8443", source.at + 600, "root"), e.Allowed("b.example"), e.Muted("loud.example"))
    app = make(source)
    async with app.run_test(size=(40, 12)) as pilot:
        await settle(pilot)
        await pilot.press("i")
        assert isinstance(app.screen, TextScreen)
        said = "\n".join(app.screen._lines)
    for words in (
        "READY  the agent is waiting for you", "via 198.51.100.53", "agent: 12 processes, cpu 31%, 900 MB", "/home 41%",
        "files.example.org ports 8443  until ", ", by root", "b.example  until you close it",
        "loud.example  until unmuted",
        "api.anthropic.com  with credential, 412 connections, 2 open, in 18.2 MB, out 3.1 MB", "self-test passed <1 min ago",
    ):  # fmt: skip
        assert words in said, words


async def test_enter_without_a_row_opens_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "session_is_there", lambda paths: True)
    monkeypatch.setattr(handover, "inside_tmux", lambda: False)
    source = Told()
    source.say(e.BootStarted("1", ()), e.SessionChanged(e.SessionState.WORKS), e.LockReleased(True))
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: app.left is None)


async def test_enter_after_a_halt_shows_the_full_reason() -> None:
    app = make(Told("halted"))
    async with app.run_test(size=(40, 12)) as pilot:
        await settle(pilot)
        await pilot.press("enter")
        assert isinstance(app.screen, TextScreen)
        assert any("it should have been refused" in line for line in app.screen._lines)


# --- copying ---


async def test_each_text_too_long_to_copy_is_written_to_a_new_file(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    app = make(Told("ready"))
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert app.copy("short\nmore").endswith(": short …")
        assert copied == ["short\nmore"]
        files = [Path(app.copy("é" * MAX_COPIED).rpartition(" ")[2]) for _ in range(2)]
        try:
            assert [file.read_text() for file in files] == ["é" * MAX_COPIED] * 2
            assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
            assert copied == ["short\nmore"]
        finally:
            for file in files:
                file.unlink()


@pytest.mark.parametrize("key", ["l", "i", "question_mark"])
async def test_text_and_log_screens_copy_with_a_notice(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    app = make(Told("ready"))

    def copy(text: str) -> str:
        copied.append(text)
        return "copied"

    monkeypatch.setattr(app, "copy", copy)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press(key)
        await settle(pilot)
        assert isinstance(app.screen, TextScreen | LogScreen)
        await pilot.press("y")
        assert len(copied) == 1
        assert "\n" in copied[0]


# --- muting, and trying again ---


async def test_a_muted_row_is_found_by_the_filter_and_shown_again(asked: list[Request], tmp_path: Path) -> None:
    source = Told("ready")
    source.say(e.Muted("pypi.example.org"))
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert "pypi" not in screen_text(app)
        assert "1 muted" in screen_text(app)
        await pilot.press("slash", *"muted", "enter")
        await until(pilot, lambda: "pypi.example.org" in screen_text(app))
        await pilot.press("m")
        await until(pilot, lambda: asked == [control.Mute("pypi.example.org", off=True)])


async def test_after_a_mute_the_cursor_is_on_the_next_row() -> None:
    source = Told("ready")
    app = make(source)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await pilot.press("j", "j")
        assert app.main.row is not None
        muted, following = app.main.row.muted_as, app.main._rows[3].what
        source.say(e.Muted(muted))
        source.moment += 10
        app.tick()
        assert app.main.row.what == following


async def test_an_allowed_row_shows_its_use_even_if_muted() -> None:
    source = Told("ready")
    used = e.Carried("pypi.example.org", 1, 0, 10, 10, source.at)
    source.say(e.Allowed("pypi.example.org", "", source.at + 3600), used, e.Muted("pypi.example.org"))
    app = make(source)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await pilot.press("slash", *"muted", "enter")
        await until(pilot, lambda: [row.name for row in app.main._rows] == ["pypi.example.org"])
        assert ", used " in screen_text(app)


async def test_a_filter_shows_its_rows_without_waiting_for_the_next_tick() -> None:
    app = make(Told("ready"))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await pilot.press("down", "slash", *"ssh")
        await until(pilot, lambda: [row.by for row in app.main._rows] == ["ssh"])
        await pilot.press("escape")
        await until(pilot, lambda: len(app.main._rows) == 7)


AGAIN: list[tuple[str, tuple[e.Event, ...], tuple[str, ...], list[Request]]] = [
    ("degraded", (), ("enter",), [control.Retry()]),
    ("degraded", (), ("s",), [control.RestartSession()]),
    ("ready", (), ("enter",), []),
    ("ready", (), ("escape",), []),
    ("ready", (e.SessionChanged(e.SessionState.ENDED),), ("enter",), [control.RestartSession()]),
]


@pytest.mark.parametrize(("story", "more", "keys", "requests"), AGAIN)
async def test_retry_asks_first_and_offers_the_failed_steps(
    story: str, more: tuple[e.Event, ...], keys: tuple[str, ...], requests: list[Request], asked: list[Request], tmp_path: Path
) -> None:
    source = Told(story)
    source.say(*more)
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("R")
        assert isinstance(app.screen, ChoiceScreen)
        assert asked == []
        await pilot.press(*keys)
        await settle(pilot)
        await until(pilot, lambda: asked == requests)


async def test_the_dashboard_stays_if_the_agent_has_exited(tmp_path: Path) -> None:
    source = Told("ready")
    source.say(e.SessionChanged(e.SessionState.ENDED, detail="Claude has ended, the session's shell is still running"))
    app = make(source, stay=False, paths=Paths(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        source.moment += NOTICE_SECONDS + 1
        app.tick()
        assert "the session opens in" not in screen_text(app)
        assert "Claude has ended" in screen_text(app)
        assert app.left == 0


# --- notifications ---


async def test_a_scan_is_one_notification_and_later_refusals_share_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Told("ready")
    app = Dashboard(source, None, stay=True, steady=source.steady, preferences=Preferences(Notify.ALWAYS))
    sent: list[str] = []
    monkeypatch.setattr(app, "_to_terminal", sent.append)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        sent.clear()
        for number in range(20):
            source.say(refusal(f"n{number}.example"))
            source.moment += 0.25
            app.tick()
        assert [text for text in sent if "]9;" in text] == [
            "\x1b]9;codetainer: refused n0.example: not on the allowlist\x1b\\\x07"
        ]
        source.moment += NOTIFY_SECONDS
        app.tick()
        assert [text for text in sent if "]9;" in text][1:] == [
            "\x1b]9;codetainer: refused n19.example: not on the allowlist and 18 more\x1b\\\x07"
        ]


async def test_muted_refusals_do_not_notify(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Told("ready")
    source.say(e.Muted("loud.example"))
    app = Dashboard(source, None, stay=True, steady=source.steady, preferences=Preferences(Notify.ALWAYS))
    sent: list[str] = []
    monkeypatch.setattr(app, "_to_terminal", sent.append)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        source.say(refusal("loud.example"))
        app.tick()
        assert not any("]9;" in text for text in sent)
