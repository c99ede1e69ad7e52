"""Prompts and other values of any size reach the sandbox from files; arguments and variables hold 128 KiB (execve(2))."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from backend.settings.environment import MAX_FILE
from tests.netns.test_up import up
from tests.netns.traces import nothing_left

pytestmark = pytest.mark.netns

__all__ = ["nothing_left"]

# Writes the prompt, which is the last argument, to a file that the command can read.
RECORDING = """\
#!/bin/sh
for argument; do :; done
printf %s "$argument" > /tmp/argument.new
mv /tmp/argument.new /tmp/argument
exec sleep infinity
"""
LOOK = """
until [ -e /tmp/argument ]; do sleep 0.1; done
cd ~; [ -e prompt.md ] || exec sha256sum /tmp/argument
head -c 200 /tmp/argument; echo; sha256sum prompt.md; stat -c %a prompt.md
"""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    program = tmp_path / "claude"
    program.write_text(RECORDING)
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("size", [121_000, 131_100, MAX_FILE])
def test_a_long_prompt_is_read_from_a_file(tmp_path: Path, recording: Path, nothing_left: None, size: int) -> None:
    text = ("Do 'this' and \"that\"; $(id)\n" * (size // 20))[: size - 1] + "."
    (tmp_path / "task.md").write_text(text)
    done = up(tmp_path, "--claude", str(recording), "--", "sh", "-c", LOOK, CLAUDE_PROMPT_FILE=str(tmp_path / "task.md"))
    assert done.returncode == 0, done.stderr
    instruction, digest, mode = done.stdout.splitlines()
    assert instruction.startswith(f"Your task is in the file /home/claude/prompt.md ({size} bytes).")
    assert digest.split()[0] == hashlib.sha256(text.encode()).hexdigest()
    assert mode == "600"


def test_a_prompt_that_fits_is_an_argument(tmp_path: Path, recording: Path, nothing_left: None) -> None:
    text = "x" * 120_000
    (tmp_path / "task.md").write_text(text)
    done = up(tmp_path, "--claude", str(recording), "--", "sh", "-c", LOOK, CLAUDE_PROMPT_FILE=str(tmp_path / "task.md"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == hashlib.sha256(text.encode()).hexdigest()


def key(number: int) -> str:
    data = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + hashlib.sha256(b"%d" % number).digest()
    return f"ssh-ed25519 {base64.b64encode(data).decode()} key-{number}-{'x' * 200}"


def test_several_large_values_at_once(tmp_path: Path, nothing_left: None) -> None:
    """Together they exceed the kernel's limit for an environment."""
    (tmp_path / "task.md").write_text("p" * 1_500_000)
    (tmp_path / "domains").write_text("\n".join(f"host-{number}.example.com" for number in range(400)))
    (tmp_path / "keys").write_text("\n".join(map(key, range(2_000))))
    done = up(
        tmp_path, "--root-command", "--", "sh", "-c", "ls -l /run/codetainer-settings; id -u",
        CLAUDE_PROMPT_FILE=str(tmp_path / "task.md"), CODETAINER_EXTRA_DOMAINS_FILE=str(tmp_path / "domains"),
        CODETAINER_SSH_KEYS_FILE=str(tmp_path / "keys"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {line.split()[-1] for line in done.stdout.splitlines() if line.startswith("-r--------")} == {
        "CLAUDE_PROMPT", "CODETAINER_EXTRA_DOMAINS", "CODETAINER_SSH_KEYS",
    }  # fmt: skip


def test_a_prompt_beyond_the_limit_is_reported_before_boot(tmp_path: Path, nothing_left: None) -> None:
    (tmp_path / "task.md").write_text("x" * (MAX_FILE + 1))
    done = up(tmp_path, "--", "true", CLAUDE_PROMPT_FILE=str(tmp_path / "task.md"), CODETAINER_TMPFS_TMP="no size")
    assert done.returncode == 2
    assert f"CLAUDE_PROMPT_FILE: cannot read {tmp_path}/task.md: larger than 4 MiB" in done.stderr
    assert "CODETAINER_TMPFS_TMP: invalid value 'no size'" in done.stderr
