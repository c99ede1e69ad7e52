"""Pictures of each journal at each size, with and without colour. Look at a picture before you accept it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from backend.contract.events import Event
from codetainer_tui.dashboard.draw.ink import Colours
from codetainer_tui.dashboard.picture import draw
from tests.journals import make as stories
from tests.unit.codetainer_tui.dashboard.conftest import MakeDashboard, Told, make, settle

TOLD = (
    "booting",
    "ready",
    "degraded",
    "halted",
    "attacked",
    "flooded",
    "learning",
)  # written by hand (tests/journals/make.py): states that real boots rarely show
RECORDED = ("recorded/clean", "recorded/degrades", "recorded/halts", "recorded/attacked")
STORIES = (*TOLD, *RECORDED)
SIZES = ((120, 40), (80, 24), (60, 20), (40, 12))
ROOT = Path(__file__).parents[4]
Compare = Callable[..., bool]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.replace("/", "-"))
def test_in_colour(story: str, size: tuple[int, int], snap_compare: Compare, dashboard: MakeDashboard) -> None:
    assert snap_compare(dashboard(story), terminal_size=size, run_before=settle)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.replace("/", "-"))
def test_without_colour(
    story: str, size: tuple[int, int], snap_compare: Compare, dashboard: MakeDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(dashboard(story, Colours.NONE), terminal_size=size, run_before=settle)


@pytest.mark.parametrize("keys", ["enter", "a", "question_mark", "l", "b", "F", "i", "R", "ctrl+p"])
def test_what_a_key_opens(keys: str, snap_compare: Compare, dashboard: MakeDashboard) -> None:
    assert snap_compare(dashboard("ready"), terminal_size=(80, 24), press=[keys], run_before=settle)


@pytest.mark.parametrize("size", SIZES[:2], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("state", stories.CANNOT_GO_ON)
def test_a_session_that_cannot_go_on(state: str, size: tuple[int, int], snap_compare: Compare) -> None:
    assert compared(stories.CANNOT_GO_ON[state], size, snap_compare)


@pytest.mark.parametrize("size", SIZES[:2], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("state", stories.OTHER_STATES)
def test_other_states_of_a_session(state: str, size: tuple[int, int], snap_compare: Compare) -> None:
    assert compared(stories.OTHER_STATES[state], size, snap_compare)


def compared(told: tuple[Event, ...], size: tuple[int, int], snap_compare: Compare) -> bool:
    """True if the dashboard looks as before when these events follow the story `ready`."""
    source = Told("ready")
    source.at += 60
    source.say(*told)
    return snap_compare(make(source), terminal_size=size, run_before=settle)


async def test_the_picture_of_the_documentation_is_the_dashboard_of_today() -> None:
    drawn = await draw(ROOT / "tests/journals/recorded/attacked.jsonl", 120, 40)
    assert drawn == (ROOT / "docs/dashboard.svg").read_text(), "make pictures draws it anew"


def test_one_line_where_there_is_no_room(snap_compare: Compare, dashboard: MakeDashboard) -> None:
    assert snap_compare(dashboard("ready"), terminal_size=(28, 4), run_before=settle)
