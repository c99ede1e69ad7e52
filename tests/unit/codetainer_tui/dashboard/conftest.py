"""Dashboards over recorded journals, with a clock that stands still."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from backend.contract import events as e
from backend.contract.control import Reply, Request
from backend.contract.events import Reason, Refused, Stamped, Via
from backend.contract.paths import Paths
from codetainer_tui.dashboard import asking
from codetainer_tui.dashboard.app import Dashboard
from codetainer_tui.dashboard.draw.ink import Colours
from codetainer_tui.dashboard.source import Recorded
from codetainer_tui.dashboard.widgets.canvas import Canvas
from tests.journals import make as stories

JOURNALS = Path(__file__).parents[3] / "journals"
MakeDashboard = Callable[..., Dashboard]


@pytest.fixture
def dashboard() -> MakeDashboard:
    def make(name: str, colours: Colours = Colours.SIXTEEN) -> Dashboard:
        return Dashboard(Recorded(JOURNALS / f"{name}.jsonl", 0), None, stay=True, colours=colours, steady=lambda: 0.0)

    return make


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The requests of the dashboard; all of them succeed."""
    found: list[Request] = []

    def answer(_path: object, request: Request) -> Reply:
        found.append(request)
        return Reply(True, "it is done")

    monkeypatch.setattr(asking, "ask", answer)
    return found


class Told:
    """A source with events and clocks under the control of the test."""

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
    """Waits until the screen exists and two pauses in a row have not changed it: after one pause, pictures still vary."""
    if isinstance(pilot.app, Dashboard):
        app = pilot.app
        await until(pilot, lambda: bool(app.main.query(Canvas)))
    before = None
    # The command palette collects its commands in a worker: an unchanged screen is not final before that.
    while (now := pilot.app.export_screenshot()) != before or not all(worker.is_finished for worker in pilot.app.workers):
        before = now
        for entry in pilot.app.screen.query(Input):
            entry.cursor_blink = False  # a blinking cursor would make pictures depend on the clock
        await pilot.pause()


def make(source: Told, *, stay: bool = True, paths: Paths | None = None) -> Dashboard:
    return Dashboard(source, paths, stay=stay, steady=source.steady)


def screen_text(app: Dashboard) -> str:
    return "\n".join(line.plain for line in app.main.query_one(Canvas).lines)


def refusal(name: str) -> Refused:
    return Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", name)


async def until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    """Waits up to 30 seconds for a condition."""
    async with asyncio.timeout(30):
        while not true():
            await pilot.pause(0.01)
