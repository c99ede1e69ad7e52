"""The question before `codetainer up` stops its sandbox, and its answers."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from backend.contract import events as e
from backend.contract.control import Reply, WorkAtStake
from backend.contract.events import RepositoryWork, SessionChanged, SessionState, SinceSave, WorkCounted, WorkSaved
from backend.contract.state import State, fold_all
from codetainer_tui.view import stakes
from codetainer_tui.view.stakes import ALL_PUSHED, ALWAYS, NO_REPOSITORY, Question

REPO = RepositoryWork("/workspace/repo", "main", commits=3, files=1, untracked=1)
CLEAN = RepositoryWork("/workspace/repo", "main")
OTHER = RepositoryWork("/workspace/o\x1bther", commits=1)
WIP = "wip/2026-01-31-1402-3f9a"
SECOND = RepositoryWork("/workspace/second", commits=1)
ENTER = "run in another terminal: codetainer enter --name look1 --root --"
EXPORT = f"To keep /workspace/repo, {ENTER} codetainer export > work.bundle"
EXPORT_OTHER = f"To keep /workspace/o\\x1bther, {ENTER} codetainer export $'o\\033ther' > $'o\\033ther.bundle'"
EXPORT_SECOND = f"To keep /workspace/second, {ENTER} codetainer export second > second.bundle"
SAVE = WorkSaved(WIP, "abc")
UNCHANGED = f"/workspace/repo was saved at 00:01 to {WIP} and has not changed since then."


def asked(stake: WorkAtStake, *events: e.Event, left_out: tuple[str, ...] = (), problem: str = "") -> Question:
    state = fold_all([e.Stamped(60.0, 1, event) for event in events], State())
    return stakes.question("look1", stake, state, 120.0, left_out=left_out, problem=problem)


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
                EXPORT_OTHER,
            ],
            f"save /workspace/repo to {WIP}, then stop (other repositories not saved)",
            "stop and lose it (other repositories not saved)",
        ),
        (
            at_stake(CLEAN, OTHER),  # a save covers only the first
            ["Unsaved work that would be lost:", "  /workspace/o\\x1bther: 1 commit not pushed", EXPORT_OTHER],
            "",
            "stop and lose it (other repositories not saved)",
        ),
        (
            at_stake(REPO, cannot_save="REPO_URL is not set"),
            [
                "Unsaved work that would be lost:",
                "  /workspace/repo: 3 commits not pushed, 2 files not committed",
                "/workspace/repo cannot be saved to wip/: REPO_URL is not set.",
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
            ["/workspace/repo: not fully known: /workspace/repo/inner is a separate repository: not examined"],
            "",
            "stop and lose it",
        ),
    ],
)
def test_the_question(stake: WorkAtStake, lines: list[str], save: str, stop: str) -> None:
    prompt = asked(stake)
    assert prompt.text == "Stop sandbox look1?"
    assert list(prompt.lines) == [*lines, ALWAYS]
    assert (prompt.save, prompt.stop, prompt.drops) == (save, stop, stop != "stop")


def saved_at_stake(*repositories: RepositoryWork, since: SinceSave | None, **more: Any) -> WorkAtStake:
    return at_stake(*repositories, saved=SAVE, saved_at=60.0, since=since, **more)


@pytest.mark.parametrize(
    ("stake", "lines", "stop"),
    [
        (saved_at_stake(REPO, since=SinceSave("abc")), [UNCHANGED], "stop"),
        (
            saved_at_stake(REPO, SECOND, since=SinceSave("abc")),
            ["Unsaved work that would be lost:", "  /workspace/second: 1 commit not pushed", UNCHANGED, EXPORT_SECOND],
            "stop and lose it (other repositories not saved)",
        ),
        (
            saved_at_stake(REPO, since=SinceSave("abc", 1, 0, 1)),
            [
                "Unsaved work that would be lost:",
                "  /workspace/repo: 1 commit, 1 file since the save at 00:01",
                f"/workspace/repo was saved at 00:01 to {WIP}. Only its changes since then would be lost.",
            ],
            "stop and lose it",
        ),
        (
            saved_at_stake(REPO, since=SinceSave("of another save")),
            [
                "Unsaved work:",
                "  /workspace/repo: 3 commits not pushed, 2 files not committed",
                f"/workspace/repo was last saved at 00:01 to {WIP}. Its changes since then would be lost.",
            ],
            "stop and lose it",
        ),
        (
            dataclasses.replace(saved_at_stake(REPO, since=SinceSave("abc")), saved=WorkSaved(WIP, "abc", ("big",))),
            [UNCHANGED, "Not in that save: big"],
            "stop",
        ),
    ],
)
def test_an_earlier_save_is_named_with_the_changes_since_then(stake: WorkAtStake, lines: list[str], stop: str) -> None:
    prompt = asked(stake)
    assert list(prompt.lines) == [*lines, ALWAYS]
    assert (prompt.stop, prompt.drops) == (stop, stop != "stop")


def test_until_work_is_counted_the_journal_names_the_last_save() -> None:
    prompt = asked(at_stake(REPO, problem="git takes too long"), SAVE, WorkCounted((REPO,), since=SinceSave("abc")))
    assert f"/workspace/repo was last saved at 00:01 to {WIP}. Its changes since then would be lost." in prompt.lines


def test_stopping_without_a_save_says_that_it_cancels_the_planned_one() -> None:
    planned = "A save of /workspace/repo is planned for the end; stopping without a save cancels it."
    prompt = asked(at_stake(REPO, saves=True))
    assert (prompt.stop, prompt.drops) == ("stop without a save and lose it", True)
    assert planned in prompt.lines
    assert planned not in asked(at_stake(REPO, saves=True, cannot_save="boot has halted")).lines
    assert planned not in asked(at_stake(CLEAN, SECOND, saves=True)).lines


def test_a_save_to_the_pretend_internet_is_not_offered() -> None:
    prompt = asked(at_stake(REPO, SECOND, pretend=True, saves=True))
    assert (prompt.save, prompt.stop) == ("", "stop and lose it (other repositories not saved)")
    assert "A save would go to the pretend internet, which ends with this sandbox." in prompt.lines
    assert EXPORT in prompt.lines
    assert EXPORT_SECOND in prompt.lines
    after = asked(saved_at_stake(REPO, since=SinceSave("abc"), pretend=True))
    assert "  /workspace/repo: 3 commits not pushed, 2 files not committed" in after.lines


def test_the_promptmentions_an_interrupted_agent() -> None:
    working = SessionChanged(SessionState.WORKS, "claude")
    assert "The agent is working: stopping interrupts it." in asked(at_stake(CLEAN), working).lines
    assert "The agent is working: stopping interrupts it." not in asked(at_stake(CLEAN), working, e.Froze(True)).lines


def test_after_a_failed_save_the_reason_comes_first() -> None:
    prompt = asked(at_stake(REPO), problem="cannot save to wip/x: no\nroute")
    assert prompt.lines[0] == "Saving failed: cannot save to wip/x: no\\nroute"
    assert prompt.save


def test_files_left_out_of_a_save_are_named_and_no_second_save_is_offered() -> None:
    prompt = asked(at_stake(REPO), left_out=("big.bin",))
    assert prompt.lines[0] == f"/workspace/repo was saved to {WIP}, except for: big.bin"
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
            at_stake(REPO, SECOND, saves=True),
            (
                "/workspace/repo: 3 commits not pushed, 2 files not committed\n/workspace/second: 1 commit not pushed\n"
                f"/workspace/repo will be saved to {WIP} when the sandbox stops\n"
                "/workspace/second is never saved to wip/. Run codetainer export second > second.bundle to keep it.\n"
            ),
        ),
        (
            saved_at_stake(REPO, since=SinceSave("abc", 1), saves=True),
            (
                "/workspace/repo: 3 commits not pushed, 2 files not committed\n"
                f"/workspace/repo: saved 00:01 to {WIP}; since then 1 commit\n"
                f"/workspace/repo will be saved to {WIP} when the sandbox stops\n"
            ),
        ),
        (
            at_stake(REPO),
            (
                "/workspace/repo: 3 commits not pushed, 2 files not committed\n"
                "/workspace/repo will not be saved when the sandbox stops. Run codetainer save to save it now and then.\n"
            ),
        ),
        (
            at_stake(REPO, saves=True, pretend=True),
            (
                "/workspace/repo: 3 commits not pushed, 2 files not committed\n"
                f"/workspace/repo will be saved to {WIP} when the sandbox stops, "
                "but only on the pretend internet, which ends with this sandbox\n"
                "Run codetainer export > work.bundle to keep it.\n"
            ),
        ),
        (
            at_stake(REPO, saves=True, cannot_save="REPO_URL is not set"),
            (
                "/workspace/repo: 3 commits not pushed, 2 files not committed\n"
                "/workspace/repo cannot be saved to wip/: REPO_URL is not set\n"
                "Run codetainer export > work.bundle to keep it.\n"
            ),
        ),
        (
            at_stake(dataclasses.replace(SECOND, notes=("HEAD cannot be read",))),
            (
                "/workspace/second: 1 commit not pushed; not fully known: HEAD cannot be read\n"
                "/workspace/second is never saved to wip/. Run codetainer export second > second.bundle to keep it.\n"
            ),
        ),
        (at_stake(OTHER, problem="no\x1b"), "cannot count unsaved work: no\\x1b\n"),
    ],
)
def test_the_output_of_the_verb(stake: WorkAtStake, text: str) -> None:
    reply = Reply(True, data=json.loads(json.dumps(dataclasses.asdict(stake))))
    assert stakes.table(reply) == text
