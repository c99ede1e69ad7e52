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


WIP = "wip/2026-01-31-1402-3f9a"
SINCE = e.SinceSave("abc", 1, 0, 1)
COUNTED = "counted 1 min ago"
HERE = "3 commits, 7 files, 1 stash"
THERE = "1 commit in o\\x1bther"
EXPORT_OTHER = "codetainer export $'o\\033ther' > $'o\\033ther.bundle'"


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([WorkCounted((CLEAN,))], f"none   {COUNTED}"),
        ([WorkCounted((REPO,))], f"{HERE}   {COUNTED}"),
        ([WorkCounted((REPO,)), SAVED], f"{HERE}   last saved 00:01 to {WIP}   {COUNTED}"),
        ([SAVED, WorkCounted((REPO,), since=e.SinceSave("other"))], f"{HERE}   last saved 00:01 to {WIP}   {COUNTED}"),
        ([SAVED, WorkCounted((REPO,), since=SINCE)], f"saved 00:01 to {WIP}; since then 1 commit, 1 file   {COUNTED}"),
        (
            [SAVED, WorkCounted((REPO,), since=e.SinceSave("abc"))],
            f"none   saved 00:01 to {WIP}; unchanged since then   {COUNTED}",
        ),
        (
            [SAVED, WorkCounted((REPO, OTHER), since=e.SinceSave("abc"))],
            f"{THERE}   none in repo   saved 00:01 to {WIP}; unchanged since then   {COUNTED}   {EXPORT_OTHER}",
        ),
        (
            [e.BootStarted("0", (), pretend=True), SAVED, WorkCounted((REPO,), since=SINCE)],
            (
                f"{HERE}   saved 00:01 to {WIP} of the pretend internet, which ends with this sandbox; "
                f"since then 1 commit, 1 file   {COUNTED}"
            ),
        ),
        ([WorkCounted((REPO, OTHER))], f"{THERE}   {HERE} in repo   {COUNTED}   {EXPORT_OTHER}"),
        (
            [SAVED, WorkCounted((REPO, OTHER), since=SINCE)],
            f"{THERE}   saved 00:01 to {WIP}; since then 1 commit, 1 file in repo   {COUNTED}   {EXPORT_OTHER}",
        ),
        ([WorkCounted((CLEAN, OTHER))], f"{THERE}   {COUNTED}   {EXPORT_OTHER}"),
        ([WorkCounted((RepositoryWork("/workspace/repo", untracked=9, more=True),))], f"9 files and more   {COUNTED}"),
        ([WorkCounted((RepositoryWork("/workspace/repo", notes=("no",)),))], f"not fully known   {COUNTED}"),
        (
            [WorkCounted((CLEAN, RepositoryWork("/workspace/x", files=1, notes=("HEAD cannot be read",))))],
            f"1 file, not fully known in x   {COUNTED}   codetainer export x > x.bundle",
        ),
        ([WorkCounted((REPO,)), WorkSaved("wip/x", problem="no")], f"{HERE}   not saved: no   {COUNTED}"),
        ([WorkCounted(problem="no")], "not fully known: cannot be counted: no"),
        (
            [WorkCounted((REPO,)), WorkCounted((REPO,), problem="no")],
            f"{HERE}   not fully known: cannot be counted: no   {COUNTED}",
        ),
    ],
)
def test_the_row(events: list[e.Event], words: str) -> None:
    (row,) = [row for row in seen(*events).rows if row.label == "Unsaved work"]
    assert row.text == words
    assert row.tone is (Tone.WARN if ": no" in words else Tone.PLAIN)


@pytest.mark.parametrize(("now", "age"), [(64.0, ""), (78.0, "counted 15 s ago"), (200.0, "counted 2 min ago")])
def test_the_age_of_a_count_is_shown(now: float, age: str) -> None:
    events = (WorkCounted((REPO,)), e.WorkRecounted())
    state = fold_all([e.Stamped(50.0 + 10 * at, 1, event) for at, event in enumerate(events)], State(boot=e.BootState.READY))
    (row,) = [row for row in view(state, now).rows if row.label == "Unsaved work"]
    assert row.text == "   ".join(part for part in (HERE, age) if part)


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
        ["/workspace/o\\x1bther: 1 commit not pushed", f"/workspace/repo: last saved 00:01 to {WIP}", "not saved: no\\nroute",
         f"Run {EXPORT_OTHER} to keep it."],
    ),
    (
        [WorkCounted((OTHER,)), WorkSaved("wip/x", "abc", ("big",)), e.Stopping("SIGTERM")],
        ["/workspace/o\\x1bther: 1 commit not pushed", "/workspace/repo: last saved 00:01 to wip/x", "left out: big"],
    ),
    (
        [WorkCounted((CLEAN,), problem="git does\nnot end"), ENDED],
        ["not fully known: cannot be counted: git does\\nnot end", "Run codetainer export > work.bundle to keep it."],
    ),
    (
        [WorkCounted((RepositoryWork("/workspace/x", notes=("HEAD cannot be read",)),)), ENDED],
        ["/workspace/x: not fully known: HEAD cannot be read", "Run codetainer export x > x.bundle to keep it."],
    ),
    (
        [WorkCounted((OTHER,)), e.ProtectionFailed("a reason")],
        ["/workspace/o\\x1bther: 1 commit not pushed", f"Run {EXPORT_OTHER} to keep it."],
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
    assert "Unsaved work 1 commit in o" in text(found, operator=True)
    assert json.loads(for_programs(seen(WorkCounted((CLEAN,), problem="no"))))["work"]["unknown"] == "no"
    assert json.loads(for_programs(found))["work"] == {
        "commits": 4, "files": 7, "stashes": 1, "saved_to": "wip/2026-01-31-1402-3f9a", "saved_at": 60.0, "save_problem": "",
        "unknown": "", "counted_at": 60.0, "never_saved": ["/workspace/o\\x1bther"],
    }  # fmt: skip
