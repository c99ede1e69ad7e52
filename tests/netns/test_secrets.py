"""Secrets are only where they are used: plants recognisable values and searches for them everywhere."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.bench.sandbox import Sandbox, command, running
from tests.netns.sandbox import number_inside, tmux_through

pytestmark = pytest.mark.netns

TOKEN, PLANTED = "ghp_planted-github-token", "sk-ant-oat01-planted-claude-token"
MARKS = (b"planted-github-token", b"planted-claude-token")
# Places that the agent can read: its own, ours, and those in which programs leave traces.
FOLDERS = (
    "run",
    "tmp",
    "home",
    "workspace",
    "etc",
    "opt/claude",
    "opt/network",
    "opt/gh-config",
    "var/log",
    "var/tmp",
    "dev/shm",
    "root",
)

SEARCH = r"""
for folder; do
  find "/$folder" -xdev -type f -size -4M -readable \
    -exec grep -lF -e planted-github-token -e planted-claude-token {} + 2>/dev/null
done
for process in /proc/[0-9]*; do
  grep -lF -e planted-github-token -e planted-claude-token "$process/environ" 2>/dev/null
done
true
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with the debug log, which contains the environments of failed commands."""
    with running(GH_PAT=TOKEN, CLAUDE_CODE_OAUTH_TOKEN=PLANTED, CODETAINER_DEBUG="on") as sandbox:
        yield sandbox


def entering(sandbox: Sandbox) -> list[str]:
    """Returns the command prefix that runs a program as the agent."""
    drop = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--"]
    return ["nsenter", "--all", f"--target={sandbox.init}", "--", *drop]


def as_agent(sandbox: Sandbox, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*entering(sandbox), *argv],
        env={"PATH": os.defpath},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def planted(data: bytes) -> bool:
    return any(mark in data for mark in MARKS)


def test_the_values_arrived(sandbox: Sandbox) -> None:
    """Root's boot process has the values, so the searches below could find them."""
    assert planted(Path(f"/proc/{sandbox.service('boot').pid}/environ").read_bytes())


def test_journal_and_log_contain_none(sandbox: Sandbox) -> None:
    segments = [*sandbox.paths.run.glob("events*.jsonl"), *sandbox.paths.run.glob("debug.log*")]
    assert len(segments) >= 2
    assert [path.name for path in segments if planted(path.read_bytes())] == []
    assert not planted(sandbox.log.read_bytes())


def test_no_process_has_one_in_its_arguments(sandbox: Sandbox) -> None:
    processes = sandbox.processes()
    assert len(processes) > 5
    assert [process for process in processes if planted(" ".join(command(process)).encode())] == []


def test_no_service_has_one_in_its_environment(sandbox: Sandbox) -> None:
    """A compromised guard or CoreDNS has no credential to leak."""
    services = {
        name: process
        for process in sandbox.processes()
        for name in ("coredns", "guard")
        if name in command(process)[:5] or any(program.endswith(name) for program in command(process)[:1])
    }
    assert services.keys() == {"coredns", "guard"}
    assert [name for name, process in services.items() if planted(Path(f"/proc/{process.pid}/environ").read_bytes())] == []


def test_the_agent_finds_none(sandbox: Sandbox) -> None:
    """Neither in a file nor in the environments of its processes, which include tmux, Claude and their shells."""
    assert as_agent(sandbox, "sh", "-c", SEARCH, "sh", *FOLDERS).stdout.split() == []


def test_the_gate_has_them_in_a_file_of_root_and_in_no_environment(sandbox: Sandbox) -> None:
    gate = next(process for process in sandbox.processes() if "haproxy" in command(process)[:1])
    assert not planted(Path(f"/proc/{gate.pid}/environ").read_bytes())
    assert planted((sandbox.paths.gate / "gate.cfg").read_bytes())
    assert (sandbox.paths.gate / "gate.cfg").stat().st_mode & 0o777 == 0o600
    assert as_agent(sandbox, "cat", "/run/codetainer/gate/gate.cfg").returncode != 0


def test_tmux_hands_out_placeholders(sandbox: Sandbox, tmp_path: Path) -> None:
    tmux = tmux_through(tmp_path / "tmux", [*entering(sandbox), "tmux"], {"PATH": os.defpath})
    handed = tmux.show_environment()
    assert str(handed["CLAUDE_CODE_OAUTH_TOKEN"]).startswith("sk-ant-oat01-codetainer")
    assert not planted(str(handed).encode())


def test_the_agent_can_read_no_environment_but_its_own(sandbox: Sandbox) -> None:
    done = as_agent(sandbox, "cat", f"/proc/{number_inside(sandbox.service('boot'))}/environ")
    assert done.returncode != 0
    assert done.stdout == ""


def test_nothing_leaves_a_core_dump(sandbox: Sandbox) -> None:
    """The hard limit counts, because a process may raise its soft limit again."""
    namespace = Path(f"/proc/{sandbox.init}/ns/pid").readlink()
    checked = []
    for process in sandbox.processes():
        try:
            inside = Path(f"/proc/{process.pid}/ns/pid").readlink() == namespace
            frontend = process.name() == "tini" or "--no-tui" in process.cmdline()  # it has only its environment
            limits = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
            core = next(line for line in limits if line.startswith("Max core file size"))
        except (OSError, psutil.NoSuchProcess, StopIteration):
            continue  # it has ended since; a zombie's limits are empty
        if inside and not frontend:
            checked.append(process)
            assert core.split()[4:6] == ["0", "0"], process
    assert len(checked) > 5
