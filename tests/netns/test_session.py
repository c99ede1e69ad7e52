"""The session's life cycle: ends are reported, restarts work, and only one init runs at a time, whatever is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import libtmux
import psutil
import pytest
from libtmux.constants import OptionScope

from backend.contract.events import SessionChanged, SessionState
from tests.netns.sandbox import Running, backend_of, eventually

pytestmark = pytest.mark.netns

CREDENTIALS = ("GH_PAT=ghp_x", "CLAUDE_CODE_OAUTH_TOKEN=sk-ant-oat01-x")


def panes(sandbox: Running) -> dict[str, tuple[int, bool]]:
    """Maps each pane to its process and whether that has ended."""
    return {str(pane.pane_id): (int(pane.pane_pid or 0), pane.pane_dead == "1") for pane in sandbox.tmux.panes}


def ended(sandbox: Running, times: int) -> list[SessionChanged]:
    """Waits until `times` ends of a session have been reported."""
    eventually("the end is reported", lambda: len(ends(sandbox)) >= times)
    return ends(sandbox)


def ends(sandbox: Running) -> list[SessionChanged]:
    return [event for event in sandbox.events(SessionChanged) if event.state is SessionState.ENDED]


def test_the_end_of_claude_is_reported_and_it_is_restarted_beside_the_shell(sandbox: Running) -> None:
    before = len(ends(sandbox))
    agents, shell = sorted(panes(sandbox))
    was = panes(sandbox)
    sandbox.root("kill", "-9", str(was[agents][0]))
    assert "the session's shell is still running" in ended(sandbox, before + 1)[-1].detail
    assert panes(sandbox)[agents][1]  # its last output can still be read
    assert sandbox.codetainer("session", "restart").returncode == 0
    now = panes(sandbox)
    assert now[shell] == was[shell]
    assert now[agents][0] != was[agents][0]
    assert not now[agents][1]
    assert sandbox.state.session is not None
    assert sandbox.state.session.state is SessionState.UNKNOWN


def test_a_running_claude_is_restarted_and_the_shell_stays(sandbox: Running) -> None:
    agents, shell = sorted(panes(sandbox))
    was = panes(sandbox)
    assert not was[agents][1]
    assert sandbox.codetainer("session", "restart").returncode == 0
    now = panes(sandbox)
    assert now[shell] == was[shell]
    assert now[agents][0] != was[agents][0]
    assert not now[agents][1]


@pytest.mark.parametrize(
    "kill", [lambda sandbox: sandbox.tmux.kill(), lambda sandbox: sandbox.pane.kill()], ids=["server", "pane"]
)
def test_other_parts_of_the_session_are_restarted(sandbox: Running, kill: Callable[[Running], None]) -> None:
    assert sandbox.codetainer("session", "restart").returncode == 0
    before = len(ends(sandbox))
    kill(sandbox)
    ended(sandbox, before + 1)
    assert sandbox.codetainer("session", "restart").returncode == 0
    assert [dead for _, dead in panes(sandbox).values()] == [False, False]


def test_many_restarts_at_once_leave_one_session(sandbox: Running) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: sandbox.codetainer("session", "restart"), range(4)))
    assert any(one.returncode == 0 for one in done)
    for one in done:
        assert one.returncode == 0 or "another boot of this sandbox is running" in one.stderr
    assert [dead for _, dead in panes(sandbox).values()] == [False, False]
    eventually("the init lock is free", lambda: lock_is_free(sandbox))


def test_the_agent_cannot_fill_the_journals_file_system(sandbox: Running) -> None:
    """Below /run/codetainer, it can write only to the folder of its tmux server."""
    fill = "cd /run/codetainer/tmux && head -c 64M /dev/zero > filler; for n in $(seq 20000); do : > $n || break; done 2>&1"
    try:
        assert "No space left" in sandbox.agent("sh", "-c", fill).stderr
        free = sandbox.python("import json, os; s = os.statvfs('/run/codetainer'); print(json.dumps([s.f_bavail, s.f_favail]))")
        assert min(free) > 1000
    finally:
        sandbox.agent("sh", "-c", "cd /run/codetainer/tmux && rm -f filler [0-9]*")


def test_root_runs_no_program_from_the_agents_path(sandbox: Running) -> None:
    """The session's PATH begins with a folder of the agent, and the program that drops to the agent starts as root."""
    plant = """mkdir -p ~/.local/bin /tmp/ran
printf '#!/bin/sh\nid -u > /tmp/ran/$(id -u)\nexec /usr/bin/"${0##*/}" "$@"\n' > ~/.local/bin/setpriv
chmod +x ~/.local/bin/setpriv
for name in nsenter tmux sh env nice git confine; do cp ~/.local/bin/setpriv ~/.local/bin/$name; done"""
    assert sandbox.agent("sh", "-c", plant).returncode == 0
    try:
        assert sandbox.codetainer("session", "restart").returncode == 0
        assert sandbox.agent("true").returncode == 0
        assert sandbox.agent("ls", "/tmp/ran").stdout.split() in ([], ["1000"])
    finally:
        sandbox.agent("sh", "-c", "rm -rf ~/.local/bin /tmp/ran")


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("exec yes", "cannot start the session: yes: "),
        ("exec cat /dev/zero >&2", "cannot start the session: exit code 1"),
        ("head -c 65536 /dev/urandom; exit 0", "tmux did not answer with process and pane ids"),
        ("echo -1 99999999999999999999 =claude", "tmux did not answer with process and pane ids"),
        ("exit 3", "cannot start the session: exit code 3"),
    ],
)
def test_a_fake_tmux_of_the_agent_does_no_harm(sandbox: Running, program: str, why: str) -> None:
    """Its output is read up to a bound and accepted only if well-formed, and a restart without it works again."""
    supervisor = psutil.Process(backend_of(sandbox))
    assert sandbox.codetainer("session", "restart").returncode == 0
    before = supervisor.memory_info().rss
    plant = f"mkdir -p ~/.local/bin; printf '#!/bin/sh\\n%s\\n' '{program}' > ~/.local/bin/tmux; chmod +x ~/.local/bin/tmux"
    assert sandbox.agent("sh", "-c", plant).returncode == 0
    try:
        done = sandbox.codetainer("session", "restart")
        assert done.returncode == 1
        assert why in done.stderr
        assert supervisor.memory_info().rss - before < 4 << 20
    finally:
        sandbox.agent("rm", "-rf", "/home/claude/.local/bin")
    assert sandbox.codetainer("session", "restart").returncode == 0
    assert [dead for _, dead in panes(sandbox).values()] == [False, False]


def lock_is_free(sandbox: Running) -> bool:
    return sandbox.root("flock", "-n", "-s", "/run/codetainer/init.lock", "true").returncode == 0


def test_a_second_boot_does_not_begin(sandbox: Running) -> None:
    segment = sandbox.paths.journal.stat().st_ino
    done = sandbox.root("env", *CREDENTIALS, "codetainer", "boot", "--no-tui")
    assert done.returncode == 1
    assert "another boot of this sandbox is running" in done.stderr
    assert sandbox.paths.journal.stat().st_ino == segment
    assert sandbox.codetainer("allowed").returncode == 0  # the control socket is still the first one's


def test_a_restart_that_is_killed_leaves_no_lock(sandbox: Running) -> None:
    """The client is killed during the restart: the restart completes, and the lock is free."""
    asked = sandbox.root("sh", "-c", "codetainer session restart & sleep 0.3; kill -9 $!; wait")
    assert asked.returncode == 0
    eventually("the init lock is free", lambda: lock_is_free(sandbox))
    assert sandbox.codetainer("session", "restart").returncode == 0


def test_the_servers_configuration_belongs_to_root(sandbox: Running, tmux: libtmux.Server) -> None:
    assert tmux.show_option("history-limit", global_=True, scope=OptionScope.Session) == 250000
    for option, value in (("escape-time", 0), ("extended-keys", True), ("set-clipboard", True), ("focus-events", True)):
        assert tmux.show_option(option) == value, option
    features = str(tmux.show_option("terminal-features"))
    assert "RGB" in features
    assert "sync" in features
    assert sandbox.agent("sh", "-c", "echo >> /run/codetainer/tmux.conf").returncode != 0


def test_a_server_killed_outright(sandbox: Running) -> None:
    before = len(ends(sandbox))
    assert sandbox.root("kill", f"-{signal.SIGKILL.value}", str(sandbox.pane.pid)).returncode == 0
    ended(sandbox, before + 1)
    assert Path(f"/proc/{sandbox.init}").exists()
    assert sandbox.codetainer("session", "restart").returncode == 0
    assert os.path.exists(sandbox.paths.tmux_socket)  # noqa: PTH110 (a path through /proc)
