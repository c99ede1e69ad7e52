"""What `up` says of the work when it has taken the sandbox down."""

from pathlib import Path

import pytest

from backend.contract.events import Noted, RepositoryWork, Stamped, WorkCounted, WorkSaved, encode
from backend.sandbox.exit_summary import Farewell, said

MAIN = RepositoryWork("/workspace/repo", commits=2, files=1, untracked=2, stashes=1)
WORK = WorkCounted((MAIN,))
LOST = "codetainer: is lost: CODETAINER_AUTOSAVE=exit would have saved it\n"
LINE = "codetainer: was only in the sandbox: /workspace/repo: commits 2, files 3, stashes 1\n"
SAVED_TO = "codetainer: is saved to wip/x of the repository that was cloned\n"
OTHER = RepositoryWork("/workspace/oth\ner", commits=1)
OTHER_LINE = "codetainer: was only in the sandbox: /workspace/oth\\ner: commits 1\n"


@pytest.mark.parametrize(
    ("counted", "saved", "text"),
    [
        (None, None, ""),
        (WorkCounted((RepositoryWork("/workspace/repo"),)), None, ""),
        (WorkCounted((RepositoryWork("/workspace/repo"),), problem="git does\nnot end"), None,
         "codetainer: not all that was in the sandbox is known: git does\\nnot end\n" + LOST),
        (WorkCounted((RepositoryWork("/workspace/repo", notes=("HEAD cannot be read",)),)), None,
         "codetainer: not all that was in the sandbox is known: HEAD cannot be read\n"),
        (WORK, None, LINE + LOST),
        (WORK, WorkSaved("wip/x", problem="no\x1broute"), f"{LINE}codetainer: is lost: no\\x1broute\n"),
        (WORK, WorkSaved("wip/x", "abc", ("big",)),
         f"{LINE}{SAVED_TO}codetainer: left out: big\n"),
        (WorkCounted((MAIN, OTHER)), WorkSaved("wip/x", "abc"),
         f"{LINE}{SAVED_TO}{OTHER_LINE}codetainer: is lost: only the cloned repository is saved\n"),
        (WorkCounted((OTHER, MAIN)), None,
         f"{OTHER_LINE}{LINE}codetainer: is lost: CODETAINER_AUTOSAVE=exit would have saved it\n"),
    ],
)  # fmt: skip
def test_what_is_said(counted: WorkCounted | None, saved: WorkSaved | None, text: str) -> None:
    assert said(counted, saved) == text


def test_only_what_comes_after_is_read(tmp_path: Path) -> None:
    journal = tmp_path / "events.jsonl"
    journal.write_text(encode(Stamped(1.0, 1, WorkSaved("wip/before", "abc"))) + "\n")
    farewell = Farewell(journal)
    with journal.open("a") as file:
        file.writelines(f"{encode(Stamped(2.0, 2, event))}\n" for event in (Noted("info", "x"), WORK))
        file.write('{"half')
    journal.unlink()
    assert "is lost" in farewell.text()


def test_without_a_journal_nothing_is_said(tmp_path: Path) -> None:
    assert Farewell(tmp_path / "none").text() == ""
