"""Keys that act on a row; serious refusals come first and cannot be muted until they are acknowledged."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.events import Key

from backend.contract import control
from backend.contract import events as e
from backend.contract.control import Request
from backend.contract.events import Reason, Refused, Via
from backend.contract.paths import Paths
from codetainer_tui.dashboard.app import MAX_EVENTS, NOTIFY_SECONDS, Dashboard
from codetainer_tui.dashboard.draw.ink import Colours
from codetainer_tui.dashboard.notify import Notify
from codetainer_tui.dashboard.preferences import Preferences
from codetainer_tui.dashboard.screens.choice import ChoiceScreen
from codetainer_tui.dashboard.screens.text import TextScreen
from codetainer_tui.dashboard.widgets.canvas import Canvas
from tests.unit.codetainer_tui.dashboard.conftest import MakeDashboard, Told, make, refusal, screen_text, settle, until

METADATA = Refused(Via.FIREWALL, Reason.PRIVATE, 1, "tcp", "", "169.254.169.254", 80)
FOREIGN = Refused(Via.GATE, Reason.NOT_OURS, 1, "tcp", "api.github.com", "198.51.100.11", 443)
SIZES = [(120, 40), (80, 24), (60, 20), (40, 12)]


async def test_close_revokes_the_entry_that_opened_the_row_if_there_is_one(asked: list[Request], tmp_path: Path) -> None:
    source = Told()
    row = Refused(Via.FIREWALL, Reason.PORT_NOT_LISTED, 1, "tcp", "a.wide.example", "192.0.2.1", 8443)
    source.say(row, e.Allowed("*.wide.example"))
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(120, 24)) as pilot:
        await settle(pilot)
        await pilot.press("a", "c", "escape")
        assert asked == []
        source.say(e.Allowed("*.wide.example", "8443"))
        source.moment += 2
        app.tick()
        await pilot.press("a", "c")
        await until(pilot, lambda: asked == [control.Revoke("*.wide.example")])


async def test_explain_asks_about_the_port_and_shows_the_reason_of_the_refusal_first(
    asked: list[Request], tmp_path: Path
) -> None:
    source = Told()
    source.say(Refused(Via.FIREWALL, Reason.PORT_NOT_LISTED, 1, "tcp", "a.example", "192.0.2.1", 8443))
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(120, 24)) as pilot:
        await settle(pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, TextScreen))
        assert asked == [control.Explain("a.example:8443")]
        assert isinstance(app.screen, TextScreen)
        assert app.screen._lines[:2] == ("a.example:8443", "port not listed, refused by the firewall")
        assert app.screen._lines[-2:] == ("Now:", "it is done")


@pytest.mark.parametrize(
    ("refused", "key", "request_"),
    [
        (refusal("a.example"), "a", control.Allow("a.example", "", 3600)),
        (refusal("a.example"), "m", control.Mute("a.example")),
    ],
    ids=["allow", "mute"],
)
async def test_an_explanation_can_be_acted_on(
    asked: list[Request], tmp_path: Path, refused: e.Refused, key: str, request_: Request
) -> None:
    source = Told()
    source.say(refused, refusal("b.example"))
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(120, 24)) as pilot:
        await settle(pilot)
        await pilot.press("G", "e")
        await until(pilot, lambda: isinstance(app.screen, TextScreen))
        assert asked.pop() == control.Explain("a.example")
        source.say(*(refusal(f"c{number}.example") for number in range(3)))  # the rows move meanwhile
        app.tick()
        await pilot.press(key, *("h" if key == "a" else ""))
        await until(pilot, lambda: asked == [request_])


@pytest.mark.parametrize(("keys", "both"), [(("e",), "a"), (("a",), "enter"), (("a",), "h")])
async def test_a_key_that_is_pressed_twice_at_once_answers_once(
    asked: list[Request], tmp_path: Path, keys: tuple[str, ...], both: str
) -> None:
    """On a slow line two keys arrive together: the second one comes to a screen that has just been closed."""
    source = Told()
    source.say(refusal("a.example"))
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(120, 24)) as pilot:
        await settle(pilot)
        await pilot.press(*keys)
        await until(pilot, lambda: app.screen is not app.main)
        for _ in range(2):
            app.screen.post_message(Key(both, both if len(both) == 1 else None))
        await settle(pilot)
        assert app.is_running
    assert app.return_code in (None, 0)
    assert len([one for one in asked if isinstance(one, control.Allow)]) <= 1


async def test_an_explanation_of_a_serious_refusal_offers_to_acknowledge_it(asked: list[Request], tmp_path: Path) -> None:
    source = Told()
    source.say(METADATA)
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(120, 24)) as pilot:
        await settle(pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, TextScreen))
        assert "x ack" in str(app.screen.query_one("#text-keys").render())
        assert "mute" not in str(app.screen.query_one("#text-keys").render())
        asked.clear()
        await pilot.press("x", "t")
        await until(pilot, lambda: len(asked) == 1)
        assert isinstance(asked[0], control.Acknowledge)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_serious_refusals_stay_visible_wherever_the_cursor_is(size: tuple[int, int], dashboard: MakeDashboard) -> None:
    app = dashboard("flooded")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: bool(app.main.query_one(Canvas).lines))
        for _ in range(3):
            lines = [line.plain for line in app.main.query_one(Canvas).lines]
            assert "✗ 5 serious" in lines[0]
            marked = [line for line in lines[1:] if line[1:2] == "✗"]
            assert len(marked) >= (5 if size[1] > 12 else 4)
            narrow = size[0] < 50  # there the names come first, with what of the reasons has room
            expected = ("174 names below t.", "evil.example:443  different") if narrow else ("looks like a", "different host")
            for words in expected:
                assert any(words in line for line in marked), (words, lines)
            await pilot.press("G")
        assert app.main.row is not None
        assert not app.main.row.alarm


async def test_serious_refusals_are_marked_without_colour_too(dashboard: MakeDashboard) -> None:
    app = dashboard("flooded", Colours.NONE)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: bool(app.main.query_one(Canvas).lines))
        header, row = (app.main.query_one(Canvas).lines[index] for index in (2, 3))
        assert header.plain.startswith(" Serious   5 kinds   179 refusals since ")
        assert row.plain.startswith(">✗")
        assert "reverse" in str(row.spans)


async def test_new_serious_refusals_appear_at_once_even_while_the_cursor_moves() -> None:
    source = Told()
    source.say(e.BootStarted("1", ()), e.LockReleased(True), refusal("a.example"), refusal("b.example"))
    app = make(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("down")
        source.say(FOREIGN)
        source.moment += 0.25
        app.tick()
        assert [row.what for row in app.main._rows] == ["api.github.com:443", "b.example", "a.example"]
        assert app.main.row is not None
        assert app.main.row.what == "a.example"


async def test_serious_refusals_are_acknowledged_one_by_one_or_all_at_once(asked: list[Request], tmp_path: Path) -> None:
    source = Told()
    source.say(METADATA, FOREIGN)
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("x", "escape")
        assert asked == []
        await pilot.press("x", "enter")
        await until(pilot, lambda: asked == [control.Acknowledge(source.at, METADATA.key)])
        await pilot.press("x", "a")
        await until(pilot, lambda: asked[1:] == [control.Acknowledge(source.at)])
        source.say(e.Acknowledged(source.at, "", "root"))
        source.moment += 2
        app.tick()
        assert "serious" not in screen_text(app)
        assert "acknowledged: private or me" in screen_text(app)
        await pilot.press("x")
        assert "no unacknowledged serious refusals" in screen_text(app)
        source.say(METADATA)
        source.moment += 2
        app.tick()
        assert "✗ 1 serious" in screen_text(app)


async def test_serious_refusals_cannot_be_muted(asked: list[Request], tmp_path: Path) -> None:
    source = Told()
    source.say(FOREIGN, e.Muted("api.github.com"))
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "api.github.com:443" in screen_text(app)
        await pilot.press("m")
        assert "serious refusals cannot be muted; x acknowledges them" in screen_text(app)
        assert asked == []


async def test_a_name_that_looks_like_a_listed_one_is_allowed_with_a_warning(asked: list[Request], tmp_path: Path) -> None:
    source = Told("ready")
    source.say(refusal("githud.com"))
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(40, 12)) as pilot:
        await settle(pilot)
        await pilot.press("a")
        assert isinstance(app.screen, ChoiceScreen)
        said = app.screen._text().plain
        assert "Allow githud.com? It looks like the allowed name github.com." in " ".join(said.split())
        assert max(map(len, said.splitlines())) <= 38


async def test_the_log_keeps_serious_refusals_through_a_flood() -> None:
    source = Told()
    source.say(METADATA, *(refusal(f"n{number}.example") for number in range(MAX_EVENTS + 100)))
    source.coming = [e.Stamped(source.at, seq, one.event) for seq, one in enumerate(source.coming, 1)]
    app = make(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        lines = app.log_lines()
        assert len(lines) == MAX_EVENTS + 2  # the date, and the serious refusal
        assert lines[1].endswith("SERIOUS refused 169.254.169.254:80: private or metadata address")


async def test_serious_refusals_notify_even_right_after_a_flood_did(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Told("ready")
    app = Dashboard(source, None, stay=True, steady=source.steady, preferences=Preferences(Notify.ALWAYS))
    sent: list[str] = []
    monkeypatch.setattr(app, "_to_terminal", sent.append)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        sent.clear()
        for events in (
            [refusal("n1.example")],
            [FOREIGN, refusal("n2.example")],
            [METADATA, e.SessionChanged(e.SessionState.ENDED)],
        ):
            source.say(*events)
            source.moment += 0.25
            app.tick()
        source.moment += NOTIFY_SECONDS
        app.tick()
        assert [text.partition("codetainer: ")[2].rstrip("\x07\x1b\\") for text in sent if "]9;" in text] == [
            "refused n1.example: not on the allowlist",
            "serious: refused api.github.com:443: foreign credential",
            "serious: refused 169.254.169.254:80: private or metadata address",
            "the agent exited",
        ]
