"""A clone that fails: boot names the cause and the remedy, not the last line of git."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.netns.test_up import up
from tests.netns.traces import nothing_left

pytestmark = pytest.mark.netns

__all__ = ["nothing_left"]

URL = "https://github.com/example/demo"
LISTED = "github.com\napi.github.com\napi.anthropic.com\n"


@pytest.mark.parametrize(
    ("size", "words"),
    [("16K", "the repository is about 24 KiB large, and /workspace has 16 KiB free"), ("56K", "no space left in /workspace")],
)
def test_a_workspace_that_is_too_small(tmp_path: Path, nothing_left: None, size: str, words: str) -> None:
    done = up(tmp_path, "--", "true", listed=LISTED, REPO_URL=URL, CODETAINER_TMPFS_WORKSPACE=size)
    assert f"cannot clone {URL}: {words}" in done.stderr
    assert "Set CODETAINER_TMPFS_WORKSPACE=512M or more." in done.stderr


def test_a_repository_that_does_not_exist(tmp_path: Path, nothing_left: None) -> None:
    done = up(tmp_path, "--", "true", listed=LISTED, REPO_URL="https://github.com/example/none")
    assert "cannot clone https://github.com/example/none: the host has no such repository for this token" in done.stderr
    assert "Check REPO_URL, and that GH_PAT can read this repository." in done.stderr
