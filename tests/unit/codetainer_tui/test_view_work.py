"""Unsaved work on screen: always a row, and a block if it may be lost."""

from __future__ import annotations

import json

import pytest

from backend.contract import events as e
from backend.contract.events import RepositoryWork, SessionState, WorkCounted, WorkSaved
from backend.contract.state import State, fold_all
from codetainer_tui.status import for_programs, text
from codetainer_tui.view import Tone, View, view

REPO = RepositoryWork("/workspace/repo", "main", commits=3, files=2, untracked=5, stashes=1)
CLEAN = RepositoryWork("/workspace/repo", "main")
OTHER = RepositoryWork("/workspace/o\x1bther", "x", commits=1)
SAVED = WorkSaved("wip/2026-01-31-1402-3f9a", "abc")
ENDED = e.SessionChanged(SessionState.ENDED, "claude", 60.0)


def seen(*events: e.Event) -> View:
    return view(fold_all([e.Stamped(60.0, 1, event) for event in events], State(boot=e.BootState.READY)), 120.0)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([WorkCounted((CLEAN,))], "none"),
        ([WorkCounted((REPO,))], "3 commits, 7 files, 1 stash"),
        ([WorkCounted((REPO,)), SAVED], "3 commits, 7 files, 1 stash   saved 00:01 to wip/2026-01-31-1402-3f9a"),
        ([WorkCounted((REPO, OTHER))], "3 commits, 7 files, 1 stash in repo   1 commit in o\\x1bther"),
        ([WorkCounted((RepositoryWork("/x", untracked=9, more=True),))], "9 files and more"),
        ([WorkCounted((RepositoryWork("/x", notes=("cannot be counted",)),))], "could not be counted completely"),
        ([WorkCounted((REPO,)), WorkSaved("wip/x", problem="no")], "3 commits, 7 files, 1 stash   no"),
        ([WorkCounted(problem="no")], "could not be counted completely   cannot be counted: no"),
        ([WorkCounted((REPO,), problem="no")], "3 commits, 7 files, 1 stash   cannot be counted: no"),
    ],
)
def test_the_row(events: list[e.Event], words: str) -> None:
    (row,) = [row for row in seen(*events).rows if row.label == "Unsaved work"]
    assert row.text == words
    assert row.tone is (Tone.WARN if words.endswith("no") else Tone.PLAIN)


def test_without_a_repository_there_is_no_row() -> None:
    assert [row.label for row in seen(WorkCounted()).rows if row.label == "Unsaved work"] == []


BLOCKS = [
    ([WorkCounted((REPO,))], []),
    ([WorkCounted((CLEAN,)), ENDED], []),
    (
        [WorkCounted((REPO,)), ENDED],
        [
            "/workspace/repo: 3 commits not pushed, 7 files not committed, 1 stash",
            "Run codetainer export > work.bundle to keep it.",
        ],
    ),
    (
        [WorkCounted((OTHER,)), SAVED, WorkSaved("wip/x", problem="no\nroute")],
        ["/workspace/o\\x1bther: 1 commit not pushed", "saved 00:01 to wip/2026-01-31-1402-3f9a", "not saved: no\\nroute",
         "Run codetainer export > work.bundle to keep it."],
    ),
    (
        [WorkCounted((OTHER,)), WorkSaved("wip/x", "abc", ("big",)), e.Stopping("SIGTERM")],
        ["/workspace/o\\x1bther: 1 commit not pushed", "saved 00:01 to wip/x", "left out: big"],
    ),
    (
        [WorkCounted((CLEAN,), problem="git does\nnot end"), ENDED],
        ["cannot be counted: git does\\nnot end", "Run codetainer export > work.bundle to keep it."],
    ),
    (
        [WorkCounted((RepositoryWork("/x", notes=("HEAD cannot be read",)),)), ENDED],
        ["HEAD cannot be read", "Run codetainer export > work.bundle to keep it."],
    ),
    (
        [WorkCounted((OTHER,)), e.ProtectionFailed("a reason")],
        ["/workspace/o\\x1bther: 1 commit not pushed", "Run codetainer export > work.bundle to keep it."],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("events", "lines"), BLOCKS)
def test_the_block(events: list[e.Event], lines: list[str]) -> None:
    blocks = [block for block in seen(*events).blocks if block.title == "Work that exists only in this sandbox"]
    assert [line for block in blocks for line in block.lines] == lines


def test_a_save_that_succeeds_ends_the_problem() -> None:
    assert seen(WorkCounted((REPO,)), WorkSaved("wip/x", problem="no"), SAVED).work.save_problem == ""


def test_unsaved_work_as_text_and_as_json() -> None:
    found = seen(WorkCounted((REPO, OTHER)), SAVED)
    assert "Unsaved work 3 commits" in text(found, operator=True)
    assert json.loads(for_programs(seen(WorkCounted((CLEAN,), problem="no"))))["work"]["unknown"] == "no"
    assert json.loads(for_programs(found))["work"] == {
        "commits": 4, "files": 7, "stashes": 1, "saved_to": "wip/2026-01-31-1402-3f9a", "saved_at": 60.0, "save_problem": "",
        "unknown": "",
    }  # fmt: skip
