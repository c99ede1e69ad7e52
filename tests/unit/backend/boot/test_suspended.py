"""Which archive a sandbox begins with, and what root takes over from it."""

from __future__ import annotations

import gzip
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from backend.boot.plan import StepFailed, StepSkipped, StepWarned
from backend.boot.steps import suspended
from backend.context import Boot
from backend.contract.events import Event, Muted
from backend.contract.paths import Paths
from backend.suspension.archive import Writer
from backend.suspension.description import FOLDERS, Manifest, Suspended
from backend.suspension.resumed import NotResumable
from backend.system import SystemFailure
from network.gate import budget

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="pytest's folders belong to root only if root runs it")

ACCOUNT = budget.as_json(budget.Account(total=budget.Used(3, 10, 20, 30, 0.5)))
STATE = Suspended(at=1000.0, repository="https://github.com/o/r", budget=ACCOUNT, muted={"old.example": 5.0, "b.example": 0.0})
LINES = b'{"at":1,"seq":1,"kind":"noted"}\n'


def archive(file: Path, state: Suspended = STATE, journal: bytes | None = None) -> Path:
    with file.open("wb") as out:
        writer = Writer(out.fileno(), lambda _: None)
        writer.begin(state, gzip.compress(LINES) if journal is None else journal)
        writer.finish(Manifest(0, 0, dict.fromkeys(FOLDERS, 0)))
    return file


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    paths = Paths(tmp_path)
    for folder in (paths.run, paths.opt, tmp_path / "volume"):
        folder.mkdir(parents=True)
    (tmp_path / "volume").chmod(0o700)
    settings = SimpleNamespace(
        state="", repo_url="https://github.com/o/r", budget=(), tmpfs_workspace=1 << 20, tmpfs_home=1 << 20, tmpfs_tmp=1 << 20
    )
    events: list[Event] = []
    return cast(Boot, SimpleNamespace(settings=settings, paths=paths, resumed=None, emit=events.append, events=events))


def kept_in(boot: Boot, tmp_path: Path) -> Path:
    cast(SimpleNamespace, boot.settings).state = str(tmp_path / "volume")
    return tmp_path / "volume"


async def test_without_an_archive_there_is_nothing_to_resume(boot: Boot, tmp_path: Path) -> None:
    with pytest.raises(StepSkipped, match="nothing to resume"):
        await suspended.run(boot)
    kept_in(boot, tmp_path)
    with pytest.raises(StepSkipped, match="has no archive yet"):
        await suspended.run(boot)


async def test_what_root_has_kept_is_taken_over(boot: Boot) -> None:
    archive(boot.paths.resume)
    assert await suspended.run(boot) == "of 1970-01-01 00:16:40 UTC"
    assert json.loads(boot.paths.budget.read_text()) == json.loads(json.dumps(ACCOUNT))
    assert boot.paths.journal_before.read_bytes() == LINES
    assert cast(SimpleNamespace, boot).events == [Muted("b.example", 0.0)]
    assert boot.resumed is not None


async def test_the_newest_whole_archive_is_chosen_and_kept_on_a_retry(boot: Boot, tmp_path: Path) -> None:
    volume = kept_in(boot, tmp_path)
    archive(volume / "work-00000001.tar")
    newest = archive(volume / "work-00000002.tar", replace(STATE, at=time.time()))
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.raises(StepWarned, match=r"from an older archive: work-00000002\.tar: incomplete: its end is missing"):
        await suspended.run(boot)
    archive(volume / "work-00000003.tar", replace(STATE, at=2000.0))  # of this sandbox
    boot.paths.budget.unlink()
    assert await suspended.run(boot) == "of 1970-01-01 00:16:40 UTC"
    assert not boot.paths.budget.exists()


async def test_boot_halts_if_none_is_whole(boot: Boot, tmp_path: Path) -> None:
    (kept_in(boot, tmp_path) / "work-00000001.tar").write_bytes(b"x" * 9000)
    with pytest.raises(StepFailed, match=r"is whole: work-00000001\.tar: not an archive of codetainer suspend") as error:
        await suspended.run(boot)
    assert error.value.remedy.startswith("Name another archive, or move the files out of")


async def test_boot_halts_if_it_is_of_another_repository(boot: Boot) -> None:
    archive(boot.paths.resume, replace(STATE, repository="https://github.com/o/other"))
    with pytest.raises(NotResumable, match="it is of https://github"):
        await suspended.run(boot)
    assert not boot.paths.budget.exists()


async def test_the_name_of_another_repository_controls_no_terminal(boot: Boot) -> None:
    archive(boot.paths.resume, replace(STATE, repository="https://a.example/\x1b]0;title\x07\n"))
    with pytest.raises(NotResumable) as raised:
        await suspended.run(boot)
    assert f"{raised.value}{raised.value.hint}".isprintable()


@pytest.mark.parametrize(
    ("state", "journal"),
    [(replace(STATE, budget={"total": [1]}), None), (STATE, b"not gzip"), (replace(STATE, budget={"x": 1}), None)],
)
async def test_boot_halts_if_what_root_has_kept_is_not_valid(boot: Boot, state: Suspended, journal: bytes | None) -> None:
    archive(boot.paths.resume, state, journal)
    with pytest.raises(StepFailed, match=r"cannot resume the archive: its (budget|journal) is not valid"):
        await suspended.run(boot)
    assert boot.resumed is None


async def test_a_journal_that_unpacks_to_more_is_cut(boot: Boot) -> None:
    archive(boot.paths.resume, journal=gzip.compress(bytes(64 << 20)))
    await suspended.run(boot)
    assert boot.paths.journal_before.stat().st_size == suspended.MAX_JOURNAL


async def test_a_folder_that_does_not_exist_halts_boot(boot: Boot) -> None:
    cast(SimpleNamespace, boot.settings).state = "/nonexistent/volume"
    with pytest.raises(SystemFailure, match="cannot use CODETAINER_STATE=/nonexistent/volume"):
        await suspended.run(boot)
