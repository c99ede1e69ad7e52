"""The debug log of a real boot: its contents, its readers, and that it exists only on request."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.commands import PREFIX
from backend.contract.events import Noted
from tests.netns.sandbox import CODETAINER, IDLE, PATIENCE, SHORT, Running, eventually, start

pytestmark = pytest.mark.netns

TOKEN, CLAUDE = "ghp_planted-github-token", "sk-ant-oat01-planted-claude-token"
MISSING = "https://github.com/example/missing"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("debug")


@pytest.fixture(scope="module")
def sandbox(folder: Path) -> Iterator[Running]:
    """A sandbox with credentials inside whose clone fails, so that they are in the failed command's environment."""
    running = start(
        folder,
        f"debug-{os.getpid()}",
        "--debug",
        listed=SHORT.read_text(),
        REPO_URL=MISSING,
        GH_PAT=TOKEN,
        CLAUDE_CODE_OAUTH_TOKEN=CLAUDE,
        CODETAINER_CREDENTIALS="inside",
        CODETAINER_REFRESH="1s",
    )
    yield running
    if running.process.poll() is None:
        running.stop()


def log(sandbox: Running) -> str:
    done = sandbox.codetainer("logs", "--debug")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_kind_of_command_is_logged(sandbox: Running) -> None:
    text = log(sandbox)
    for began in ("root started: mount -t tmpfs", "root started: nft -f -", "coredns started: /usr/local/bin/coredns -conf ",
                  "guard started: ", "root started: setpriv --no-new-privs", "claude started: tmux -S"):  # fmt: skip
        assert re.search(rf"^\S+Z \d+#\d+ {re.escape(began)}", text, re.MULTILINE), began
    assert re.search(r"root exit 0, started \S+Z, took \d+\.\d{3} s: nft -f -$", text, re.MULTILINE)
    assert "/run/codetainer/debug.log: run codetainer logs --debug" in "\n".join(event.text for event in sandbox.events(Noted))


def test_commands_of_the_agents_processes_are_logged(sandbox: Running) -> None:
    """The end of a session triggers a count of the work, by git in a process that may not write to the log itself."""
    assert sandbox.agent("git", "init", "-q", "/workspace/other").returncode == 0
    sandbox.tmux.kill()
    relayed = re.compile(r"^claude\| \S+Z \d+#\d+ claude exit \d+, started \S+, took \S+ s: \S*git ", re.MULTILINE)
    eventually("a git command is in the log", lambda: relayed.search(log(sandbox)))


def test_the_guards_commands_are_logged(sandbox: Running) -> None:
    relayed = re.compile(r"^guard\| \S+Z \d+#\d+ guard exit 0, started \S+, took \S+ s: conntrack -L -p tcp$", re.MULTILINE)
    eventually("a command of the guard is in the log", lambda: relayed.search(log(sandbox)))
    assert not [event for event in sandbox.events(Noted) if "debug:" in event.text]


def failed(text: str) -> list[str]:
    """Returns the lines about the failed clone, without indentation."""
    lines = text.splitlines()
    at = next(number for number, line in enumerate(lines) if "claude exit 128, started " in line and "git clone" in line)
    end = next((number for number in range(at + 1, len(lines)) if not lines[number].startswith("  ")), len(lines))
    return [line.strip() for line in lines[at:end]]


def test_a_failed_command_can_be_pasted(sandbox: Running) -> None:
    _, paste, *stderr = failed(log(sandbox))
    assert paste.startswith("cd /workspace && env -i HOME=/home/claude ")
    assert stderr[-1] == f"stderr: fatal: repository '{MISSING}/' not found"
    again = sandbox.root("bash", "-c", paste)
    assert (again.returncode, again.stderr.splitlines()[-1]) == (128, stderr[-1].removeprefix("stderr: "))


def test_secrets_are_left_out(sandbox: Running, folder: Path) -> None:
    """The clone's environment contains both secrets, so the log would show them if they were not redacted."""
    environment = shlex.split(failed(log(sandbox))[1])
    assert {"GH_TOKEN=<GH_PAT>", "CLAUDE_CODE_OAUTH_TOKEN=<CLAUDE_CODE_OAUTH_TOKEN>"} <= set(environment)
    files = [*sandbox.paths.run.glob("debug.log*"), *sandbox.paths.run.glob("events*"), folder / "err", folder / "out"]
    assert len(files) >= 4
    assert [file.name for file in files if b"planted" in file.read_bytes()] == []


def test_the_agent_cannot_read_it(sandbox: Running) -> None:
    file = sandbox.paths.debug_log
    assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o600, 0)
    assert sandbox.agent("cat", "/run/codetainer/debug.log").returncode != 0
    done = sandbox.agent("codetainer", "logs", "--debug")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot read the debug log: only root may" in done.stderr


def test_the_commands_of_up_are_on_stderr(sandbox: Running, folder: Path) -> None:
    lines = [line for line in (folder / "err").read_text().splitlines() if line.startswith(PREFIX)]
    text = "\n".join(lines)
    assert re.search(r"root exit 0, started \S+, took \S+ s: nsenter --net=\S+ -- ip -batch -$", text, re.MULTILINE)
    assert re.search(r"root started: tini -s -- /usr/local/bin/codetainer boot --no-tui$", text, re.MULTILINE)
    assert "git http-backend" in text  # of the pretend internet


def test_a_boot_that_halts_shows_the_log(tmp_path: Path) -> None:
    """The sandbox stops after the failed command, and the log is lost with it."""
    (tmp_path / "domains.conf").write_text(SHORT.read_text())
    done = subprocess.run(
        [*CODETAINER, "up", "--net", "pretend", "--debug", "--domains", str(tmp_path / "domains.conf"), "--claude", str(IDLE),
         "--name", f"halted-{os.getpid()}", "--", "true"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE * 2, check=False,
        env={**os.environ, "CODETAINER_TMPFS_HOME": "900000G", "GH_PAT": TOKEN},
    )  # fmt: skip
    assert done.returncode == 1
    assert "codetainer: boot halted at tmpfs: " in done.stderr
    assert re.search(rf"^{PREFIX}\S+Z \d+#\d+ root exit 0, .*: nft -f -$", done.stderr, re.MULTILINE)
    assert "planted" not in done.stderr


def test_without_the_option_there_is_no_log(tmp_path: Path) -> None:
    sandbox = start(tmp_path, f"quiet-{os.getpid()}", listed=SHORT.read_text(), REPO_URL=MISSING)
    try:
        done = sandbox.codetainer("logs", "--debug")
        assert (done.returncode, done.stdout) == (2, "")
        assert "Boot with --debug or CODETAINER_DEBUG=on" in done.stderr
        assert list(sandbox.paths.run.glob("debug*")) == []
    finally:
        sandbox.stop()
    assert PREFIX not in (tmp_path / "err").read_text()


def test_export_reports_its_commands_on_request(sandbox: Running) -> None:
    """Root starts the agent's process, which runs git. The commands of both are on stderr; stdout has only the bundle."""
    assert sandbox.agent("git", "init", "-q", "/workspace/exported").returncode == 0
    quiet, debug = (sandbox.codetainer("export", *option, "exported") for option in ((), ("--debug",)))
    assert quiet.returncode == debug.returncode
    assert PREFIX not in quiet.stderr
    assert re.search(rf"^{PREFIX}\S+Z \d+#\d+ root started: setsid --wait ", debug.stderr, re.MULTILINE)
    assert re.search(rf"^{PREFIX}\S+Z \d+#\d+ claude exit \d+, started \S+, took \S+ s: \S*git ", debug.stderr, re.MULTILINE)
    assert PREFIX not in debug.stdout
