"""`codetainer up` from outside: exit codes, pipes and terminals; nothing is left afterwards, however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backend.sandbox import registry
from tests.documentation import ROOT
from tests.netns.sandbox import CODETAINER, IDLE, INTERNET, LISTED, PATIENCE, Running, eventually, start
from tests.netns.traces import descendants, nothing_left, traces

pytestmark = pytest.mark.netns

__all__ = ["nothing_left"]


def up(folder: Path, *options: str, listed: str = LISTED, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "internet.toml").write_text(INTERNET)
    (folder / "domains.conf").write_text(listed)
    return subprocess.run(
        [*CODETAINER, "up", "--net", "pretend", "--pretend", str(folder / "internet.toml"), "--domains",
         str(folder / "domains.conf"), "--claude", str(IDLE), "--name", f"up-{os.getpid()}", *options],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE * 2, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


def test_a_commands_exit_code_and_output_are_passed_on(tmp_path: Path, nothing_left: None) -> None:
    done = up(tmp_path, "--", "sh", "-c", "echo out; echo err >&2; id -u; pwd; exit 7", listed="github.com\n")
    assert done.returncode == 7, done.stderr
    assert done.stdout == "out\n1000\n/workspace/repo\n"
    assert done.stderr == "err\n"


def test_boot_is_shown_beside_the_command_on_request(tmp_path: Path, nothing_left: None) -> None:
    done = up(tmp_path, "--no-tui", "--", "sh", "-c", "echo out; echo err >&2")
    assert done.stdout == "out\n"
    assert "err\n" in done.stderr
    assert "Network closed" in done.stderr


def test_a_failed_boot_is_shown_with_all_its_output(tmp_path: Path, nothing_left: None) -> None:
    done = up(tmp_path, "--", "echo", "ran", CODETAINER_TMPFS_HOME="900000G")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Network closed" in done.stderr
    assert re.search(r"\ncodetainer: boot halted at tmpfs: .*\n  .*\n$", done.stderr)


def test_a_command_killed_by_a_signal(tmp_path: Path, nothing_left: None) -> None:
    assert up(tmp_path, "--", "sh", "-c", "kill -TERM $$").returncode == 128 + signal.SIGTERM


def test_a_command_as_root(tmp_path: Path, nothing_left: None) -> None:
    assert up(tmp_path, "--root-command", "--", "id", "-u").stdout == "0\n"


def test_all_invalid_settings_are_reported_at_once(tmp_path: Path, nothing_left: None) -> None:
    done = up(tmp_path, "--", "true", REPO_URL="git@github.com:a/b", CODETAINER_REFRESH="soon", GH_PAT="two words")
    assert done.returncode == 2
    for name in ("REPO_URL", "CODETAINER_REFRESH", "GH_PAT"):
        assert name in done.stderr
    assert "two words" not in done.stderr  # a secret's value is never shown


def test_every_bad_line_of_an_allowlist_is_reported_before_anything_is_created(tmp_path: Path, nothing_left: None) -> None:
    done = up(tmp_path, "--", "true", listed="github.com\nhttps://x.test\n10.0.0.0/8\n")
    assert done.returncode == 2
    assert f"{tmp_path}/domains.conf:2:1" in done.stderr
    assert f"{tmp_path}/domains.conf:3:1" in done.stderr
    assert "boot started" not in done.stderr


def test_a_broken_description_is_reported(tmp_path: Path, nothing_left: None) -> None:
    (tmp_path / "bad.toml").write_text('resolver = "8.8.8.8"\n')
    done = up(tmp_path, "--pretend", str(tmp_path / "bad.toml"), "--", "true")
    assert done.returncode == 2
    assert "8.8.8.8" in done.stderr


def test_without_a_network_nothing_answers_and_boot_reports_it(tmp_path: Path, nothing_left: None) -> None:
    (tmp_path / "domains.conf").write_text("github.com\n")
    done = subprocess.run(
        [*CODETAINER, "up", "--net", "none", "--domains", str(tmp_path / "domains.conf"), "--name", f"none-{os.getpid()}",
         "--", "sh", "-c", "ls /sys/class/net; curl -sS -m 5 https://github.com"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE * 2, check=False,
        env={**os.environ, "GH_PAT": "x", "ANTHROPIC_API_KEY": "y"},
    )  # fmt: skip
    assert done.stdout == "lo\n", done.stderr
    assert "DEGRADED" in done.stderr


@pytest.mark.parametrize("net", ["nat", "none"])
def test_without_claude_code_nothing_is_created_outside_of_a_pretend_internet(
    net: str, tmp_path: Path, nothing_left: None
) -> None:
    """Otherwise the stand-in would run with real credentials. The error says how to install Claude Code."""
    done = subprocess.run(
        [*CODETAINER, "up", "--net", net, "--name", f"none-{os.getpid()}", "--no-tui"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env={**os.environ, "PATH": str(tmp_path), "GH_PAT": "x", "ANTHROPIC_API_KEY": "y", "CODETAINER_UPSTREAM": "192.0.2.53"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "Claude Code: not found on PATH. Install it with npm install -g @anthropic-ai/claude-code" in done.stderr
    assert "boot started" not in done.stderr


@pytest.mark.parametrize(("net", "pane"), [("none", ""), ("pretend", "This is a stand-in: Claude Code is not installed")])
def test_a_command_does_not_need_claude_code(net: str, pane: str, tmp_path: Path, nothing_left: None) -> None:
    """With a real network even the stand-in is missing, because it would start to work in the agent's pane."""
    (tmp_path / "domains.conf").write_text("github.com\n")
    look = 'grep -ho "This is a stand-in: Claude Code is not installed" "$(command -v claude)"'
    done = subprocess.run(
        [*CODETAINER, "up", "--net", net, "--name", f"none-{os.getpid()}", "--domains", str(tmp_path / "domains.conf"),
         "--", "sh", "-c", f"{look}; echo looked"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE * 2, check=False,
        env={**os.environ, "PATH": str(tmp_path), "GH_PAT": "x", "ANTHROPIC_API_KEY": "y"},
    )  # fmt: skip
    assert done.stdout == f"{pane}\n".lstrip() + "looked\n", done.stderr


def test_every_step_that_cannot_resolve_names_mentions_the_resolvers(tmp_path: Path, nothing_left: None) -> None:
    silent = {"CODETAINER_UPSTREAM": "203.0.113.99", "REPO_URL": "https://github.com/example/demo"}
    done = up(tmp_path, "--", "codetainer", "status", listed="github.com\n", **silent)
    output = " ".join(done.stdout.split())
    hint = "Check that the upstream resolvers answer (203.0.113.99), or name others with CODETAINER_UPSTREAM."
    for step in (
        "! Addresses 0 names resolved, 1 without an address: github.com",
        "! Clone example/demo cannot",
        "! Readiness github.com cannot be resolved",
    ):
        assert re.search(rf"{re.escape(step)}[^!]*{re.escape(hint)}", output), done.stdout


def test_the_error_for_a_repository_on_an_unlisted_host_says_how_to_list_it(tmp_path: Path, nothing_left: None) -> None:
    done = up(tmp_path, "--", "true", listed="github.com\n", REPO_URL="https://forge.test/a/b")
    assert "Set CODETAINER_EXTRA_DOMAINS=forge.test" in done.stderr


def test_ctrl_c_in_the_middle_of_boot(tmp_path: Path, nothing_left: None) -> None:
    running = start(tmp_path, f"ctrlc-{os.getpid()}", until_released=False)
    eventually("boot has begun", lambda: running.paths.journal.exists() and running.stamped())
    running.process.send_signal(signal.SIGINT)
    running.process.communicate(timeout=PATIENCE)
    assert running.process.returncode == 128 + signal.SIGINT


def test_kill_9_leaves_nothing_and_a_second_run_starts(tmp_path: Path, nothing_left: None) -> None:
    name = f"kill-{os.getpid()}"
    running = start(tmp_path, name)
    running.process.kill()
    running.process.communicate(timeout=PATIENCE)
    eventually("its first process has gone", lambda: running.init not in descendants())
    again = start(tmp_path, name)
    assert again.agent("true").returncode == 0
    assert again.stop() == 128 + signal.SIGTERM


def test_a_sandbox_of_a_test_run_that_is_killed_stops(tmp_path: Path, nothing_left: None) -> None:
    name = f"orphan-{os.getpid()}"
    code = f"from pathlib import Path; from tests.netns.sandbox import start; start(Path({str(tmp_path)!r}), {name!r}); input()"
    run = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE)
    eventually("its sandbox is there", lambda: name in registry.running())
    run.kill()
    run.communicate(timeout=PATIENCE)


def test_two_sandboxes_of_one_name_do_not_start(tmp_path: Path, nothing_left: None) -> None:
    name = f"up-{os.getpid()}"
    running = start(tmp_path, name)
    try:
        done = up(tmp_path, "--", "true")
        assert done.returncode == 1
        assert "--name" in done.stderr
    finally:
        running.stop()


def test_enter_passes_pipes_and_codes(tmp_path: Path, nothing_left: None) -> None:
    running: Running = start(tmp_path, f"enter-{os.getpid()}")
    try:
        command = [*CODETAINER, "enter", "--name", running.name, "--", "sh", "-c", "cat; exit 3"]
        done = subprocess.run(command, input="through the pipe", capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert (done.stdout, done.returncode) == ("through the pipe", 3)
        unknown = subprocess.run([*CODETAINER, "enter", "--name", "nobody", "--", "true"], capture_output=True, text=True)
        assert unknown.returncode == 1
        assert "codetainer up" in unknown.stderr
    finally:
        running.stop()


def test_files_of_this_machines_users_are_hidden(tmp_path: Path, nothing_left: None) -> None:
    done = up(tmp_path, "--root-command", "--", "sh", "-c", "ls -A /root /mnt /media /home | sort -u; hostname; ls /dev")
    words = done.stdout.split()
    assert "codetainer" in words
    assert "sda" not in words
    assert not any(word.startswith("vd") for word in words)
    assert ".ssh" not in words


def test_an_orphan_is_noticed(nothing_left: None) -> None:
    """Shows that the tests above can fail: an orphaned process is found, and waiting for its end times out."""
    before = traces()
    pid = int(subprocess.run(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"], capture_output=True, text=True).stdout)
    try:
        assert traces() - before == {f"process {pid}"}
        with pytest.raises(AssertionError, match="nothing is left"):
            eventually("nothing is left", lambda: traces() <= before, seconds=0.1)
    finally:
        os.kill(pid, signal.SIGKILL)
