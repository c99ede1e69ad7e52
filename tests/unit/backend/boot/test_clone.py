"""The clone step's readings of values that GitHub or the repository chose, and the git configuration of Git LFS."""

from __future__ import annotations

import pytest

from backend.boot.steps import clone
from backend.boot.steps.git import gitconfig


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Git.Elsewhere.test/a/b", "git.elsewhere.test"),
        ("ssh://git@git.elsewhere.test:22/a/b", "git.elsewhere.test"),
        ("../other", ""),
        ("git@git.elsewhere.test:a/b", "git.elsewhere.test"),
        ("../a:b", ""),
        ("", ""),
        ("https://[::1", ""),
        ("https://bad host\x1b[2J/a", ""),
        ("https://192.0.2.1/a", ""),
    ],
)
def test_the_host_of_a_submodule(url: str, expected: str) -> None:
    assert clone._host(url) == expected


@pytest.mark.parametrize(("size", "expected"), [(24, 24 << 10), (0, 0), (-1, 0), ("24", 0), (None, 0)])
def test_the_size_that_github_reports(size: object, expected: int) -> None:
    assert clone._size({"size": size}) == expected


def test_git_uses_lfs_if_it_is_installed() -> None:
    assert "lfs" not in gitconfig("A", "a@a.example")
    assert "\tprocess = git-lfs filter-process\n\trequired = true\n" in gitconfig("A", "a@a.example", lfs=True)
