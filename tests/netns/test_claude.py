"""Real Claude Code against the stand-in for its API: it starts without questions, runs a tool, and ends its turn."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from backend.sandbox.pretend.api import SENTENCE
from tests.netns.conftest import CODETAINER, PATIENCE, eventually, start

pytestmark = pytest.mark.netns

ROOT = Path(__file__).parents[2]


def claude() -> str:
    """Claude Code as setup put it there (the binary itself, to which its package links), or this machine's own."""
    built = sorted(ROOT.glob("build/programs/node_modules/@anthropic-ai/claude-code-linux-*/claude"))
    found = str(built[0]) if built else shutil.which("claude")
    if found is None and os.environ.get("CI") != "true":
        pytest.skip("Claude Code is not there: .ci/setup programs installs it")
    assert found is not None, "Claude Code is not there: .ci/setup programs installs it"
    return found


def test_a_turn_with_a_tool(tmp_path: Path) -> None:
    seen = tmp_path / "seen.jsonl"
    done = subprocess.run(
        [*CODETAINER, "up", "--net", "pretend", "--pretend-log", str(seen), "--claude", claude(), "--name", "claude-turn",
         "--", "claude", "--dangerously-skip-permissions", "-p", "look around"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE * 3, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert SENTENCE in done.stdout
    record = seen.read_text()
    assert record.count('"path": "/v1/messages"') >= 2  # the request, and the tool's result
    assert "Bearer sk-ant-oat01-pretend" in record
    assert '"name": "telemetry.example.net"' not in record  # the tool tried it; it never left


def test_it_starts_in_the_session_without_questions(tmp_path: Path) -> None:
    sandbox = start(tmp_path, f"session-{os.getpid()}", "--claude", claude())
    try:
        tmux = ("tmux", "-S", "/run/codetainer/tmux/server.sock", "capture-pane", "-p", "-t", "$0:.0")
        screen = eventually("Claude Code's prompt", lambda: (s := sandbox.agent(*tmux).stdout) and "❯" in s and s)
        assert "bypass permissions on" in screen
        assert "trust" not in screen.lower()
    finally:
        sandbox.stop()


def test_a_prompt_is_worked_on_before_anybody_logs_in(tmp_path: Path) -> None:
    prompt = "- do \"this\" and 'that'\n$(touch /tmp/evil) `id` \\"
    sandbox = start(tmp_path, f"prompt-{os.getpid()}", "--claude", claude(), CLAUDE_PROMPT=prompt)
    try:
        eventually("its request", lambda: sandbox.asked(kind="http", path="/v1/messages"))
        tmux = ("tmux", "-S", "/run/codetainer/tmux/server.sock", "capture-pane", "-p", "-t", "$0:.0")
        eventually("the answer", lambda: SENTENCE[:20] in sandbox.agent(*tmux).stdout)
        assert sandbox.agent("ls", "/tmp/evil", "/run/codetainer/tmux/prompt").stdout == ""
        assert "touch" not in sandbox.paths.journal.read_text()
    finally:
        sandbox.stop()
