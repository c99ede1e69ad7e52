"""Logins with a real ssh to a real sshd in the sandbox: commands and copies work, and a terminal shows the session."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.netns.sandbox import CODETAINER, PATIENCE, Running, start, stopped_in_boot
from tests.netns.test_login import DETACH, FAKE_CLAUDE, PROMPT
from tests.netns.test_up_terminal import at

pytestmark = pytest.mark.netns

HOME = "/run/ssh-test"  # of sshd; root's home is read-only
SLOW = Path(__file__).with_name("slow.py")
SSHD = """
HostKey /run/ssh-test/host_key
AuthorizedKeysFile /run/ssh-test/authorized_keys
StrictModes no
PermitRootLogin yes
UsePAM no
PasswordAuthentication no
Subsystem sftp internal-sftp
"""
# A terminal's replies to queries from Textual and the hand-over: synchronized output, in-band resize, device attributes.
ANSWERS = {b"\x1b[?2026$p": b"\x1b[?2026;2$y", b"\x1b[?2048$p": b"\x1b[?2048;0$y", b"\x1b[c": b"\x1b[?62;22c"}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file


def give_sshd(sandbox: Running, key: Path) -> None:
    """Installs sshd's files."""
    home = sandbox.paths.root / HOME.lstrip("/")
    home.mkdir(mode=0o700)
    shutil.copyfile(f"{key}.pub", home / "authorized_keys")
    (home / "sshd_config").write_text(SSHD)
    (sandbox.paths.root / "run/sshd").mkdir(mode=0o755, exist_ok=True)
    assert sandbox.root("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{HOME}/host_key").returncode == 0


def options(sandbox: Running, key: Path, slow: float = 0.0) -> list[str]:
    """Returns ssh's options. ssh talks to `sshd -i` over the pipes of a process in the sandbox, so no port is opened."""
    sshd = [*CODETAINER, "enter", "--name", sandbox.name, "--root", "--", "/usr/sbin/sshd", "-i", "-f", f"{HOME}/sshd_config"]
    link = [sys.executable, str(SLOW), str(slow), *sshd] if slow else sshd
    return [
        "-F", "none", "-i", str(key), "-o", f"ProxyCommand={shlex.join(link)}", "-o", "StrictHostKeyChecking=no",
        "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Iterator[Running]:
    running = start(tmp_path_factory.mktemp("ssh"), f"ssh-{os.getpid()}")
    give_sshd(running, key)
    yield running
    running.stop()


Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def ssh(sandbox: Running, key: Path) -> Run:
    def run(*command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        argv = ["ssh", *options(sandbox, key), "root@sandbox", *command]
        return subprocess.run(argv, input=stdin, capture_output=True, timeout=PATIENCE, check=False)

    return run


def test_a_command_runs_and_nothing_is_added_to_its_output(ssh: Run) -> None:
    done = ssh("true")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert ssh("exit 7").returncode == 7
    assert ssh("cat", stdin=b"\x00through\xff").stdout == b"\x00through\xff"
    assert b'"condition"' in ssh("codetainer", "status", "--json").stdout


def test_a_login_shell_without_a_terminal_prints_nothing(ssh: Run) -> None:
    assert ssh("attach-claude").stdout == b""


@pytest.mark.parametrize("program", ["scp", "scp -O", "sftp", "rsync"])
def test_files_are_copied_there_and_back(sandbox: Running, key: Path, tmp_path: Path, program: str) -> None:
    here, back = str(tmp_path / "here"), str(tmp_path / "back")
    Path(here).write_bytes(os.urandom(200_000))
    ssh_options = options(sandbox, key)
    there = f"/tmp/copied-{program.replace(' ', '')}"
    remote = f"root@sandbox:{there}"
    match program.split():
        case ["scp", *more]:
            copy = ["scp", "-q", *more, *ssh_options]
            commands = [[*copy, here, remote], [*copy, remote, back]]
        case ["rsync"]:
            copy = ["rsync", "-e", shlex.join(["ssh", *ssh_options])]
            commands = [[*copy, here, remote], [*copy, remote, back]]
        case _:
            batch = tmp_path / "batch"
            batch.write_text(f"put {here} {there}\nget {there} {back}\n")
            commands = [["sftp", "-q", "-b", str(batch), *ssh_options, "root@sandbox"]]
    for command in commands:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
    assert Path(back).read_bytes() == Path(here).read_bytes()


def test_the_agents_work_can_be_exported_over_ssh(sandbox: Running, ssh: Run, tmp_path: Path) -> None:
    work = "cd /workspace/repo && echo here > here && git add . && git commit -qm one && git rev-parse HEAD"
    commit = sandbox.agent("env", "HOME=/home/claude", "sh", "-c", work).stdout.strip()
    done = ssh("codetainer", "export")
    assert (done.returncode, b" stash apply " in done.stderr) == (0, True)
    (tmp_path / "work.bundle").write_bytes(done.stdout)
    heads = subprocess.run(
        ["git", "bundle", "list-heads", tmp_path / "work.bundle"], capture_output=True, text=True, check=True
    )
    assert f"{commit} refs/heads/main" in heads.stdout


def test_a_clone_over_ssh_is_made_by_the_agents_git(sandbox: Running, key: Path, tmp_path: Path) -> None:
    """sshd starts git-upload-pack as root, and git refuses a repository that belongs to another user."""
    command = f"core.sshCommand={shlex.join(['ssh', *options(sandbox, key)])}"
    git = ["git", "-c", command, "clone", "--quiet", "root@sandbox:/workspace/repo", str(tmp_path / "clone")]
    done = subprocess.run(git, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "clone/README.md").exists()


def test_a_terminal_becomes_the_session_and_again(sandbox: Running, key: Path) -> None:
    for _ in range(2):
        with at("-t", *options(sandbox, key), "root@sandbox", program=["ssh"]) as terminal:
            terminal.expect(PROMPT)
            terminal.type(DETACH)
            assert terminal.code() == 0


def test_keys_that_a_slow_link_delivers_together_are_still_keys(sandbox: Running, key: Path) -> None:
    with at("-t", *options(sandbox, key), "root@sandbox", program=["ssh"]) as terminal:
        terminal.expect(PROMPT)
        terminal.type("  " + DETACH)  # three keys at once: by default tmux would treat the rest as pasted
        assert terminal.code() == 0


def test_terminal_replies_on_a_slow_link_do_not_reach_the_agents_pane(sandbox: Running, key: Path) -> None:
    """The terminal's replies to the dashboard's queries are still in transit when the session opens."""
    argv = ("-t", *options(sandbox, key, 0.2), "root@sandbox", "codetainer", "dashboard", "--stay")
    with at(*argv, program=["ssh"], answers=ANSWERS) as terminal:
        terminal.type("t")  # before there is a dashboard
        terminal.expect(PROMPT)
        time.sleep(1.0)  # as long as a reply could still be in transit
        shown = sandbox.screen()
        assert not any(part in shown for part in ("2026", "2048", "62;22")), shown
        terminal.type(DETACH)
        assert terminal.code() == 0


def test_two_operators_see_the_same_session(sandbox: Running, key: Path) -> None:
    with (
        at("-t", *options(sandbox, key), "root@sandbox", program=["ssh"]) as one,
        at("-t", *options(sandbox, key), "root@sandbox", program=["ssh"]) as other,
    ):
        one.expect(PROMPT)
        other.expect(PROMPT)
        assert [pane.pane_height for pane in sandbox.tmux.panes] == [
            "23",
            "6",
        ]  # a fifth of these terminals' 30 lines is the shell's
        in_shell(sandbox, "echo told-$((40+2))")
        one.expect("told-42")
        other.expect("told-42")
        other.type(DETACH)
        assert other.code() == 0
        in_shell(sandbox, "echo still-$((40+3))")
        one.expect("still-43")
        one.type(DETACH)
        assert one.code() == 0


def in_shell(sandbox: Running, command: str) -> None:
    """Restarts the session's lower pane with a command, because a starting shell can lose what is typed."""
    sandbox.tmux.panes[1].respawn(kill=True, shell=f"{command}; exec bash")


def test_the_dashboard_in_a_popup_runs_as_the_agent_and_is_read_only(sandbox: Running, key: Path) -> None:
    with at("-t", *options(sandbox, key), "root@sandbox", program=["ssh"]) as terminal:
        terminal.expect(PROMPT)
        terminal.type("\x02D")
        terminal.expect("quit")
        terminal.type("r")
        terminal.expect("read-only: ask the operator to run codetainer refresh")
        terminal.type("q")
        terminal.expect(PROMPT)  # the popup has closed, and tmux has redrawn the pane
        terminal.type(DETACH)
        assert terminal.code() == 0


def test_a_missing_session_is_reported_instead_of_closing_the_connection(sandbox: Running, key: Path) -> None:
    sandbox.tmux.kill()
    try:
        with at("-t", *options(sandbox, key), "root@sandbox", program=["ssh"]) as terminal:
            terminal.expect("restart Claude")  # the key for it
            terminal.type("q")
            assert terminal.code() == 0
    finally:
        assert sandbox.codetainer("session", "restart").returncode == 0


def test_the_socket_of_a_killed_tmux_server_does_not_count_as_a_session(sandbox: Running, key: Path) -> None:
    sandbox.root("kill", "-KILL", str(sandbox.pane.pid))
    assert sandbox.root("test", "-S", "/run/codetainer/tmux/server.sock").returncode == 0
    try:
        with at("-t", *options(sandbox, key), "root@sandbox", program=["ssh"]) as terminal:
            terminal.expect("restart Claude")
            terminal.type("q")
            assert terminal.code() == 0
    finally:
        assert sandbox.codetainer("session", "restart").returncode == 0


def test_a_login_that_wants_the_dashboard_first_stays_on_it(tmp_path: Path, key: Path) -> None:
    sandbox = start(tmp_path, f"first-{os.getpid()}", CODETAINER_LOGIN="dashboard")
    try:
        give_sshd(sandbox, key)
        with at("-t", *options(sandbox, key), "root@sandbox", program=["ssh"]) as terminal:
            terminal.expect("quit")
            time.sleep(4.0)  # longer than the notice before a hand-over
            assert FAKE_CLAUDE.encode() not in terminal.seen
            terminal.type("t")
            terminal.expect(FAKE_CLAUDE)
            terminal.type(DETACH)
            assert terminal.code() == 0
    finally:
        sandbox.stop()


@pytest.mark.parametrize("slow", [0.0, 0.2], ids=["at-once", "400-ms"])
def test_a_login_during_boot_is_handed_over(tmp_path: Path, key: Path, slow: float) -> None:
    sandbox, boot = stopped_in_boot(lambda: start(tmp_path, f"during-{os.getpid()}", until_released=False))
    try:
        give_sshd(sandbox, key)
        with at("-t", *options(sandbox, key, slow), "root@sandbox", program=["ssh"], answers=ANSWERS) as terminal:
            terminal.expect("BOOTING")
            os.kill(boot, signal.SIGCONT)
            terminal.expect(FAKE_CLAUDE)
            terminal.type(DETACH)
            assert terminal.code() == 0
        with at("-t", *options(sandbox, key, slow), "root@sandbox", program=["ssh"], answers=ANSWERS) as terminal:
            terminal.expect(FAKE_CLAUDE)
            terminal.type(DETACH)
            assert terminal.code() == 0
    finally:
        sandbox.stop()
