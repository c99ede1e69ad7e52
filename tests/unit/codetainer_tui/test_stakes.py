"""What is asked before the sandbox of `codetainer up` is stopped, and the answers that are offered."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from backend.contract import events as e
from backend.contract.control import Reply, WorkAtStake
from backend.contract.events import RepositoryWork, SessionChanged, SessionState, WorkCounted, WorkSaved
from backend.contract.state import State, fold_all
from codetainer_tui.view import stakes
from codetainer_tui.view.stakes import ALL_PUSHED, ALWAYS, NO_REPOSITORY, Question

REPO = RepositoryWork("/workspace/repo", "main", commits=3, files=1, untracked=1)
CLEAN = RepositoryWork("/workspace/repo", "main")
OTHER = RepositoryWork("/workspace/o\x1bther", commits=1)
WIP = "wip/2026-01-31-1402-3f9a"
EXPORT = "To get it from another terminal: codetainer enter --name look1 --root -- codetainer export > work.bundle"


def asked(stake: WorkAtStake, *events: e.Event, saved: tuple[str, ...] = (), problem: str = "") -> Question:
    state = fold_all([e.Stamped(60.0, 1, event) for event in events], State())
    return stakes.question("look1", stake, state, 120.0, saved=saved, problem=problem)


def at_stake(*repositories: RepositoryWork, **more: Any) -> WorkAtStake:
    return dataclasses.replace(WorkAtStake(repositories, 100.0, branch=WIP), **more)


@pytest.mark.parametrize(
    ("stake", "lines", "save", "stop"),
    [
        (at_stake(CLEAN), [ALL_PUSHED], "", "stop"),
        (at_stake(), [NO_REPOSITORY], "", "stop"),
        (
            at_stake(REPO),
            ["Unsaved work that would be lost:", "  /workspace/repo: 3 commits not pushed, 2 files not committed"],
            f"save /workspace/repo to {WIP}, then stop",
            "stop and lose it",
        ),
        (
            at_stake(REPO, OTHER),
            [
                "Unsaved work that would be lost:",
                "  /workspace/repo: 3 commits not pushed, 2 files not committed",
                "  /workspace/o\\x1bther: 1 commit not pushed",
            ],
            f"save /workspace/repo to {WIP}, then stop (other repositories are not saved)",
            "stop and lose it",
        ),
        (
            at_stake(CLEAN, OTHER),  # a save takes the first alone
            ["Unsaved work that would be lost:", "  /workspace/o\\x1bther: 1 commit not pushed"],
            "",
            "stop and lose it",
        ),
        (
            at_stake(REPO, cannot_save="REPO_URL is not set"),
            [
                "Unsaved work that would be lost:",
                "  /workspace/repo: 3 commits not pushed, 2 files not committed",
                "It cannot be saved to wip/: REPO_URL is not set.",
                EXPORT,
            ],
            "",
            "stop and lose it",
        ),
        (
            at_stake(REPO, problem="git did\nnot answer"),
            [
                "Cannot count unsaved work: git did\\nnot answer. Last counted <1 min ago:",
                "Unsaved work that would be lost:",
                "  /workspace/repo: 3 commits not pushed, 2 files not committed",
            ],
            f"save /workspace/repo to {WIP}, then stop",
            "stop and lose it",
        ),
        (
            WorkAtStake(problem="no sandbox is running here"),
            ["Cannot count unsaved work: no sandbox is running here."],
            "save /workspace/repo to a branch wip/..., then stop",
            "stop and lose it",
        ),
        (
            at_stake(dataclasses.replace(CLEAN, notes=("/workspace/repo/inner is a repository of its own: not looked into",))),
            ["/workspace/repo/inner is a repository of its own: not looked into"],
            "",
            "stop",
        ),
    ],
)
def test_what_is_asked(stake: WorkAtStake, lines: list[str], save: str, stop: str) -> None:
    found = asked(stake)
    assert found.text == "Stop sandbox look1?"
    assert list(found.lines) == [*lines, ALWAYS]
    assert (found.save, found.stop, found.drops) == (save, stop, False)


def test_a_save_of_before_is_named() -> None:
    found = asked(at_stake(REPO), WorkSaved(WIP, "abc"))
    assert f"Saved 00:01 to {WIP}. Changes since then would be lost." in found.lines


def test_a_stop_that_would_save_has_to_be_kept_from_it() -> None:
    assert asked(at_stake(REPO, saves=True)).drops


def test_what_the_agent_is_doing_is_broken_off() -> None:
    working = SessionChanged(SessionState.WORKS, "claude")
    assert "The agent works: stopping interrupts it." in asked(at_stake(CLEAN), working).lines
    assert "The agent works: stopping interrupts it." not in asked(at_stake(CLEAN), working, e.Froze(True)).lines


def test_after_a_save_that_failed_the_reason_comes_first() -> None:
    found = asked(at_stake(REPO), problem="cannot save to wip/x: no\nroute")
    assert found.lines[0] == "Saving failed: cannot save to wip/x: no\\nroute"
    assert found.save


def test_after_a_save_that_left_something_out_it_is_named_and_not_saved_again() -> None:
    found = asked(at_stake(REPO), saved=("big.bin",))
    assert found.lines[0] == f"Saved to {WIP}, except for: big.bin"
    assert (found.save, found.stop) == ("", "stop and lose what was not saved")


@pytest.mark.parametrize(
    ("events", "begun"),
    [
        ((), False),
        ((e.BootStarted("0", ()), e.BootFinished(e.BootState.HALTED, 1.0, "rules")), False),
        ((SessionChanged(SessionState.UNKNOWN, "claude"),), True),
        ((SessionChanged(SessionState.UNKNOWN, "claude"), e.BootFinished(e.BootState.HALTED, 1.0, "readiness")), True),
        ((WorkCounted(),), True),
    ],
)
def test_only_what_has_had_an_agent_has_something_to_lose(events: tuple[e.Event, ...], begun: bool) -> None:
    state = fold_all([e.Stamped(60.0, 1, event) for event in events], State())
    assert stakes.has_begun(state) is begun


@pytest.mark.parametrize(
    ("stake", "text"),
    [
        (at_stake(CLEAN), "no unsaved work\n"),
        (at_stake(), "there is no git repository in /workspace\n"),
        (
            at_stake(OTHER, saves=True),
            f"/workspace/o\\x1bther: 1 commit not pushed\nwill be saved to {WIP} when the sandbox stops\n",
        ),
        (
            at_stake(OTHER, cannot_save="REPO_URL is not set"),
            "/workspace/o\\x1bther: 1 commit not pushed\ncannot be saved to wip/: REPO_URL is not set\n",
        ),
        (at_stake(OTHER, problem="no\x1b"), "cannot count unsaved work: no\\x1b\n"),
    ],
)
def test_the_verbs_lines(stake: WorkAtStake, text: str) -> None:
    reply = Reply(True, data=json.loads(json.dumps(dataclasses.asdict(stake))))
    assert stakes.table(reply) == text
