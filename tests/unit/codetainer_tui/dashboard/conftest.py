"""Dashboards over recorded journals, in which time stands still."""

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from codetainer_tui.dashboard.app import Dashboard
from codetainer_tui.dashboard.draw.ink import Colours
from codetainer_tui.dashboard.source import Recorded

JOURNALS = Path(__file__).parents[3] / "journals"
MakeDashboard = Callable[..., Dashboard]


@pytest.fixture
def dashboard() -> MakeDashboard:
    def make(name: str, colours: Colours = Colours.SIXTEEN) -> Dashboard:
        return Dashboard(Recorded(JOURNALS / f"{name}.jsonl", 0), None, stay=True, colours=colours, steady=lambda: 0.0)

    return make


async def settle(pilot: Pilot[None]) -> None:
    """Until two pauses in a row have changed nothing: one alone gives different pictures."""
    before = None
    while (now := pilot.app.export_screenshot()) != before:
        before = now
        await pilot.pause()
        await pilot.pause()
