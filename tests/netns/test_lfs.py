"""git-lfs behind the gate: refusals that it shows, and settings that it must not store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.netns.sandbox import LISTED, Running, start

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(shutil.which("git-lfs") is None and os.environ.get("CI") != "true", reason="git-lfs not found"),
]

REAL = "ghp_the-operators-own"
WORK = "/tmp/lfs"
# A clone with a commit that contains an LFS object.
PREPARE = """
git clone -q https://github.com/example/demo "$0" && cd "$0"
git lfs install --local && git lfs track '*.bin'
head -c 100000 /dev/urandom >large.bin
git add . && git -c user.name=A -c user.email=a@a.example commit -q -m "Add a large file"
git remote add elsewhere https://github.com/stranger/elsewhere
git remote add hidden https://github.com/example/hidden
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(
        tmp_path_factory.mktemp("lfs"), f"lfs-{os.getpid()}", listed=LISTED + "github-cloud.githubusercontent.com\n",
        GH_PAT=REAL, REPO_URL="https://github.com/example/demo", CODETAINER_PUSH="example/hidden",
    )  # fmt: skip
    prepared = running.agent("sh", "-ec", PREPARE, WORK)
    assert prepared.returncode == 0, prepared.stdout + prepared.stderr
    yield running
    running.stop()


def git(sandbox: Running, *argv: str) -> tuple[int, str]:
    done = sandbox.agent("git", "-C", WORK, *argv)
    return done.returncode, done.stdout + done.stderr


def stored(sandbox: Running) -> str:
    """Returns what git-lfs has stored about locks."""
    return git(sandbox, "config", "--get-regexp", "locksverify")[1]


def test_a_refusal_reaches_the_user_of_git_lfs(sandbox: Running) -> None:
    code, text = git(sandbox, "lfs", "push", "elsewhere", "HEAD")
    assert code != 0
    assert "codetainer: writes go to example/demo, example/hidden only" in text
    assert stored(sandbox) == ""


def test_git_shows_the_same_refusal(sandbox: Running) -> None:
    code, text = git(sandbox, "-c", "core.hooksPath=/dev/null", "push", "elsewhere", "HEAD")
    assert code != 0
    assert "remote: codetainer: writes go to example/demo, example/hidden only" in text


def test_a_repository_that_the_token_cannot_see_is_not_taken_for_one_without_locks(sandbox: Running) -> None:
    """GitHub answers 404, and git-lfs would then store locksverify=false for ever."""
    code, text = git(sandbox, "lfs", "push", "hidden", "HEAD")
    assert code != 0
    assert "codetainer: GitHub found no such repository" in text
    assert stored(sandbox) == ""
    assert sandbox.asked(kind="http", path="/example/hidden.git/info/lfs/locks/verify") == 1
