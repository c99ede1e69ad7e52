"""Repositories that are awkward to clone: boot names what is wrong with them, and Claude Code begins its prompt in each."""

from __future__ import annotations

import os
from pathlib import Path

import libtmux
import pytest

from backend.contract.events import Outcome, StepOutput
from backend.sandbox.pretend.api import SENTENCE
from backend.sandbox.pretend.repositories import ELSEWHERE, EMPTY, HEADLESS, LARGE, LARGE_FILES, LFS_OBJECT, MIXED, RENAMED
from tests.netns.sandbox import Running, eventually, start
from tests.netns.test_claude import OTHER, claude

pytestmark = pytest.mark.netns

LISTED = "github.com\napi.github.com\napi.anthropic.com\ngithub-cloud.githubusercontent.com\n"
PROMPT = "please run: true"
# Starts the other version of Claude Code as boot starts the pinned one.
OTHER_CLAUDE = f"""
mkdir -p ~/other && ln -sfn /opt/claude-code/{OTHER}/claude ~/other/claude && printf '%s' '{PROMPT}' >~/other/prompt
PATH=~/other:$PATH exec start-claude ~/other/prompt
"""


def begin(folder: Path, repository: str, *options: str, push: str = "", space: str = "512M") -> Running:
    return start(
        folder, f"{repository}-{os.getpid()}", *options, listed=LISTED, REPO_URL=f"https://github.com/example/{repository}",
        CLAUDE_PROMPT=PROMPT, CODETAINER_PUSH=push, CODETAINER_TMPFS_WORKSPACE=space,
    )  # fmt: skip


def prompts_begin(sandbox: Running) -> None:
    """Waits until both versions have answered the prompt in the session's folder."""
    eventually("the prompt is answered", lambda: SENTENCE[:20] in sandbox.screen())
    folder = sandbox.pane.pane_current_path
    window = sandbox.tmux.sessions[0].new_window(start_directory=folder, window_shell=OTHER_CLAUDE, attach=False)
    other = window.panes[0]
    assert isinstance(other, libtmux.Pane)
    eventually("the other version answers", lambda: SENTENCE[:20] in "\n".join(other.capture_pane()))
    running = sandbox.agent("sh", "-c", f"pgrep -f -- '-- {PROMPT}' | xargs -I N readlink /proc/N/exe").stdout.split()
    assert f"/opt/claude-code/{OTHER}/claude" in running


def clone_output(sandbox: Running) -> str:
    return "\n".join(event.line for event in sandbox.events(StepOutput) if event.step == "clone")


def test_a_renamed_repository_with_submodules_and_lfs(tmp_path: Path) -> None:
    """GitHub redirects the API and git. The new name is in scope, so files of Git LFS can be fetched and pushes work."""
    sandbox = begin(tmp_path, RENAMED, "--claude", claude(), push=f"example/{MIXED}")
    try:
        assert sandbox.state.steps["clone"].outcome is Outcome.DONE
        assert sandbox.agent("cat", "/workspace/repo/one.bin").stdout.encode() == LFS_OBJECT
        assert "submodules are not fetched" in clone_output(sandbox)
        assert f"a submodule is at {ELSEWHERE}, which is not on the allowlist" in clone_output(sandbox)
        prompts_begin(sandbox)
        push = "cd /workspace/repo; echo more >> README.md; git commit -qam More; git push -q origin HEAD:refs/heads/more"
        pushed = sandbox.agent("sh", "-ec", push)
        assert pushed.returncode == 0, pushed.stderr
        inside = sandbox.agent("git", "-C", "/workspace/repo", "submodule", "update", "--init", "plugins")
        assert inside.returncode == 0, inside.stderr
    finally:
        sandbox.stop()


def test_a_new_name_out_of_scope_is_reported(tmp_path: Path) -> None:
    sandbox = begin(tmp_path, RENAMED)
    try:
        step = sandbox.state.steps["clone"]
        assert step.outcome is Outcome.WARNED
        assert f"example/{RENAMED} is now called example/{MIXED}, and pushes to that name are refused" in step.detail
        assert f"Set REPO_URL=https://github.com/example/{MIXED} and start the sandbox again." in step.remedy
        assert "files of Git LFS are only pointers: " in step.detail  # out of scope, too
        status = " ".join(sandbox.codetainer("status").stdout.split())
        assert "DEGRADED" in status
        assert f"is now called example/{MIXED}" in status
        push = sandbox.agent("git", "-C", "/workspace/repo", "push", "origin", "HEAD:refs/heads/more")
        assert f"Writes go to example/{RENAMED} only" in push.stderr
    finally:
        sandbox.stop()


def test_a_repository_without_commits(tmp_path: Path) -> None:
    sandbox = begin(tmp_path, EMPTY, "--claude", claude())
    try:
        step = sandbox.state.steps["clone"]
        assert (step.outcome, step.detail) == (Outcome.DONE, f"example/{EMPTY}, which has no commits yet")
        prompts_begin(sandbox)
    finally:
        sandbox.stop()


def test_a_default_branch_that_does_not_exist(tmp_path: Path) -> None:
    sandbox = begin(tmp_path, HEADLESS, "--claude", claude())
    try:
        step = sandbox.state.steps["clone"]
        assert step.outcome is Outcome.WARNED
        assert "nothing is checked out" in step.detail
        assert step.remedy.endswith("such as work.")
        assert "nothing is checked out" in " ".join(sandbox.codetainer("status").stdout.split())
        assert sandbox.agent("git", "-C", "/workspace/repo", "switch", "work").returncode == 0
        assert sandbox.codetainer("retry").returncode == 0  # it does not clone again
        assert sandbox.state.steps["clone"].outcome is Outcome.DONE
        prompts_begin(sandbox)
    finally:
        sandbox.stop()


def test_a_large_repository(tmp_path: Path) -> None:
    """It fits, or the operator learns what it needs, from the size that GitHub reports."""
    sandbox = begin(tmp_path, LARGE, "--claude", claude(), space="1G")
    try:
        assert sandbox.state.steps["clone"].outcome is Outcome.DONE
        assert sandbox.agent("sh", "-c", "ls /workspace/repo | wc -l").stdout.strip() == str(LARGE_FILES)
        prompts_begin(sandbox)
    finally:
        sandbox.stop()


def test_a_large_repository_without_enough_space(tmp_path: Path) -> None:
    sandbox = begin(tmp_path, LARGE, space="200M")
    try:
        step = sandbox.state.steps["clone"]
        assert step.outcome is Outcome.WARNED
        assert f"the repository is about {LARGE_FILES} MiB large, and /workspace has 200 MiB free" in step.detail
        assert step.remedy == "Set CODETAINER_TMPFS_WORKSPACE=1024M or more."
        assert not sandbox.asked(kind="http", path=f"/example/{LARGE}/git-upload-pack")
    finally:
        sandbox.stop()
