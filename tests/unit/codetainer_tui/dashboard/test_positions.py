"""A list that does not fit shows the range of its visible rows; names are shortened last."""

from __future__ import annotations

import re

import pytest

from backend.contract import events as e
from backend.contract.events import Reason, Refused, Via
from codetainer_tui.dashboard.app import Dashboard
from codetainer_tui.dashboard.draw import frame, refused
from codetainer_tui.dashboard.draw.ink import Ink
from codetainer_tui.dashboard.widgets.canvas import Canvas
from codetainer_tui.status import text
from codetainer_tui.view import view
from tests.unit.codetainer_tui.dashboard.conftest import Told, make, settle, until
from tests.unit.codetainer_tui.test_floods import after

SIZES = [(120, 40), (80, 24), (60, 20), (40, 12), (30, 6)]
FOREIGN = Refused(Via.GATE, Reason.ANOTHER_SITE, 1, "tcp", "evil.example.net", "198.51.100.1", 443)


ROW = re.compile(r" n[0-9]+\.x")


def drawn(app: Dashboard) -> list[str]:
    return [line.plain for line in app.main.query_one(Canvas).lines] if app.main.query(Canvas) else []


def dns(name: str, program: str = "") -> Refused:
    return Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", name, program=program)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("wanted", ["", ".x"])
async def test_a_list_says_which_part_of_it_is_shown(size: tuple[int, int], wanted: str) -> None:
    source = Told()
    source.say(*(dns(f"n{number}.x{number}.{'test' if number % 2 else 'example'}") for number in range(40)))
    app = make(source)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: any(ROW.search(line) for line in drawn(app)))
        if wanted:
            await pilot.press("slash", *wanted, "enter")
        for key in ("g", "pagedown", "G"):
            await pilot.press(key)
            await settle(pilot)
            (header,) = [line for line in drawn(app) if line.startswith(" Refused ")]
            shown = sum(bool(ROW.search(line)) for line in drawn(app))
            position = re.search(r"Refused   ([0-9]+)-?([0-9]*) of 40", header)
            assert (position is None) is (shown == 40), header
            if position:
                first, last = int(position[1]), int(position[2] or position[1])
                assert last - first + 1 == shown
                assert first == 1 if key == "g" else last == 40 if key == "G" else 1 <= first <= last <= 40


async def test_serious_refusals_say_which_part_is_shown_too() -> None:
    source = Told()
    source.say(*(Refused(Via.FIREWALL, Reason.PRIVATE, 1, "tcp", "", f"10.0.0.{number}", 80) for number in range(8)))
    app = make(source)
    async with app.run_test(size=(40, 12)) as pilot:
        await until(pilot, lambda: any(line.startswith(" Serious ") for line in drawn(app)))
        (header,) = [line for line in drawn(app) if line.startswith(" Serious ")]
        assert f"1-{sum(line[1:2] == '✗' for line in drawn(app)[1:])} of 8" in header


def line_of(*events: e.Event, width: int) -> str:
    state = after(*events)
    row = view(state, state.updated_at).refused[0]
    return refused.row(row, width, Ink(), selected=False, programs=True).plain


def test_on_a_narrow_screen_the_reason_is_cut_before_the_name() -> None:
    assert "evil.example.net:443  diff" in line_of(FOREIGN, width=40)


def test_a_reason_uses_the_column_of_a_program_that_is_not_known() -> None:
    seen = e.Acknowledged(1e6)
    assert "acknowledged: different host on an allowed address" in line_of(FOREIGN, seen, width=120)
    text = line_of(dns("a.example", "curl"), width=120)
    assert text.rstrip().endswith("curl")


@pytest.mark.parametrize(
    ("width", "mode"), [(width, mode) for width in (120, 80, 60, 40) for mode in ("", "READ-ONLY")] + [(30, "")]
)
def test_the_name_of_a_sandbox_comes_first(width: int, mode: str) -> None:
    named = after(e.BootStarted("1", (), "octo/repo", name="work-on-the-parser"), e.BootFinished(e.BootState.READY, 1.0))
    shown = view(named, named.updated_at)
    head = frame.headline(shown, width, Ink(), mode).plain
    assert head.startswith(" work-on-the")
    assert len(head) <= width
    assert "READY" in head
    assert ("READ-ONLY" in head) is bool(mode)
    assert shown.title.startswith("work-on-the-parser: READY ")
    assert text(shown, operator=True).startswith("work-on-the-parser  READY  ")
    assert shown.full[0].startswith("work-on-the-parser  READY")
