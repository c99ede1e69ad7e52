"""Dashboards over recorded journals, in which time stands still."""

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
    """What the dashboard asks of the sandbox; everything is answered well."""
    found: list[Request] = []

    def answer(_path: object, request: Request, _typed: str) -> Reply:
        found.append(request)
        return Reply(True, "it is done")

    monkeypatch.setattr(asking, "ask", answer)
    return found


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
    """Until two pauses in a row have changed nothing: one alone gives different pictures. There has to be something first."""
    if isinstance(pilot.app, Dashboard):
        app = pilot.app
        await until(pilot, lambda: bool(app.main.query(Canvas)))
    before = None
    # The command palette looks for its commands in a worker: what stands still meanwhile has not settled.
    while (now := pilot.app.export_screenshot()) != before or not all(worker.is_finished for worker in pilot.app.workers):
        before = now
        for entry in pilot.app.screen.query(Input):
            entry.cursor_blink = False  # the cursor stays: whether it is there is the clock's affair
        await pilot.pause()


def make(source: Told, *, stay: bool = True, paths: Paths | None = None) -> Dashboard:
    return Dashboard(source, paths, stay=stay, steady=source.steady)


def screen_text(app: Dashboard) -> str:
    return "\n".join(line.plain for line in app.main.query_one(Canvas).lines)


def refusal(name: str) -> Refused:
    return Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", name)


async def until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    """Waits for a condition; the test runner's own limit ends a wait in vain."""
    async with asyncio.timeout(30):
        while not true():
            await pilot.pause(0.01)
