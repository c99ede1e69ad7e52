"""The pretend git host's repositories are made of the described files, whatever their names are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from backend.sandbox.pretend.repositories import DEMO, make_parent, make_repository

pytestmark = pytest.mark.netns

FILES = {
    **DEMO,
    "deep/er/with blank": "no newline at the end",
    'a "quoted" \\ name': "data 3\ncommit refs/heads/other\n",
    "two\nlines": "",
    " blank first": "\r\n",
    "ünïcode": "ünïcode\n",
    ".gitignore": "*\n",
    "ignored": "and still in the repository\n",
}


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True, encoding="utf-8").stdout


def test_each_file_is_a_commit_on_main(tmp_path: Path) -> None:
    make_repository(tmp_path, "example/demo", FILES)
    bare = tmp_path / "example/demo.git"
    names = [name for name in git(bare, "ls-tree", "-rz", "--name-only", "HEAD").split("\0") if name]
    assert sorted(names) == sorted(FILES)
    for name, text in FILES.items():
        raw = subprocess.run(["git", "-C", str(bare), "cat-file", "blob", f"HEAD:{name}"], capture_output=True, check=True)
        assert raw.stdout == text.encode()
    assert git(bare, "rev-list", "--count", "--all").strip() == str(len(FILES))
    assert git(bare, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]
    assert git(bare, "symbolic-ref", "HEAD").strip() == "refs/heads/main"
    assert git(bare, "log", "--reverse", "--format=%an <%ae> %s", "HEAD").startswith(
        "Example <example@example.com> Step 1: README.md\n"
    )
    assert git(bare, "fsck", "--strict") == ""


def test_the_parent_of_a_fork_has_the_same_history(tmp_path: Path) -> None:
    make_repository(tmp_path, "example/demo", DEMO)
    make_parent(tmp_path, "example/demo")
    assert git(tmp_path / "upstream/demo.git", "rev-parse", "main") == git(tmp_path / "example/demo", "rev-parse", "main")
