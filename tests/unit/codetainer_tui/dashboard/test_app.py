"""Keys and ticks of a dashboard without a terminal.

Length: one app, key by key.
"""

from pathlib import Path

import pytest
from textual.geometry import Region
from textual.widgets import Input

from backend.contract import control
from backend.contract import events as e
from backend.contract.control import Reply, Request
from backend.contract.events import Reason, Refused, Via
from backend.contract.paths import Paths
from codetainer_tui import handover
from codetainer_tui.dashboard import asking
from codetainer_tui.dashboard.app import NOTICE_SECONDS
from codetainer_tui.dashboard.keys import ACTIONS, MOVES
from codetainer_tui.dashboard.screens.choice import ChoiceScreen
from codetainer_tui.dashboard.screens.log import LogScreen
from codetainer_tui.dashboard.screens.text import TextScreen
from codetainer_tui.dashboard.widgets.canvas import Canvas
from tests.unit.codetainer_tui.dashboard.conftest import Told, make, refusal, screen_text, settle, until


async def test_a_quiet_tick_repaints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Told("ready")
    app = make(source)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        repainted: list[object] = []
        canvas = app.main.query_one(Canvas)
        monkeypatch.setattr(canvas, "refresh", lambda *regions, **_: repainted.extend(regions))
        source.moment += 10
        app.tick()
        assert repainted == []
        source.say(e.SessionChanged(e.SessionState.WORKS, "claude"))
        app.tick()
        assert 0 < len(repainted) <= 3


async def test_the_cursor_stays_on_its_row_while_rows_arrive() -> None:
    source = Told()
    source.say(refusal("a.example"), refusal("b.example"), refusal("c.example"))
    app = make(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("down")
        assert app.main.row is not None
        assert app.main.row.what == "b.example"
        source.say(refusal("d.example"), refusal("c.example"))
        source.moment += 10
        app.tick()
        assert app.main.row.what == "b.example"
        await pilot.press("up")
        assert app.main.row is not None
        assert app.main.row.what == "d.example"


async def test_rows_keep_their_order_while_the_operator_moves_the_cursor() -> None:
    source = Told()
    source.say(refusal("a.example"), refusal("b.example"))
    app = make(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("down")
        source.say(refusal("a.example"))
        source.moment += 1.5
        app.tick()
        assert [row.what for row in app.main._rows] == ["b.example", "a.example"]
        source.moment += 5
        app.tick()
        assert [row.what for row in app.main._rows] == ["a.example", "b.example"]


async def test_allow_for_an_hour(asked: list[Request], tmp_path: Path) -> None:
    app = make(Told("ready"), paths=Paths(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("a")
        assert isinstance(app.screen, ChoiceScreen)
        await pilot.press("h")
        await until(pilot, lambda: "it is done" in screen_text(app))
        assert asked == [control.Allow("pypi.example.org", "", 3600.0)]


@pytest.mark.parametrize(("key", "seconds"), [("r", 3600.0), ("u", None)])
async def test_allow_offers_reading_first(asked: list[Request], tmp_path: Path, key: str, seconds: float | None) -> None:
    app = make(Told("ready"), paths=Paths(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("a")
        assert isinstance(app.screen, ChoiceScreen)
        lines = [line.lstrip("> ").rstrip() for line in app.screen._text().plain.splitlines()]
        assert [line for line in lines if line[:2] in ("r ", "u ", "h ", "s ")] == [
            "r  only reading, for an hour", "u  only reading, until I close it", "h  any request, for an hour",
            "s  any request, until I close it",
        ]  # fmt: skip
        await pilot.press(key)
        await until(pilot, lambda: "it is done" in screen_text(app))
        assert asked == [control.Allow("pypi.example.org", "", seconds, read=True)]


async def test_allow_offers_the_request_that_was_refused(asked: list[Request], tmp_path: Path) -> None:
    source = Told()
    source.say(Refused(Via.GATE, Reason.REQUEST, 1, "tcp", "read.example", "192.0.2.1", 443, detail="POST:/x/*"))
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(120, 24)) as pilot:
        await settle(pilot)
        await pilot.press("a", "r")
        await until(pilot, lambda: "it is done" in screen_text(app))
        assert asked == [control.Allow("read.example", "", 3600.0, grant="POST:/x/*")]


async def test_a_row_shows_its_pending_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ask", lambda *_: Reply(False, "only root may ask for this", "Ask the operator."))
    app = make(Told("ready"), paths=Paths(tmp_path))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert app.main.row is not None
        app.pend(app.main.row.key, "asking …")
        assert "asking …" in screen_text(app)
        await pilot.press("a", "s")
        await until(pilot, lambda: "only root may ask for this. Ask the operator." in screen_text(app))
        assert "asking …" not in screen_text(app)


async def test_allow_shows_why_a_row_cannot_be_allowed(asked: list[Request], tmp_path: Path) -> None:
    source = Told()
    source.say(Refused(Via.FIREWALL, Reason.PRIVATE, 1, "tcp", "", "169.254.169.254", 80))
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(120, 24)) as pilot:
        await settle(pilot)
        await pilot.press("a")
        assert "metadata addresses are never opened" in screen_text(app)
        assert asked == []


async def test_freeze_asks_first_and_enter_is_no(asked: list[Request], tmp_path: Path) -> None:
    app = make(Told("ready"), paths=Paths(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("F", "enter")
        await settle(pilot)
        assert asked == []
        await pilot.press("F", "y")
        await until(pilot, lambda: asked == [control.Freeze()])


async def test_without_an_agent_there_is_nothing_to_freeze(asked: list[Request], tmp_path: Path) -> None:
    app = make(Told("halted"), paths=Paths(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("F")
        await settle(pilot)
        assert not isinstance(app.screen, ChoiceScreen)
        assert "nothing to freeze" in screen_text(app)
    assert asked == []


async def test_enter_on_an_empty_filter_result_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = make(Told("ready"))
    opened: list[str] = []
    monkeypatch.setattr(app, "action_open_session", lambda: opened.append("session"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("/", *"zzz", "enter")
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
        assert "no refusal matches the filter" in screen_text(app)
    assert opened == []


REQUESTS: list[tuple[str, str, Request]] = [
    ("ready", "m", control.Mute("pypi.example.org")),
    ("ready", "r", control.Refresh()),
    ("ready", "e", control.Explain("pypi.example.org")),
    ("halted", "R", control.Retry()),
]


@pytest.mark.parametrize(("story", "key", "request_"), REQUESTS)
async def test_a_key_sends_its_request(story: str, key: str, request_: Request, asked: list[Request], tmp_path: Path) -> None:
    app = make(Told(story), paths=Paths(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press(key)
        await until(pilot, lambda: asked == [request_])


async def test_a_recording_takes_no_requests(asked: list[Request]) -> None:
    app = make(Told("ready"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("m")
        assert "this is a recording" in screen_text(app)
        assert asked == []


async def test_the_filter_shows_matches_and_escape_clears_it() -> None:
    source = Told("ready")
    app = make(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("slash", *"udp")
        source.moment += 2
        app.tick()
        assert [row.what for row in app.main._rows] == ["203.0.113.20:123  udp"]
        await pilot.press("enter")
        assert "filter: udp" in screen_text(app)
        await pilot.press("escape")
        source.moment += 2
        app.tick()
        assert len(app.main._rows) == 7


@pytest.mark.parametrize("size", [(120, 40), (40, 12)])
async def test_the_filter_is_typed_on_the_last_line(size: tuple[int, int]) -> None:
    app = make(Told("ready"))
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        await pilot.press("slash", *"udp")
        field = app.main.query_one(Input)
        assert (field.value, field.region) == ("udp", Region(0, size[1] - 1, size[0], 1))
        assert app.main.query_one(Canvas).region == Region(0, 0, size[0], size[1] - 1)
        assert "filter: udp" in screen_text(app)


async def test_a_notice_wraps_on_a_narrow_screen(asked: list[Request], tmp_path: Path) -> None:
    source = Told()
    source.say(Refused(Via.FIREWALL, Reason.PRIVATE, 1, "tcp", "", "169.254.169.254", 80))
    app = make(source, paths=Paths(tmp_path))
    async with app.run_test(size=(40, 12)) as pilot:
        await settle(pilot)
        await pilot.press("a")
        said = " ".join(screen_text(app).split())
        assert "metadata addresses are never opened" in said
        assert len(app.main.query_one(Canvas).lines) == 12


async def test_the_second_line_of_an_answer_is_indented(asked: list[Request], tmp_path: Path) -> None:
    app = make(Told("ready"), paths=Paths(tmp_path))
    async with app.run_test(size=(40, 12)) as pilot:
        await settle(pilot)
        await pilot.press("a")
        assert isinstance(app.screen, ChoiceScreen)
        lines = app.screen._text().plain.splitlines()
        assert lines[6:8] == ["  l  copy the line for domains.conf:", "     pypi.example.org read"]
        assert max(map(len, lines)) <= 38


async def test_details_log_and_help_open_and_close() -> None:
    app = make(Told("ready"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for key, kind in (("enter", TextScreen), ("question_mark", TextScreen), ("l", LogScreen)):
            await pilot.press(key)
            assert isinstance(app.screen, kind)
            await pilot.press("escape")
            assert app.screen_stack == [app.main]


# --- the hand-over ---


async def test_the_session_opens_after_the_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "session_is_there", lambda paths: True)
    monkeypatch.setattr(handover, "inside_tmux", lambda: False)
    source = Told("ready")
    app = make(source, stay=False, paths=Paths(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "the session opens in" in screen_text(app)
        assert app.left == 0
        source.moment += NOTICE_SECONDS + 0.1
        app.tick()
        await until(pilot, lambda: app.left is None)


async def test_any_key_stays(tmp_path: Path) -> None:
    source = Told("ready")
    app = make(source, stay=False, paths=Paths(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("q")
        assert "staying here" in screen_text(app)
        source.moment += 60
        app.tick()
        await settle(pilot)
        assert app.left == 0
        assert app.is_running


async def test_opening_a_session_that_is_gone_shows_a_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "session_is_there", lambda paths: False)
    monkeypatch.setattr(handover, "inside_tmux", lambda: False)
    app = make(Told("ready"), paths=Paths(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("t")
        await until(pilot, lambda: "the session has ended or does not answer; R restarts it" in screen_text(app))
        assert app.is_running


async def test_a_halted_boot_keeps_showing_its_reason(tmp_path: Path) -> None:
    source = Told("halted")
    app = make(source, stay=False, paths=Paths(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        source.moment += 60
        app.tick()
        assert app.is_running
        assert "198.51.100.9:443 was answered" in screen_text(app)


async def test_the_screen_is_right_after_many_resizes() -> None:
    app = make(Told("ready"))
    async with app.run_test(size=(120, 40)) as pilot:
        for size in ((40, 12), (200, 60), (20, 3), (60, 20), (80, 24)):
            await pilot.resize_terminal(*size)
        await settle(pilot)
        lines = app.main.query_one(Canvas).lines
        assert len(lines) == 24
        assert max(len(line.plain) for line in lines) <= 80
        assert lines[0].plain.startswith(" codetainer  READY")
        assert lines[0].plain.endswith("octo/repo  main")


def test_no_two_actions_share_a_key() -> None:
    keys = [key for action in (*ACTIONS, *MOVES) for key in action.keys.split(",")]
    assert len(keys) == len(set(keys))
    assert "ctrl+b" not in keys
