"""The question before `codetainer up` stops its sandbox, and its answers."""

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
            at_stake(CLEAN, OTHER),  # a save covers only the first
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
            at_stake(dataclasses.replace(CLEAN, notes=("/workspace/repo/inner is a separate repository: not examined",))),
            ["/workspace/repo/inner is a separate repository: not examined"],
            "",
            "stop",
        ),
    ],
)
def test_the_question(stake: WorkAtStake, lines: list[str], save: str, stop: str) -> None:
    prompt = asked(stake)
    assert prompt.text == "Stop sandbox look1?"
    assert list(prompt.lines) == [*lines, ALWAYS]
    assert (prompt.save, prompt.stop, prompt.drops) == (save, stop, False)


def test_an_earlier_save_is_named() -> None:
    prompt = asked(at_stake(REPO), WorkSaved(WIP, "abc"))
    assert f"Saved 00:01 to {WIP}. Changes since then would be lost." in prompt.lines


def test_stopping_without_a_save_must_prevent_the_automatic_one() -> None:
    assert asked(at_stake(REPO, saves=True)).drops


def test_the_promptmentions_an_interrupted_agent() -> None:
    working = SessionChanged(SessionState.WORKS, "claude")
    assert "The agent is working: stopping interrupts it." in asked(at_stake(CLEAN), working).lines
    assert "The agent is working: stopping interrupts it." not in asked(at_stake(CLEAN), working, e.Froze(True)).lines


def test_after_a_failed_save_the_reason_comes_first() -> None:
    prompt = asked(at_stake(REPO), problem="cannot save to wip/x: no\nroute")
    assert prompt.lines[0] == "Saving failed: cannot save to wip/x: no\\nroute"
    assert prompt.save


def test_files_left_out_of_a_save_are_named_and_no_second_save_is_offered() -> None:
    prompt = asked(at_stake(REPO), saved=("big.bin",))
    assert prompt.lines[0] == f"Saved to {WIP}, except for: big.bin"
    assert (prompt.save, prompt.stop) == ("", "stop and lose what was not saved")


@pytest.mark.parametrize(
    ("events", "begun"),
    [
        ((), False),
        ((e.BootStarted("0", ()), e.BootFinished(e.BootState.HALTED, 1.0, "rules")), False),
        ((SessionChanged(SessionState.UNKNOWN, "claude"),), True),
        ((SessionChanged(SessionState.UNKNOWN, "claude"), e.ProtectionFailed("a reason")), True),
        ((WorkCounted(),), True),
    ],
)
def test_without_an_agent_there_is_nothing_to_lose(events: tuple[e.Event, ...], begun: bool) -> None:
    state = fold_all([e.Stamped(60.0, 1, event) for event in events], State())
    assert stakes.has_begun(state) is begun


@pytest.mark.parametrize(
    ("stake", "text"),
    [
        (at_stake(CLEAN), "no unsaved work\n"),
        (at_stake(), "no git repository in /workspace\n"),
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
def test_the_output_of_the_verb(stake: WorkAtStake, text: str) -> None:
    reply = Reply(True, data=json.loads(json.dumps(dataclasses.asdict(stake))))
    assert stakes.table(reply) == text
