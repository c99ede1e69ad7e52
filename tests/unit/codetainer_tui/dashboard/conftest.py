"""Dashboards over recorded journals, in which time stands still."""

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from backend.contract import events as e
from backend.contract.events import Stamped
from codetainer_tui.dashboard.app import Dashboard
from codetainer_tui.dashboard.draw.ink import Colours
from codetainer_tui.dashboard.source import Recorded
from tests.journals import make as stories

JOURNALS = Path(__file__).parents[3] / "journals"
MakeDashboard = Callable[..., Dashboard]


@pytest.fixture
def dashboard() -> MakeDashboard:
    def make(name: str, colours: Colours = Colours.SIXTEEN) -> Dashboard:
        return Dashboard(Recorded(JOURNALS / f"{name}.jsonl", 0), None, stay=True, colours=colours, steady=lambda: 0.0)

    return make


class Told:
    """A source that says what it is told to; its clocks go when they are told to."""

    def __init__(self, name: str = "") -> None:
        lines = stories.text(stories.JOURNALS[name]()).splitlines() if name else []
        self.coming = [e.decode(line) for line in lines]
        self.at = self.coming[-1].at if self.coming else stories.BEGUN
        self.moment = 0.0

    def poll(self) -> list[Stamped]:
        found, self.coming = self.coming, []
        return found

    def now(self) -> float:
        return self.at

    def steady(self) -> float:
        return self.moment

    def supervised(self) -> bool:
        return True

    def say(self, *events: e.Event) -> None:
        self.coming += [Stamped(self.at, 1, event) for event in events]


async def settle(pilot: Pilot[None]) -> None:
    """Until two pauses in a row have changed nothing: one alone gives different pictures."""
    before = None
    while (now := pilot.app.export_screenshot()) != before:
        before = now
        await pilot.pause()
        await pilot.pause()
