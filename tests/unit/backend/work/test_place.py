"""Where a repository keeps what, told without git."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.work import place
from backend.work.place import Place


def test_a_git_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert place.locate(tmp_path) == Place(tmp_path, tmp_path / ".git", tmp_path / ".git")


def test_a_work_tree_of_another(tmp_path: Path) -> None:
    own = tmp_path / "main/.git/worktrees/other"
    own.mkdir(parents=True)
    (own / "commondir").write_text("../..\n")
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / ".git").write_text("gitdir: ../main/.git/worktrees/other\n")
    assert place.locate(folder) == Place(folder, own, tmp_path / "main/.git")


def test_a_bare_one(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "HEAD").write_text("")
    assert place.locate(tmp_path) == Place(tmp_path, tmp_path, tmp_path, bare=True)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("gitdir: /nonexistent\n", "the git folder /nonexistent does not exist"),
        ("garbage", ".git does not name the git folder"),
        ("", ".git does not name the git folder"),
    ],
)
def test_what_leads_nowhere(tmp_path: Path, said: str, problem: str) -> None:
    (tmp_path / ".git").write_text(said)
    assert place.locate(tmp_path) == Place(tmp_path, problem=problem)


def test_no_repository_is_found_above(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "below").mkdir()
    assert place.locate(tmp_path / "below") is None


def test_the_clone_counts_without_its_git_folder_too(tmp_path: Path) -> None:
    for name in ("repo", "other", "git"):
        (tmp_path / name).mkdir()
    (tmp_path / "git/.git").mkdir()
    assert [found.folder.name for found in place.find(tmp_path)] == ["git"]  # an empty folder is no clone
    (tmp_path / "repo/file").write_text("")
    assert [found.folder.name for found in place.find(tmp_path)] == ["repo", "git"]


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    assert [place.contents(tmp_path / name) for name in ("pipe", "link", ".")] == [None, None, None]
