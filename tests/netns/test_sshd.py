"""The sandbox's own sshd over the network: logins, their rights and limits, and restarts.

Length: all tests share one sandbox, because its boot takes seconds.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.contract.events import BootFinished, BootState, Noted, ProofFinished, ServiceChanged, ServiceState, SshOpened
from tests.netns.sandbox import PATIENCE, Running, backend_of, eventually, start, stopped_in_boot
from tests.netns.test_login import DETACH, FAKE_CLAUDE
from tests.netns.test_ssh import ANSWERS
from tests.netns.test_up_terminal import Terminal, at

pytestmark = pytest.mark.netns

PORT = 2222
ADDRESS = "203.0.113.254"


def new_key(folder: Path, kind: str = "ed25519") -> Path:
    file = folder / kind
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", file], check=True)
    return file


@dataclass(frozen=True, slots=True)
class Door:
    """A sandbox with an sshd, and an operator on the network outside. `way` is the ssh command that `up` printed."""

    sandbox: Running
    way: tuple[str, ...]
    key: Path
    known_hosts: Path

    @property
    def before(self) -> tuple[str, ...]:
        """The part of the command before `ssh`, which enters the operator's network."""
        return self.way[: self.way.index("ssh")]

    @property
    def place(self) -> tuple[str, ...]:
        """The part after `ssh`: port, user and address."""
        return self.way[self.way.index("ssh") + 1 :]

    def options(self, key: Path | None = None) -> list[str]:
        return [
            "-F", "none", "-i", str(key or self.key), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
            "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "StrictHostKeyChecking=yes",
            "-o", "LogLevel=ERROR", "-o", f"HostKeyAlias={self.known_hosts.read_text().split()[0]}",
        ]  # fmt: skip

    def argv(self, *options: str, key: Path | None = None) -> list[str]:
        return [*self.before, "ssh", *self.options(key), *options, *self.place]

    def run(self, *command: str, options: tuple[str, ...] = (), key: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        argv = [*self.argv(*options, key=key), *command]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)

    def within(self, *argv: str) -> subprocess.CompletedProcess[bytes]:
        """Runs another program on the operator's network."""
        return subprocess.run(
            [*self.before, *argv], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )


def door(folder: Path, name: str, key: Path, *, until_released: bool = True, **environment: str) -> Door:
    keys = environment.pop("keys", Path(f"{key}.pub").read_text())
    sandbox = start(
        folder, name, until_released=until_released, CODETAINER_SSH_KEYS=keys, CODETAINER_SSH_PORT=str(PORT), **environment
    )
    eventually("sshd listens", lambda: sandbox.paths.journal.exists() and sandbox.events(SshOpened))
    printed = re.search(r"^codetainer: log in with (.*)$", (folder / "err").read_text(), re.MULTILINE)
    assert printed is not None
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(sandbox.codetainer("ssh-config", "--known-hosts").stdout)
    return Door(sandbox, tuple(shlex.split(printed[1])), key, known_hosts)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("sshd")
    opened_door = door(folder, f"sshd-{os.getpid()}", new_key(folder))
    yield opened_door
    opened_door.sandbox.stop()


def test_a_command_runs_with_the_path_and_nothing_is_added_to_its_output(opened: Door) -> None:
    for terminal in ((), ("-tt",)):  # with a terminal, sshd's own messages would be mixed in
        done = opened.run("true", options=terminal)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert opened.run("exit 7").returncode == 7
    assert "SSH up port 2222 SHA256:" in " ".join(opened.run("codetainer", "status").stdout.decode().split())
    environment = dict(line.split("=", 1) for line in opened.run("env").stdout.decode().splitlines())
    assert environment["PATH"].split(":")[1] == "/usr/local/bin"
    assert set(environment) <= {
        "PATH", "HOME", "SHELL", "USER", "LOGNAME", "LANG", "PWD", "SHLVL", "SSH_CLIENT", "SSH_CONNECTION", "MAIL", "_",
    }  # fmt: skip


def test_ssh_accepts_the_output_of_ssh_config(opened: Door, tmp_path: Path) -> None:
    """Like an operator, writes the printed entry and the known_hosts line to files."""
    config, known_hosts = tmp_path / "config", tmp_path / "known_hosts"
    config.write_text(opened.sandbox.codetainer("ssh-config", "--name", "there").stdout)
    assert f"HostName {ADDRESS}" in config.read_text()
    known_hosts.write_text(config.read_text().splitlines()[-1].lstrip("# ") + "\n")
    more = ["-i", str(opened.key), "-o", f"UserKnownHostsFile={known_hosts}", "-o", "BatchMode=yes"]
    done = opened.within("ssh", "-F", str(config), *more, "there", "echo", "in")
    assert (done.stdout, done.returncode) == (b"in\n", 0), done.stderr
    known_hosts.write_text(f"{known_hosts.read_text().split()[0]} {Path(f'{opened.key}.pub').read_text()}")
    done = opened.within("ssh", "-F", str(config), *more, "there", "echo", "in")
    assert b"in" not in done.stdout
    assert done.returncode == 255


def test_its_fingerprint_is_in_journal_log_and_status(opened: Door, tmp_path: Path) -> None:
    (event,) = opened.sandbox.events(SshOpened)
    (tmp_path / "public").write_text(event.host_key + "\n")
    shown = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "public"], capture_output=True, text=True, check=True).stdout
    assert event.fingerprint in shown
    assert event.fingerprint in opened.sandbox.codetainer("logs").stdout
    folder = opened.sandbox.paths.ssh
    assert folder.stat().st_mode & 0o7777 == 0o700
    assert (folder / "host_key").stat().st_mode & 0o7777 == 0o600
    assert opened.sandbox.agent("ls", "/run/codetainer/ssh").returncode != 0


def test_files_are_copied(opened: Door, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(os.urandom(100_000))
    options = opened.options()
    remote = f"root@{ADDRESS}:/tmp/copied"
    for argv in (["scp", "-q", *options, "-P", str(PORT), f"{tmp_path}/here", remote],
                 ["scp", "-q", "-O", *options, "-P", str(PORT), remote, f"{tmp_path}/back"]):  # fmt: skip
        done = opened.within(*argv)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "back").read_bytes() == (tmp_path / "here").read_bytes()


def leave(terminal: Terminal) -> None:
    """Detaches, repeatedly if needed: to tmux, keys in quick succession are pasted text (assume-paste-time), not bindings."""

    def ended() -> bool:
        terminal.type(DETACH)
        terminal._read(b"\0")  # a writer blocks until the terminal is read
        time.sleep(0.2)  # like a user who sees that nothing has happened
        return terminal.process.poll() is not None

    eventually("the client has gone", ended)
    assert terminal.process.returncode == 0


def test_a_terminal_becomes_the_session_and_again(opened: Door) -> None:
    for _ in range(2):
        with at(program=opened.argv("-tt")) as terminal:
            terminal.expect(FAKE_CLAUDE)
            leave(terminal)


def test_logins_are_in_the_journal_and_failed_ones_are_counted(opened: Door, tmp_path: Path) -> None:
    opened.run("true")
    opened.run("true", key=new_key(tmp_path))
    login = "ssh: login from 203.0.113.253 with ED25519 SHA256:"
    eventually("it is in the journal", lambda: any(note.text.startswith(login) for note in opened.sandbox.events(Noted)))
    assert [note for note in opened.sandbox.events(Noted) if "ssh" in note.text and note.level != "info"] == []


STEAL = """
import json, socket
results = []
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET, "203.0.113.254"), (socket.AF_INET6, "::")):
    for option in (None, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            if family is socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if option:
                sock.setsockopt(socket.SOL_SOCKET, option, 1)
            try:
                sock.bind((address, 2222)); sock.listen(1); results.append("taken")
            except OSError as error:
                results.append("refused")
for address in ("127.0.0.1", "203.0.113.254", "::1"):
    try:
        socket.create_connection((address, 2222), timeout=30).close(); results.append("connected")
    except ConnectionRefusedError:
        results.append("refused")
print(json.dumps(results))
"""


def test_the_agent_neither_reaches_it_nor_takes_its_port(opened: Door) -> None:
    assert opened.sandbox.events(ProofFinished)[0].results["sshd"] == ""  # the self-test includes it
    assert opened.sandbox.python(STEAL) == ["refused"] * 12


SQUAT = """
import socket, sys, threading
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
while True:
    try:
        listener.bind(("0.0.0.0", 2222)); listener.listen(8); break
    except OSError:
        pass
sys.stdout.write("taken\\n"); sys.stdout.flush()
listener.settimeout(60)
def greet():
    while True:
        connection, _ = listener.accept()
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\\r\\n")
threading.Thread(target=greet, daemon=True).start()
sys.stdin.readline()
"""


def test_it_is_restarted_and_a_process_that_took_its_port_cannot_answer(opened: Door) -> None:
    """The agent is fast enough only because the test delays sshd's restart. Any uid can bind the port, which is above 1024."""
    sandbox = opened.sandbox
    boot, sshd = backend_of(sandbox), sandbox.pid("sshd")
    os.kill(boot, signal.SIGSTOP)
    try:
        os.kill(sshd, signal.SIGKILL)
        squatter = subprocess.Popen(
            ["nsenter", f"--target={sandbox.init}", "--all", "setpriv", "--reuid=1000", "--regid=1000", "--clear-groups",
             "/usr/bin/python3", "-I", "-c", SQUAT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert squatter.stdout is not None
        assert squatter.stdout.readline() == "taken\n"
    finally:
        os.kill(boot, signal.SIGCONT)
    with squatter:
        eventually("it is reported", lambda: sandbox.state.services["sshd"].state is ServiceState.DOWN)
        probe = "import socket; s = socket.create_connection(('203.0.113.254', 2222), timeout=3); print(s.recv(30))"
        done = opened.within("/usr/bin/python3", "-c", probe)
        assert b"SSH-2.0" not in done.stdout
        assert b"imeout" in done.stderr or b"imed out" in done.stderr, done.stderr
        eventually("the reason is reported", lambda: "Address already in use" in sandbox.state.services["sshd"].detail)
        assert b"DEGRADED" in sandbox.codetainer("status").stdout.encode()
        assert sandbox.codetainer("ssh-config").returncode == 1
        squatter.communicate("\n", timeout=PATIENCE)
    eventually("sshd is up again", lambda: sandbox.state.services["sshd"].state is ServiceState.UP)
    assert opened.run("echo", "in").stdout == b"in\n"  # with the same host key, which the client has pinned
    assert sandbox.state.services["sshd"].restarts > 0


def test_a_login_during_boot_sees_the_dashboard_and_is_handed_over(tmp_path: Path) -> None:
    opened_door: Door

    def begin() -> Running:
        nonlocal opened_door
        opened_door = door(tmp_path, f"during-{os.getpid()}", key, until_released=False)
        return opened_door.sandbox

    key = new_key(tmp_path)
    _, boot = stopped_in_boot(begin)
    try:
        with at(program=opened_door.argv("-tt"), answers=ANSWERS) as terminal:
            terminal.expect("BOOTING")
            os.kill(boot, signal.SIGCONT)
            terminal.expect(FAKE_CLAUDE)
            leave(terminal)
        with at(program=opened_door.argv("-tt"), answers=ANSWERS) as terminal:
            terminal.expect(FAKE_CLAUDE)
            leave(terminal)
    finally:
        os.kill(boot, signal.SIGCONT)
        opened_door.sandbox.stop()


def test_a_login_waits_for_boot_as_long_as_the_operator_has_set(tmp_path: Path) -> None:
    """Logins over sshd do not have boot's environment; the setting reaches them through a file."""
    opened_door: Door

    def begin() -> Running:
        nonlocal opened_door
        opened_door = door(tmp_path, f"timeout-{os.getpid()}", key, until_released=False, CODETAINER_LOCK_TIMEOUT="1s")
        return opened_door.sandbox

    key = new_key(tmp_path)
    _, boot = stopped_in_boot(begin)
    try:
        done = opened_door.run("codetainer", "attach", "--plain")
        assert b"boot is not over after 1 s" in done.stderr
        assert done.returncode == 1
    finally:
        os.kill(boot, signal.SIGCONT)
        opened_door.sandbox.stop()


def test_after_a_halted_boot_an_operator_can_log_in_and_see_why(tmp_path: Path) -> None:
    """With a key that may run one command only."""
    key = new_key(tmp_path)
    narrow = f'command="codetainer status",restrict {Path(f"{key}.pub").read_text()}'
    opened_door = door(tmp_path, f"halts-{os.getpid()}", key, keys=narrow, CODETAINER_TMPFS_HOME="900000G")
    try:
        assert opened_door.sandbox.events(BootFinished)[-1].state is BootState.HALTED
        done = opened_door.run("cat", "/run/codetainer/ssh/host_key")
        assert re.match(rb"halts-\d+  CLOSED  boot halted at Memory file systems", done.stdout)
        assert b"PRIVATE" not in done.stdout
    finally:
        opened_door.sandbox.stop()


CLOSED: Callable[[str], str] = "import socket; socket.create_connection(('203.0.113.254', {}), timeout=2)".format


def test_without_keys_there_is_no_sshd_and_no_port(sandbox: Running) -> None:
    assert "sshd" not in {change.service for change in sandbox.events(ServiceChanged)}
    assert sandbox.codetainer("ssh-config").returncode == 1
    assert "CODETAINER_SSH_KEYS" in sandbox.codetainer("ssh-config").stderr
    assert "tcp dport" not in re.sub(
        r"meta nfproto ipv6 .*", "", sandbox.root("nft", "list", "chain", "inet", "codetainer", "in").stdout
    )


SILENT = """
import socket, sys
held = [socket.create_connection(("203.0.113.254", 2222), timeout=30) for _ in range(24)]
greeted = 0
for sock in held:
    try:
        greeted += sock.recv(4) == b"SSH-"
    except OSError:
        pass
print(greeted, flush=True)
sys.stdin.readline()
"""


def test_silent_connections_do_not_lock_others_out(opened: Door) -> None:
    other = "192.0.2.77"
    assert opened.within("ip", "addr", "add", f"{other}/32", "dev", "lo").returncode == 0
    argv = [*opened.before, "/usr/bin/python3", "-I", "-c", SILENT]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as silent:
        assert silent.stdout is not None
        assert silent.stdout.readline() == b"10\n"
        assert opened.run("true").returncode != 0
        assert opened.run("true", options=("-b", other)).returncode == 0
        silent.communicate(b"\n", timeout=60)
