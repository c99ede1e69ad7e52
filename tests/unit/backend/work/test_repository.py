"""Which remotes are elsewhere, and which refs say that a commit is."""

from pathlib import Path

import pytest

from backend.system import Answered
from backend.work.git import environment, last_line
from backend.work.repository import ELSEWHERE, _is_outside


@pytest.mark.parametrize(
    ("url", "elsewhere"),
    [
        ("https://github.com/a/b", True),
        ("ssh://git@github.com/a/b", True),
        ("git@github.com:a/b", True),
        ("host:path/to", True),
        ("/tmp/backup.git", False),
        ("../backup", False),
        ("./a:b", False),
        ("file:///tmp/backup.git", False),
        ("FILE:///tmp/backup.git", False),
        ("backup", False),
    ],
)
def test_what_was_pushed_to_a_folder_has_not_left(url: str, elsewhere: bool) -> None:
    assert bool(ELSEWHERE.match(url)) is elsewhere


@pytest.mark.parametrize(
    ("ref", "outside"),
    [
        ("remotes/origin/main", True),
        ("remotes/origin/feature/x", True),
        ("remotes/origin/wip/2026-01-31-1402-3f9a", False),  # a save is overwritten by the next one
        ("remotes/backup/main", False),
        ("remotes/originally/main", False),
        ("heads/origin/main", False),
    ],
)
def test_what_the_remotes_have(ref: str, outside: bool) -> None:
    assert _is_outside(ref, {"origin"}) is outside


def test_no_variable_steers_git() -> None:
    """All of it is ours: a home of our own, where libcurl looks for .netrc, and no proxy."""
    found = environment(Path("/own"), "/c")
    assert (found["HOME"], found["GIT_SSL_CAINFO"], found["GIT_CONFIG_GLOBAL"]) == ("/own", "/c", "/dev/null")
    assert "/home" not in found["PATH"]
    assert [name for name in found if "proxy" in name.lower() or name.startswith("XDG_")] == []
    assert "GIT_SSL_CAINFO" not in environment(Path("/own"))


@pytest.mark.parametrize(
    ("err", "reason"),
    [
        ("remote: hello\nfatal: no such branch\nhint: fetch first\n", "fatal: no such branch"),
        ("error: one\nerror: two\n\n", "error: two"),
        ("it went wrong\n \n", "it went wrong"),
        ("", "exit code 7"),
    ],
)
def test_why_git_failed(err: str, reason: str) -> None:
    assert last_line(Answered(7, b"", err, True)) == reason
