"""`codetainer up --net nat` on a simulated machine: namespaces whose only network is a pretend internet."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.sandbox import first_process, namespaces
from backend.sandbox.namespaces import Mount, Namespace
from backend.sandbox.pretend import description, process
from backend.sandbox.pretend.certificates import Authority
from tests.netns.sandbox import CODETAINER, PATIENCE, eventually

pytestmark = pytest.mark.netns

INTERNET = """
resolver = "203.0.113.53"
others = "198.51.100.200"
"""
TABLES = ["nft", "list", "tables"]


@dataclass(frozen=True, slots=True)
class Machine:
    """A simulated machine. `pid` is a process that sleeps in its network and mount namespaces."""

    pid: int
    folder: Path

    def run(self, *argv: str, seconds: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._within(argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False,
            env=self._environment(),
        )  # fmt: skip

    def up(self, name: str, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Starts a sandbox, and waits for its command's first line."""
        (self.folder / "domains.conf").write_text("listed.test\n")
        started = subprocess.Popen(
            self._within([*CODETAINER, "up", "--net", "nat", "--no-work", "--name", f"{name}-{os.getpid()}",
                          "--domains", str(self.folder / "domains.conf"), "--", *command]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=(self.folder / name).open("w"), text=True,
            env=self._environment() | environment,
        )  # fmt: skip
        assert started.stdout is not None
        if not (line := started.stdout.readline()).startswith("runs"):
            raise AssertionError(f"{line}{(self.folder / name).read_text()}")
        return started

    def forwards(self) -> str:
        return self.run("cat", "/proc/sys/net/ipv4/ip_forward").stdout.strip()

    def links(self) -> str:
        return self.run("ip", "-brief", "link").stdout

    def clean(self) -> bool:
        return "codetainer" not in self.links() + self.run(*TABLES).stdout and self.forwards() == "0"

    def _within(self, argv: list[str] | tuple[str, ...]) -> list[str]:
        return ["nsenter", "--net", "--mount", f"--target={self.pid}", "--", *argv]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "GH_PAT": "pretend", "ANTHROPIC_API_KEY": "pretend"}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    internet = process.new()
    process.start(internet, description.parse(INTERNET, "test"), -1, Authority())
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 127.0.0.53\nnameserver 203.0.113.53\n")

    def sleep() -> None:
        namespaces.mount("none", Path("/"), flags=Mount.REC | Mount.PRIVATE)
        namespaces.bind(resolv_conf, Path("/etc/resolv.conf").resolve())
        namespaces.mount("tmpfs", Path("/run"), "tmpfs")  # hides the real machine's /run, which may name its resolvers
        first_process.reset_signals()
        os.execvp("sleep", ["sleep", "600"])

    ours = first_process.FirstProcess("the machine")
    ours.start(Namespace.NET | Namespace.MOUNT | Namespace.PID, sleep)
    machine = Machine(ours.pid, tmp_path)
    eventually("it sleeps", lambda: Path(f"/proc/{ours.pid}/comm").read_text() == "sleep\n")
    process.connect(internet.pid, ours.pid)
    machine.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
    try:
        yield machine
    finally:
        ours.end(0)
        internet.end(0)


CURL = "curl -sS -k -m 10 https://listed.test/page"


def test_listed_names_are_reached_through_the_machine(machine: Machine) -> None:
    up = machine.up("one", "sh", "-c", f"echo runs; {CURL}; cat")
    assert up.stdout is not None
    assert up.stdout.readline() == "listed.test answers /page\n"
    assert machine.forwards() == "1"
    assert "codetainer0" in machine.links()
    assert "codetainer_0" in machine.run(*TABLES).stdout
    up.communicate(timeout=PATIENCE)
    assert up.returncode == 0
    assert machine.clean()  # at once, without waiting


def test_the_printed_ssh_command_works_on_the_machine(machine: Machine, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    up = machine.up("ssh", "sh", "-c", "echo runs; cat", CODETAINER_SSH_KEYS=Path(f"{key}.pub").read_text())
    printed = (machine.folder / "ssh").read_text().partition("log in with ")[2].splitlines()[0]
    assert printed == "ssh -p 22 root@10.213.0.2"
    options = ["-F", "none", "-i", str(key), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
               "-o", f"UserKnownHostsFile={tmp_path}/known", "-o", "LogLevel=ERROR"]  # fmt: skip
    program, *rest = printed.split()
    done = machine.run(program, *options, *rest, "codetainer", "ssh-config")
    assert "HostName 10.213.0.2\n    Port 22\n" in done.stdout, done.stderr
    up.communicate(timeout=PATIENCE)


def test_kill_9_leaves_no_rule_no_link_and_forwarding_as_it_was(machine: Machine) -> None:
    up = machine.up("killed", "sh", "-c", "echo runs; cat")
    up.send_signal(signal.SIGKILL)
    up.communicate(timeout=PATIENCE)
    eventually("nothing is left", machine.clean)


def test_two_sandboxes_share_forwarding_and_the_last_one_restores_it(machine: Machine) -> None:
    first = machine.up("first", "sh", "-c", "echo runs; cat")
    second = machine.up("second", "sh", "-c", f"echo runs; read word; {CURL}")
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=PATIENCE)
    eventually("the first one's link has gone", lambda: "codetainer0" not in machine.links())
    assert machine.forwards() == "1"
    assert second.communicate("go\n", timeout=PATIENCE)[0] == "listed.test answers /page\n"
    assert machine.clean()


def test_forwarding_that_was_on_stays_on(machine: Machine) -> None:
    machine.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    up = machine.up("on", "sh", "-c", "echo runs; cat")
    up.communicate(timeout=PATIENCE)
    assert machine.forwards() == "1"


def test_a_firewall_that_forwards_nothing_is_reported(machine: Machine) -> None:
    machine.run("nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
    up = machine.up("dropped", "sh", "-c", f"echo runs; {CURL} || echo nothing; cat")
    assert up.stdout is not None
    assert up.stdout.readline() == "nothing\n"
    up.communicate(timeout=PATIENCE)
    assert "ip filter FORWARD" in (machine.folder / "dropped").read_text()


def test_the_error_without_a_resolver_says_what_to_set(machine: Machine) -> None:
    (machine.folder / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    done = machine.run(*CODETAINER, "up", "--net", "nat", "--no-work", "--name", f"none-{os.getpid()}", "--", "true")
    assert done.returncode == 1
    assert "CODETAINER_UPSTREAM" in done.stderr
