"""The session's life: what ends is said and can be started again; init happens once at a time, whatever was killed when."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend.contract.events import SessionChanged, SessionState
from tests.netns.sandbox import Running, eventually

pytestmark = pytest.mark.netns

SOCKET = "/run/codetainer/tmux/server.sock"
CREDENTIALS = ("GH_PAT=ghp_x", "CLAUDE_CODE_OAUTH_TOKEN=sk-ant-oat01-x")


def tmux(sandbox: Running, *argv: str) -> str:
    done = sandbox.agent("tmux", "-S", SOCKET, *argv)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def panes(sandbox: Running) -> dict[str, tuple[int, bool]]:
    """By pane: its process, and whether that has ended."""
    lines = tmux(sandbox, "list-panes", "-a", "-F", "#{pane_id} #{pane_pid} #{pane_dead}").splitlines()
    return {pane: (int(pid), dead == "1") for pane, pid, dead in (line.split() for line in lines)}


def ended(sandbox: Running, times: int) -> list[SessionChanged]:
    """Waits until so many ends of a session have been said."""
    eventually("the end is said", lambda: len(ends(sandbox)) >= times)
    return ends(sandbox)


def ends(sandbox: Running) -> list[SessionChanged]:
    return [event for event in sandbox.events(SessionChanged) if event.state is SessionState.ENDED]


def test_claude_that_ends_is_said_and_started_again_beside_the_shell(sandbox: Running) -> None:
    before = len(ends(sandbox))
    agents, shell = sorted(panes(sandbox))
    was = panes(sandbox)
    sandbox.root("kill", "-9", str(was[agents][0]))
    assert "the session's shell is there" in ended(sandbox, before + 1)[-1].detail
    assert panes(sandbox)[agents][1]  # its last words can still be read
    assert sandbox.codetainer("session", "restart").returncode == 0
    now = panes(sandbox)
    assert now[shell] == was[shell]
    assert now[agents][0] != was[agents][0]
    assert not now[agents][1]
    assert sandbox.state.session is not None
    assert sandbox.state.session.state is SessionState.UNKNOWN


def test_claude_that_still_runs_is_started_anew_and_the_shell_stays(sandbox: Running) -> None:
    agents, shell = sorted(panes(sandbox))
    was = panes(sandbox)
    assert not was[agents][1]
    assert sandbox.codetainer("session", "restart").returncode == 0
    now = panes(sandbox)
    assert now[shell] == was[shell]
    assert now[agents][0] != was[agents][0]
    assert not now[agents][1]


@pytest.mark.parametrize("how", [("kill-server",), ("kill-pane", "-t", "%0")], ids=["server", "pane"])
def test_what_else_ends_is_started_again(sandbox: Running, how: tuple[str, ...]) -> None:
    assert sandbox.codetainer("session", "restart").returncode == 0
    before = len(ends(sandbox))
    target = (*how[:-1], min(panes(sandbox))) if "-t" in how else how
    tmux(sandbox, *target)
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
    """The folder of its tmux server is the only one that it may write below /run/codetainer."""
    fill = "cd /run/codetainer/tmux && head -c 64M /dev/zero > filler; for n in $(seq 20000); do : > $n || break; done 2>&1"
    try:
        assert "No space left" in sandbox.agent("sh", "-c", fill).stderr
        free = sandbox.python("import json, os; s = os.statvfs('/run/codetainer'); print(json.dumps([s.f_bavail, s.f_favail]))")
        assert min(free) > 1000
    finally:
        sandbox.agent("sh", "-c", "cd /run/codetainer/tmux && rm -f filler [0-9]*")


def test_root_runs_nothing_that_the_agent_has_put_on_its_own_path(sandbox: Running) -> None:
    """The session's PATH begins with a folder of the agent's; what drops to the agent is root until it has."""
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
    """The one who asks is killed in the middle of it: what was asked for is done, and the lock is free."""
    asked = sandbox.root("sh", "-c", "codetainer session restart & sleep 0.3; kill -9 $!; wait")
    assert asked.returncode == 0
    eventually("the init lock is free", lambda: lock_is_free(sandbox))
    assert sandbox.codetainer("session", "restart").returncode == 0


def test_the_servers_configuration_is_roots(sandbox: Running) -> None:
    assert tmux(sandbox, "show-options", "-gv", "history-limit") == "250000"
    for option, value in (("escape-time", "0"), ("extended-keys", "on"), ("set-clipboard", "on"), ("focus-events", "on")):
        assert tmux(sandbox, "show-options", "-sv", option) == value
    assert "RGB" in tmux(sandbox, "show-options", "-sv", "terminal-features")
    assert "sync" in tmux(sandbox, "show-options", "-sv", "terminal-features")
    assert sandbox.agent("sh", "-c", "echo >> /run/codetainer/tmux.conf").returncode != 0


def test_a_server_killed_outright(sandbox: Running) -> None:
    before = len(ends(sandbox))
    server = int(tmux(sandbox, "display-message", "-p", "#{pid}"))
    assert sandbox.root("kill", f"-{signal.SIGKILL.value}", str(server)).returncode == 0
    ended(sandbox, before + 1)
    assert Path(f"/proc/{sandbox.init}").exists()
    assert sandbox.codetainer("session", "restart").returncode == 0
    assert os.path.exists(sandbox.paths.tmux_socket)  # noqa: PTH110 (a path through /proc)
