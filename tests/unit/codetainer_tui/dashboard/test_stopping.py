"""Leaving the dashboard of `codetainer up`: the question, the requests to the sandbox, and the exit code."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from backend.contract import control
from backend.contract import events as e
from backend.contract.control import Reply, Request, WorkAtStake
from backend.contract.events import RepositoryWork
from backend.contract.leaving import Leaving
from backend.contract.paths import Paths
from codetainer_tui.dashboard import stopping
from codetainer_tui.dashboard.app import LOCKED, QUIET_SECONDS, Dashboard
from codetainer_tui.dashboard.screens.choice import ChoiceScreen
from tests.unit.codetainer_tui.dashboard.conftest import Told, screen_text, settle, until

REPO = RepositoryWork("/workspace/repo", "main", commits=3, files=2)
STAKE = WorkAtStake((REPO,), 100.0, branch="wip/x")
SIZE = (80, 24)


class Sandbox:
    """Answers requests once `gate` is set."""

    def __init__(self, stake: WorkAtStake = STAKE, saved: Reply | None = None) -> None:
        self.stake, self.saved = stake, saved or Reply(True, "it is saved", data={"branch": "wip/x", "left_out": []})
        self.asked: list[Request] = []
        self.answered = 0
        self.gate = threading.Event()
        self.gate.set()

    def ask(self, _path: object, request: Request) -> Reply:
        self.asked.append(request)
        self.gate.wait(30)
        self.answered += 1
        match request:
            case control.CountWork():
                return Reply(True, data=dataclasses.asdict(self.stake))
            case control.SaveWork(off=False):
                return self.saved
            case _:
                return Reply(True, "it is done")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    found = Sandbox()
    monkeypatch.setattr(stopping, "ask", found.ask)
    return found


@pytest.fixture
def app(tmp_path: Path) -> Dashboard:
    return of_up(Told("ready"), tmp_path)


def of_up(source: Told, folder: Path, *, locked: bool = False) -> Dashboard:
    return Dashboard(source, Paths(folder), stay=True, steady=source.steady, of_up="look1", locked=locked)


def question(app: Dashboard) -> str:
    return app.screen._text().plain if isinstance(app.screen, ChoiceScreen) else ""


async def asks(pilot: Pilot[None], app: Dashboard, *keys: str) -> str:
    await pilot.press(*(keys or ("q",)))
    await until(pilot, lambda: bool(question(app)))
    return question(app)


async def ends(pilot: Pilot[None], app: Dashboard, holds: Callable[[], bool] = lambda: True) -> None:
    await until(pilot, lambda: app.left == Leaving.STOP and holds())


async def test_other_dashboards_are_left_at_once(tmp_path: Path, sandbox: Sandbox) -> None:
    source = Told("ready")
    app = Dashboard(source, Paths(tmp_path), stay=True, steady=source.steady)
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        assert screen_text(app).endswith("? help   q quit")
        await pilot.press("q")
    assert (app.left, sandbox.asked) == (0, [])


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_leaving_shows_unsaved_work_and_asks(app: Dashboard, sandbox: Sandbox, key: str) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        assert screen_text(app).endswith("? help   q stop")
        said = await asks(pilot, app, key)
        assert "Stop sandbox look1?" in said
        assert "/workspace/repo: 3 commits not pushed, 2 files not committed" in said
        assert "> n  stay" in said
        assert "s  save /workspace/repo to wip/x, then stop" in said
        await pilot.press("enter")  # the first answer
        await until(pilot, lambda: not question(app))
        assert app.left == 0
        await asks(pilot, app, key)
        await pilot.press("y")
        await ends(pilot, app)
    assert sandbox.asked == [control.CountWork(), control.CountWork(), control.SaveWork(off=True)]


@pytest.mark.parametrize("key", ["escape", "q", "ctrl+c", "n"])
async def test_other_keys_decline(app: Dashboard, sandbox: Sandbox, key: str) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await asks(pilot, app)
        await pilot.press(key)
        await until(pilot, lambda: not question(app))
        assert app.is_running
        assert app.left == 0


async def test_leaving_before_the_agent_runs_asks_nothing(tmp_path: Path, sandbox: Sandbox) -> None:
    source = Told()
    source.say(e.BootStarted("0.1.0", (e.PlannedStep("clone", "Clone"),)))
    app = of_up(source, tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        assert screen_text(app).endswith("? help   q stop")
        await pilot.press("q")
        await ends(pilot, app)
    assert sandbox.asked == []


async def test_a_save_comes_before_the_stop(app: Dashboard, sandbox: Sandbox) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await asks(pilot, app)
        sandbox.gate.clear()
        await pilot.press("s")
        await until(pilot, lambda: "Saving to wip/" in question(app))
        assert app.left == 0
        sandbox.gate.set()
        await ends(pilot, app)
    assert sandbox.asked == [control.CountWork(), control.SaveWork()]


async def test_a_failed_save_returns_to_the_question(app: Dashboard, sandbox: Sandbox) -> None:
    sandbox.saved = Reply(False, "cannot save to wip/x: no route", "codetainer export")
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await asks(pilot, app)
        await pilot.press("s")
        await until(pilot, lambda: "Saving failed: cannot save to wip/x: no route" in question(app))
        assert app.left == 0


async def test_an_incomplete_save_returns_to_the_question(app: Dashboard, sandbox: Sandbox) -> None:
    sandbox.saved = Reply(True, "saved", data={"branch": "wip/x", "left_out": ["big.bin"]})
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await asks(pilot, app)
        await pilot.press("s")
        await until(pilot, lambda: "except for: big.bin" in question(app))
        assert "y  stop and lose what was not saved" in question(app)
        await pilot.press("y")
        await ends(pilot, app)


async def test_leaving_the_save_question_stays(app: Dashboard, sandbox: Sandbox) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await asks(pilot, app)
        sandbox.gate.clear()
        await pilot.press("s")
        await until(pilot, lambda: "Saving to wip/" in question(app))
        await pilot.press("escape")
        sandbox.gate.set()
        await until(pilot, lambda: "it is saved" in screen_text(app))
        assert app.left == 0


async def test_stop_without_saving_cancels_the_save_of_the_sandbox(app: Dashboard, sandbox: Sandbox) -> None:
    sandbox.stake = dataclasses.replace(STAKE, saves=True)
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await asks(pilot, app)
        await pilot.press("y")
        await ends(pilot, app)
    assert sandbox.asked == [control.CountWork(), control.SaveWork(off=True)]


async def test_a_slow_count_does_not_delay_the_question(
    app: Dashboard, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent can delay the count. The question shows the last known one, and the late answer changes nothing."""
    app.source.say(e.WorkCounted((REPO,)))  # type: ignore[attr-defined]
    sandbox.gate.clear()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("q")
        await until(pilot, lambda: "counting unsaved work" in screen_text(app))
        said = await asks(pilot, app)  # the same key again
        assert "git takes too long" in said
        assert "/workspace/repo: 3 commits not pushed, 2 files not committed" in said
        await pilot.press("n")
        await until(pilot, lambda: not question(app))
        sandbox.gate.set()
        await until(pilot, lambda: sandbox.answered == 1)
        await settle(pilot)
        assert not question(app)
        monkeypatch.setattr(stopping, "COUNT_SECONDS", 0.05)
        sandbox.gate.clear()
        assert "git takes too long" in await asks(pilot, app)
        await pilot.press("y")
        await ends(pilot, app)
    sandbox.gate.set()


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (40, 12), (30, 10)])
async def test_the_answers_are_on_every_screen(app: Dashboard, sandbox: Sandbox, size: tuple[int, int]) -> None:
    """The rest of the screen shows as much unsaved work as fits."""
    sandbox.stake = dataclasses.replace(
        STAKE, repositories=(REPO, *[dataclasses.replace(REPO, path=f"/workspace/{n}") for n in "abc"])
    )
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        await asks(pilot, app)
        lines = question(app).splitlines()
        assert len(lines) < size[1]
        assert lines[0] == "Stop sandbox look1?"
        assert any("stay" in line for line in lines)
        assert any("y  stop and lose it" in line for line in lines)
        assert any("Unsaved work" in line for line in lines) or size == (30, 10)


async def test_keys_are_locked_after_the_session_closed_unexpectedly(tmp_path: Path, sandbox: Sandbox) -> None:
    source = Told("ready")
    app = of_up(source, tmp_path, locked=True)
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        said = " ".join(screen_text(app).split())
        assert LOCKED.split(":")[0] in said
        assert said.endswith("ctrl+x enable keys")
        await pilot.press("q", "a", "h", "ctrl+x")  # at once: these keys may be meant for the session
        source.moment += 0.5
        await pilot.press("y", "ctrl+x")
        await pilot.click()
        assert sandbox.asked == []
        source.moment += QUIET_SECONDS
        await pilot.press("ctrl+x")
        await settle(pilot)
        assert screen_text(app).endswith("? help   q stop")
        await asks(pilot, app)


async def test_the_help_describes_the_dashboard_of_codetainer_up(app: Dashboard) -> None:
    text = "\n".join(app.keys.help("UTC"))
    assert "stop the sandbox; shows unsaved work and asks first" in text
    assert "ctrl+b d returns here" in text
    assert "the sandbox keeps running" not in text


async def test_a_frozen_session_is_not_opened(tmp_path: Path, sandbox: Sandbox) -> None:
    """Its tmux is frozen, too: the terminal would stay black and ignore keys."""
    source = Told("ready")
    source.say(e.Froze(True))
    app = of_up(source, tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("t")
        assert "the agent is frozen, and its session with it: press F to thaw it" in screen_text(app)
        assert app.left == 0
