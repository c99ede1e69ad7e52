"""The summary of unsaved work that `up` prints when it has stopped the sandbox."""

import dataclasses
from pathlib import Path

import pytest

from backend.contract.events import Noted, RepositoryWork, SaveSkipped, SinceSave, Stamped, WorkCounted, WorkSaved, encode
from backend.contract.state import State
from backend.sandbox.exit_summary import Ending, ExitSummary, render

MAIN = RepositoryWork("/workspace/repo", commits=2, files=1, untracked=2, stashes=1)
WORK = WorkCounted((MAIN,))
AMOUNT = "/workspace/repo: 2 commits, 3 files and 1 stash"
LOST = f"{AMOUNT} existed only in the sandbox and are lost."
ADVICE = "CODETAINER_AUTOSAVE=exit would have saved the work in /workspace/repo."
OTHER = RepositoryWork("/workspace/oth\ner", commits=1)
OTHER_LOST = "/workspace/oth\\ner: 1 commit existed only in the sandbox and is lost."
ONLY = "Saves contain only /workspace/repo."
SAVED = WorkSaved("wip/x", "abc")
BEFORE = State(repository="octo/repo", saved=SAVED, saved_at=18 * 3600 + 11 * 60.0)
AT = "at 18:11 to branch wip/x of octo/repo"


def since(commits: int = 0, files: int = 0, untracked: int = 0, *, commit: str = "abc") -> WorkCounted:
    return WorkCounted((MAIN,), since=SinceSave(commit, commits, files, untracked))


@pytest.mark.parametrize(
    ("end", "lines"),
    [
        (Ending(), []),
        (Ending(counted=WorkCounted((RepositoryWork("/workspace/repo"),))), []),
        (
            Ending(
                counted=WorkCounted((RepositoryWork("/workspace/repo"),), problem="git does\nnot end"),
                skipped=SaveSkipped(covered=True),
            ),
            [ADVICE, "not fully known: cannot count unsaved work: git does\\nnot end"],
        ),
        (
            Ending(counted=WorkCounted((RepositoryWork("/workspace/repo", notes=("HEAD cannot be read",)),))),
            ["/workspace/repo: not fully known: HEAD cannot be read"],
        ),
        (Ending(counted=WORK, skipped=SaveSkipped(covered=True)), [LOST, ADVICE]),
        (Ending(counted=WORK, skipped=SaveSkipped(by_operator=True, covered=True)), [LOST]),
        (Ending(counted=WorkCounted((OTHER,)), skipped=SaveSkipped()), [OTHER_LOST]),
        (Ending(counted=WORK, saved=WorkSaved("wip/x", problem="no\x1broute")), [LOST, "The final save failed: no\\x1broute."]),
        (
            Ending(State(repository="octo/repo"), WORK, WorkSaved("wip/x", "abc", ("big",))),
            [f"{AMOUNT} are saved to branch wip/x of octo/repo.", "Not in the save: big"],
        ),
        (
            Ending(State(repository="octo/repo"), WorkCounted((RepositoryWork("/workspace/repo", files=1), OTHER)), SAVED),
            ["/workspace/repo: 1 file is saved to branch wip/x of octo/repo.", f"{OTHER_LOST} {ONLY}"],
        ),
        (Ending(counted=WorkCounted((OTHER, MAIN)), skipped=SaveSkipped(covered=True)), [LOST, ADVICE, OTHER_LOST]),
        (
            Ending(BEFORE, since(1, 0, 1), skipped=SaveSkipped(by_operator=True, covered=True)),
            [f"/workspace/repo was saved {AT}. Since then 1 commit and 1 file were added or changed, and are lost."],
        ),
        (
            Ending(BEFORE, since(0, 1)),
            [f"/workspace/repo was saved {AT}. Since then 1 file was added or changed, and is lost."],
        ),
        (Ending(BEFORE, since()), [f"/workspace/repo was saved {AT}, and has not changed since then."]),
        (
            Ending(BEFORE, since(commit="of another save")),
            [f"/workspace/repo was last saved {AT}. Changes since then are lost."],
        ),
        (
            Ending(dataclasses.replace(BEFORE, pretend=True), since()),
            [LOST],
        ),
        (
            Ending(dataclasses.replace(BEFORE, pretend=True), WORK, SAVED),
            [f"{AMOUNT} were saved to branch wip/x of the pretend internet, and are lost with it."],
        ),
    ],
)
def test_summary(end: Ending, lines: list[str]) -> None:
    assert render(end).splitlines() == [f"codetainer: {line}" for line in lines]


def test_only_new_events_are_read(tmp_path: Path) -> None:
    journal = tmp_path / "events.jsonl"
    journal.write_text(encode(Stamped(1.0, 1, WorkSaved("wip/before", "abc"))) + "\n")
    summary = ExitSummary(journal)
    with journal.open("a") as file:
        file.writelines(f"{encode(Stamped(2.0, 2, event))}\n" for event in (Noted("info", "x"), WORK, SaveSkipped()))
        file.write('{"half')
    journal.unlink()
    text = summary.text()
    assert "/workspace/repo was last saved at 00:00 to branch wip/before" in text
    assert "are saved" not in text


def test_without_a_journal_the_summary_is_empty(tmp_path: Path) -> None:
    assert ExitSummary(tmp_path / "none").text() == ""
