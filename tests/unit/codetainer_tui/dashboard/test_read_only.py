"""The agent's dashboard offers nothing that only root may do, and says what to ask the operator for."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.contract import events as e
from backend.contract.control import Request
from backend.contract.events import Reason, Refused, Via
from backend.contract.paths import Paths
from codetainer_tui.dashboard.app import Dashboard
from codetainer_tui.dashboard.keys import OF_ROOT
from codetainer_tui.dashboard.screens.choice import ChoiceScreen
from codetainer_tui.dashboard.widgets.canvas import Canvas
from tests.unit.codetainer_tui.dashboard.conftest import Told, refusal, screen_text, settle

METADATA = Refused(Via.FIREWALL, Reason.PRIVATE, 1, "tcp", "", "169.254.169.254", 80)


def reader(source: Told, paths: Path) -> Dashboard:
    return Dashboard(source, Paths(paths), stay=True, steady=source.steady, read_only=True)


def drawn(app: Dashboard) -> list[str]:
    return [line.plain for line in app.main.query_one(Canvas).lines]


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20), (40, 12)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_it_says_read_only_and_offers_no_key_of_root(size: tuple[int, int], tmp_path: Path) -> None:
    source = Told("ready")
    source.say(METADATA, e.Froze(True, "root"))
    app = reader(source, tmp_path)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        lines = drawn(app)
        assert "READ-ONLY" in lines[0]
        footer = f" {lines[-1]} "
        for label in ("allow", "mute", "ack", "freeze", "thaw", "refresh", "explain", "retry"):
            assert f" {label} " not in footer, footer
        assert not any("F thaws it" in line or "x acknowledges" in line for line in lines)


KEYS = [
    ("a", "codetainer allow a.example --for 1h"),
    ("m", "codetainer mute a.example"),
    ("e", "codetainer explain a.example"),
    ("r", "codetainer refresh"),
    ("F", "codetainer freeze"),
    ("plus", "codetainer budget +20"),
    ("R", "codetainer retry or codetainer session restart"),
]


@pytest.mark.parametrize(("key", "command"), KEYS)
async def test_a_key_of_root_says_what_to_ask_the_operator_for(
    key: str, command: str, asked: list[Request], tmp_path: Path
) -> None:
    source = Told("ready")
    source.say(refusal("a.example"))
    app = reader(source, tmp_path)
    async with app.run_test(size=(120, 24)) as pilot:
        await settle(pilot)
        await pilot.press("slash", *"a.example", "enter", key)
        await settle(pilot)
        assert not isinstance(app.screen, ChoiceScreen)
        assert f"read-only: ask the operator to run {command}" in "\n".join(drawn(app))
        assert asked == []


async def test_its_help_and_palette_leave_out_the_keys_of_root(tmp_path: Path) -> None:
    app = reader(Told("ready"), tmp_path)
    async with app.run_test(size=(120, 60)) as pilot:
        await settle(pilot)
        assert {action.name for action in app.keys.offered} == {action.name for action in app.keys.actions} - OF_ROOT
        assert not any("Thaw" in command.title or "allow (" in command.title for command in app.get_system_commands(app.screen))
        await pilot.press("question_mark")
        await settle(pilot)
        text = screen_text(app)
        assert "READ-ONLY" in text
        assert "allow the selected refusal" not in text
