"""`.ci/commits` in real clones: which commits it checks, and its message without a base branch."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.netns

SCRIPT = Path(__file__).parents[2] / ".ci/commits"


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.test")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def commit(folder: Path, subject: str) -> None:
    git(folder, "commit", "--quiet", "--allow-empty", "-m", subject)


def check(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["python3", "-I", str(folder / ".ci/commits")]
    variables = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", **environment}
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose base branch has an old subject that breaks the rules."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(origin))
    commit(origin, "What was there before the rule.")
    git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    (clone / ".ci").mkdir()
    shutil.copy(SCRIPT, clone / ".ci/commits")
    return clone


def test_only_new_commits_are_checked(clone: Path) -> None:
    assert (check(clone).returncode, check(clone).stdout) == (0, "commits: 0 of 0 subjects since @{upstream} are valid\n")
    commit(clone, "gate: drop cookies")
    git(clone, "switch", "--quiet", "--create", "feature")  # it has no upstream
    commit(clone, "The cookies are dropped")
    git(clone, "switch", "--quiet", "main")
    commit(clone, "gate: keep the path")
    git(clone, "switch", "--quiet", "feature")
    git(clone, "merge", "--quiet", "main")
    done = check(clone)
    assert done.returncode == 1
    assert done.stdout == "commits: 2 of 3 subjects since origin/main are valid\n"
    assert " 'The cookies are dropped': no area" in done.stderr


def test_a_pull_request_is_compared_with_its_base(clone: Path) -> None:
    git(clone, "update-ref", "refs/remotes/origin/stable", "refs/remotes/origin/main")
    commit(clone, "gate: Drop cookies")
    done = check(clone, GITHUB_BASE_REF="stable")
    assert (done.returncode, done.stdout) == (1, "commits: 0 of 1 subjects since origin/stable are valid\n")
    assert "a capital letter after the area" in done.stderr
    done = check(clone, GITHUB_BASE_REF="missing")
    assert (done.returncode, done.stdout) == (1, "")
    assert "fetch it (fetch-depth: 0)" in done.stderr


def test_without_a_base_nothing_is_checked(clone: Path) -> None:
    git(clone, "remote", "remove", "origin")
    commit(clone, "No area")
    done = check(clone)
    assert (done.returncode, done.stdout) == (0, "commits: no base branch found, no subject checked\n")
    shutil.rmtree(clone / ".git")
    assert check(clone).returncode == 0
