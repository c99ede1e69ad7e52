"""Saves that the operator asks for, their contents, and stops without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.contract.control import Reply
from backend.contract.events import SaveSkipped, SinceSave
from backend.contract.paths import Paths
from backend.session import session
from backend.settings.values import Pretend, Save
from backend.system import SystemFailure
from backend.work import baseline
from backend.work import keeper as keeper_module
from backend.work.baseline import MAX_COMMITS, MAX_FILES, Baseline
from backend.work.save_reply import save_reply
from tests.unit.backend.work.test_keeper import PUSHED, READY, Asked, Journaled

SECOND = {"path": "/workspace/second", "commits": 1}


async def asked_to_save(keeper: Asked) -> Reply:
    return save_reply(*await keeper.save(), keeper.repository)


async def test_a_save_names_its_repository_and_those_that_it_does_not_contain() -> None:
    keeper = Asked(Journaled(*READY))
    keeper.says["save"] = PUSHED
    keeper.says["count"] = {"repositories": [{"path": "/workspace/repo", "commits": 1}, SECOND]}
    reply = await asked_to_save(keeper)
    assert reply.text.splitlines() == [
        f"saved /workspace/repo to {keeper.branch} of octo/repo; it will be saved again when the sandbox stops",
        "left out: big",
        "not saved: /workspace/second: 1 commit not pushed. Run codetainer export second > second.bundle to keep it.",
    ]
    assert reply.data == {"branch": keeper.branch, "left_out": ["big"], "not_saved": ["/workspace/second"]}


async def test_a_save_without_work_does_not_claim_that_it_saved_something() -> None:
    keeper = Asked(Journaled(*READY))
    keeper.says["save"] = {"commit": "", "fingerprint": ""}
    keeper.says["count"] = {"repositories": [{"path": "/workspace/repo"}, SECOND]}
    reply = await asked_to_save(keeper)
    assert reply.text.splitlines() == [
        "nothing to save: /workspace/repo has no unsaved work; later work will be saved when the sandbox stops",
        "not saved: /workspace/second: 1 commit not pushed. Run codetainer export second > second.bundle to keep it.",
    ]


async def test_a_save_without_new_work_does_not_claim_the_one_before() -> None:
    keeper = Asked(Journaled(*READY))
    keeper.says["save"] = PUSHED
    await keeper.save()
    keeper.says["save"] = {"commit": "", "fingerprint": ""}  # the work has been pushed since then
    assert (await asked_to_save(keeper)).text.startswith("nothing to save: ")


async def test_a_save_says_if_other_repositories_could_not_be_counted() -> None:
    keeper = Asked(Journaled(*READY))
    keeper.says |= {"save": PUSHED, "count": SystemFailure("git hangs")}
    unknown = "cannot tell whether other repositories have unsaved work, which is not saved: git hangs"
    assert (await asked_to_save(keeper)).text.splitlines()[-1] == unknown


async def test_a_save_to_the_pretend_internet_is_not_called_a_rescue() -> None:
    keeper = Asked(Journaled(*READY), pretend=Pretend.ON)
    keeper.says["save"] = {"commit": "abc", "fingerprint": "f"}
    assert (await asked_to_save(keeper)).text.splitlines() == [
        (
            f"saved /workspace/repo to {keeper.branch} of the pretend internet, which ends with this sandbox; "
            "it will be saved again when the sandbox stops"
        ),
        "Run codetainer export > work.bundle to keep it.",
    ]
    assert (await keeper.at_stake()).pretend


COMMIT = "a" * 40
KEPT = {"commits": ["b" * 40], "files": "0123456789abcdef"}


async def test_the_contents_of_a_save_are_kept_for_later_counts(tmp_path: Path) -> None:
    keeper = Asked(Journaled(*READY), root=tmp_path)
    file = Paths(tmp_path).saved_work
    file.parent.mkdir(parents=True)
    keeper.says["save"] = {"commit": COMMIT, "fingerprint": "f", "kept": KEPT}
    keeper.says["count"] |= {"since": {"commit": COMMIT, "commits": 2, "files": -1}}
    _, stake = await keeper.save()
    assert Baseline.read(file) == Baseline(COMMIT, ("b" * 40,), frozenset(("0123456789abcdef",)))
    assert stake.since == SinceSave(COMMIT, 2)
    keeper.says["save"] = {"commit": "c" * 40, "fingerprint": "g", "kept": None}
    _, stake = await keeper.save()
    assert not file.exists()
    assert stake.since is None, "it belongs to the save before"


@pytest.mark.parametrize(
    "kept",
    [None, 7, {}, {"commits": 7, "files": ""}, {"commits": ["x"], "files": ""}, {"commits": [7], "files": ""},
     {"commits": [], "files": 7}, {"commits": [], "files": "\n"}, {"commits": [], "files": "0" * 16 * (MAX_FILES + 1)},
     {"commits": ["b" * 40] * (MAX_COMMITS + 1), "files": ""}],
)  # fmt: skip
def test_invalid_contents_of_a_save_are_not_kept(kept: object) -> None:
    with pytest.raises(ValueError, match="not known"):
        baseline.checked(COMMIT, kept)


@pytest.mark.parametrize(
    ("when", "drops", "repo_url", "pretend", "repositories", "skipped"),
    [
        (Save.OFF, False, "https://x.example/o/r", Pretend.OFF, [{"path": "/workspace/repo", "files": 1}],
         SaveSkipped(by_operator=False, covered=True)),
        (Save.OFF, False, "https://x.example/o/r", Pretend.OFF, [SECOND], SaveSkipped(by_operator=False, covered=False)),
        (Save.OFF, False, "", Pretend.OFF, [{"path": "/workspace/repo", "files": 1}], SaveSkipped(covered=False)),
        (Save.OFF, False, "https://x.example/o/r", Pretend.ON, [{"path": "/workspace/repo", "files": 1}], SaveSkipped()),
        (Save.EXIT, True, "https://x.example/o/r", Pretend.OFF, [{"path": "/workspace/repo", "files": 1}],
         SaveSkipped(by_operator=True, covered=True)),
        (Save.OFF, False, "https://x.example/o/r", Pretend.OFF, [{"path": "/workspace/repo"}], None),
    ],
)  # fmt: skip
async def test_a_stop_without_a_save_reports_whether_one_would_have_helped(
    monkeypatch: pytest.MonkeyPatch, when: Save, drops: bool, repo_url: str, pretend: Pretend, repositories: Any,
    skipped: SaveSkipped | None,
) -> None:  # fmt: skip
    async def nothing(*_: object) -> None: ...

    monkeypatch.setattr(keeper_module, "end_agent", nothing)
    monkeypatch.setattr(session, "end", nothing)
    journal = Journaled(*READY)
    keeper = Asked(journal, repo_url=repo_url, when=when, pretend=pretend)
    keeper.says["count"] = {"repositories": repositories}
    keeper._began = True
    if drops:
        keeper.drop()
    await keeper.last(10.0, nothing)
    assert [event for event in journal.events if isinstance(event, SaveSkipped)] == ([skipped] if skipped else [])
