"""The summary of unsaved work that `up` prints when it has stopped the sandbox."""

from pathlib import Path

import pytest

from backend.contract.events import Noted, RepositoryWork, Stamped, WorkCounted, WorkSaved, encode
from backend.sandbox.exit_summary import ExitSummary, render

MAIN = RepositoryWork("/workspace/repo", commits=2, files=1, untracked=2, stashes=1)
WORK = WorkCounted((MAIN,))
LOST = "codetainer: lost: CODETAINER_AUTOSAVE=exit would have saved it\n"
LINE = "codetainer: unsaved work in /workspace/repo: 2 commits, 3 files, 1 stash\n"
SAVED_TO = "codetainer: saved to branch wip/x of the cloned repository\n"
OTHER = RepositoryWork("/workspace/oth\ner", commits=1)
OTHER_LINE = "codetainer: unsaved work in /workspace/oth\\ner: 1 commit\n"


@pytest.mark.parametrize(
    ("counted", "saved", "text"),
    [
        (None, None, ""),
        (WorkCounted((RepositoryWork("/workspace/repo"),)), None, ""),
        (WorkCounted((RepositoryWork("/workspace/repo"),), problem="git does\nnot end"), None,
         "codetainer: cannot list all unsaved work: git does\\nnot end\n" + LOST),
        (WorkCounted((RepositoryWork("/workspace/repo", notes=("HEAD cannot be read",)),)), None,
         "codetainer: cannot list all unsaved work: HEAD cannot be read\n"),
        (WORK, None, LINE + LOST),
        (WORK, WorkSaved("wip/x", problem="no\x1broute"), f"{LINE}codetainer: lost: no\\x1broute\n"),
        (WORK, WorkSaved("wip/x", "abc", ("big",)),
         f"{LINE}{SAVED_TO}codetainer: left out: big\n"),
        (WorkCounted((MAIN, OTHER)), WorkSaved("wip/x", "abc"),
         f"{LINE}{SAVED_TO}{OTHER_LINE}codetainer: lost: only the cloned repository is saved\n"),
        (WorkCounted((OTHER, MAIN)), None,
         f"{OTHER_LINE}{LINE}codetainer: lost: CODETAINER_AUTOSAVE=exit would have saved it\n"),
    ],
)  # fmt: skip
def test_summary(counted: WorkCounted | None, saved: WorkSaved | None, text: str) -> None:
    assert render(counted, saved) == text


def test_only_new_events_are_read(tmp_path: Path) -> None:
    journal = tmp_path / "events.jsonl"
    journal.write_text(encode(Stamped(1.0, 1, WorkSaved("wip/before", "abc"))) + "\n")
    summary = ExitSummary(journal)
    with journal.open("a") as file:
        file.writelines(f"{encode(Stamped(2.0, 2, event))}\n" for event in (Noted("info", "x"), WORK))
        file.write('{"half')
    journal.unlink()
    assert "codetainer: lost: " in summary.text()


def test_without_a_journal_the_summary_is_empty(tmp_path: Path) -> None:
    assert ExitSummary(tmp_path / "none").text() == ""
