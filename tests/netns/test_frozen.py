"""A frozen sandbox and a hostile agent: its preparations before the freeze, and failures during the freeze."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.agent import cgroups, freezer
from backend.contract.events import Froze
from backend.sandbox.as_agent import FROZEN
from backend.system import AGENT
from tests.netns import headless
from tests.netns.sandbox import Running, eventually
from tests.netns.test_cases import connect
from tests.netns.test_freezer import changes

pytestmark = pytest.mark.netns

# A timer that sends SIGCONT to its own process a hundred times a second (timer_create(2)).
TIMER = """
import ctypes, signal, sys, time
class Event(ctypes.Structure):
    _fields_ = [("value", ctypes.c_void_p), ("signo", ctypes.c_int), ("notify", ctypes.c_int), ("rest", ctypes.c_char * 48)]
libc, timer, event = ctypes.CDLL(None), ctypes.c_void_p(), Event(None, signal.SIGCONT, 0, b"")
often = (ctypes.c_long * 4)(0, 10_000_000, 0, 10_000_000)
signal.signal(signal.SIGCONT, lambda *_: None)
assert libc.timer_create(1, ctypes.byref(event), ctypes.byref(timer)) == 0
assert libc.timer_settime(timer, 0, often, None) == 0
while True:
    with open(sys.argv[1], "w") as file:
        file.write(str(time.time()))
    time.sleep(0.01)
"""

# Processes that fork and exit, each of which sends SIGCONT to all others.
STORM = """
import os, signal, sys, time
for _ in range(3):
    if os.fork() == 0:
        while time.time() < float(sys.argv[2]):
            if os.fork():
                os._exit(0)
            os.kill(-1, signal.SIGCONT)
            with open(sys.argv[1], "w") as file:
                file.write(str(time.time()))
        os._exit(0)
"""


@contextlib.contextmanager
def running(sandbox: Running, code: str, *arguments: object) -> Iterator[Path]:
    """Runs a program as the agent. Yields the file that it writes to while it runs."""
    place = sandbox.paths.root / "tmp/runs"
    place.unlink(missing_ok=True)
    process = subprocess.Popen(sandbox.command(AGENT, "/usr/bin/python3", "-I", "-c", code, "/tmp/runs", *map(str, arguments)))
    eventually("it runs", place.exists)
    yield place
    process.kill()
    process.wait()


def frozen(sandbox: Running) -> list[Path]:
    """Returns the sandbox's cgroups. The hierarchy also shows those of other sandboxes."""
    own = Path(f"/proc/{sandbox.init}/ns/pid").readlink()
    (within,) = re.findall("^0::/(.*)$", Path(f"/proc/{sandbox.init}/cgroup").read_text(), re.MULTILINE)
    folders = set()
    for cgroup in (sandbox.paths.cgroups / within).glob(f"{cgroups.PREFIX}*"):
        with contextlib.suppress(OSError):
            for pid in (cgroup / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{pid}/ns/pid").readlink() == own:
                        folders.add(cgroup)
    return list(folders)


def test_a_timer_does_not_continue_the_agent(sandbox: Running) -> None:
    with running(sandbox, TIMER) as place:
        assert sandbox.codetainer("freeze").returncode == 0
        try:
            assert not changes(place, 20)
        finally:
            assert sandbox.codetainer("thaw").returncode == 0
        assert changes(place, 500)


def test_a_process_whose_main_thread_has_ended_is_frozen_and_thawed(sandbox: Running) -> None:
    """It looks like a zombie, but its other threads run."""
    with running(sandbox, headless.CODE) as place:
        assert changes(place, 500)
        assert sandbox.codetainer("freeze").returncode == 0
        (cgroup,) = frozen(sandbox)
        try:
            assert not changes(place, 20)
        finally:
            assert sandbox.codetainer("thaw").returncode == 0
        assert changes(place, 500)
        assert not cgroup.exists()


def test_processes_that_fork_and_exit_are_frozen_too(sandbox: Running) -> None:
    until = sandbox.python("import time; print(time.time() + 60)")
    with running(sandbox, STORM, until) as place:
        assert changes(place, 500)
        assert sandbox.codetainer("freeze").returncode == 0
        try:
            assert not changes(place, 20)
        finally:
            sandbox.root("sh", "-c", "kill -KILL $(pgrep -u 1000 -f /tmp/runs)")
            assert sandbox.codetainer("thaw").returncode == 0


def test_signals_stop_all_processes_of_the_agent_at_one_moment(sandbox: Running) -> None:
    """They stop no other process."""
    until = sandbox.python("import time; print(time.time() + 60)")
    with running(sandbox, STORM, until) as place:
        assert changes(place, 500)

        def stopped() -> bool:
            """The supervisor does not know of this freeze and may start a process; the next round stops that, too."""
            assert sandbox.root("/usr/bin/python3", "-I", "-c", freezer.STOP_ALL).returncode == 0
            states = sandbox.root("ps", "-o", "stat=", "-u", "claude").stdout.split()
            return {state[0] for state in states} <= freezer.STANDING and not changes(place, 10)

        eventually("all have stopped", stopped)
        assert {state[0] for state in sandbox.root("sh", "-c", "ps -o stat= -u coredns,guard,gate,root").stdout.split()} & {
            "S",
            "R",
        }
        assert sandbox.codetainer("explain", "github.com").returncode == 0
        sandbox.root("sh", "-c", "kill -KILL $(pgrep -u 1000 -f /tmp/runs); kill -CONT $(pgrep -u 1000)")


def test_a_restarted_guard_opens_nothing(sandbox: Running) -> None:
    assert sandbox.codetainer("freeze").returncode == 0
    try:
        killed = sandbox.kill("guard")
        eventually("the guard is back", lambda: sandbox.came_back("guard", killed))
        connect(sandbox, "github.com")  # a query normally opens the name's address
        assert connect(sandbox, "198.51.100.10") == "refused"
    finally:
        assert sandbox.codetainer("thaw").returncode == 0
    assert connect(sandbox, "github.com") == "open"


@pytest.mark.parametrize("argv", [("allow", "unlisted.test"), ("refresh",), ("retry",), ("session", "restart")])
def test_nothing_is_opened_or_started_meanwhile(sandbox: Running, argv: tuple[str, ...]) -> None:
    assert sandbox.codetainer("freeze").returncode == 0
    try:
        done = sandbox.codetainer(*argv)
        assert (done.returncode, "the sandbox is frozen" in done.stderr) == (1, True)
    finally:
        assert sandbox.codetainer("thaw").returncode == 0


@pytest.mark.parametrize("command", [("git", "-C", "/workspace", "status"), ("codetainer", "as-agent", "--", "true")])
def test_root_starts_nothing_as_the_agent_meanwhile(sandbox: Running, command: tuple[str, ...]) -> None:
    """A new process would run until the next freeze, and git runs programs of the agent's choice."""
    assert sandbox.codetainer("freeze").returncode == 0
    try:
        done = sandbox.root(*command)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"codetainer: {FROZEN}\n"
    finally:
        assert sandbox.codetainer("thaw").returncode == 0
    assert sandbox.root(*command).stderr == "" or command[0] == "git"
    assert not sandbox.paths.frozen.exists()


def test_the_agent_is_stopped_even_if_the_guard_does_not_answer(sandbox: Running) -> None:
    """The reply says that addresses are still open and that the freeze must be repeated."""
    guard = sandbox.pid("guard")
    with running(sandbox, TIMER) as place:
        os.kill(guard, signal.SIGSTOP)
        try:
            done = sandbox.codetainer("freeze")
            assert (done.returncode, "addresses are not closed yet" in done.stderr) == (1, True)
            assert sandbox.events(Froze)[-1].frozen
            assert not changes(place, 10)
        finally:
            os.kill(guard, signal.SIGCONT)
            assert sandbox.codetainer("freeze").returncode == 0
            assert sandbox.codetainer("thaw").returncode == 0


def test_the_end_of_a_frozen_sandbox_leaves_no_cgroup(tmp_path: Path, sandbox: Running) -> None:
    """The last test, because it ends the shared sandbox."""
    assert sandbox.codetainer("freeze").returncode == 0
    (cgroup,) = frozen(sandbox)
    place = tmp_path / "cgroups"
    within = cgroups.hierarchy(place)
    assert within is not None
    above = within.above
    try:
        assert (above / cgroup.name).is_dir()
        sandbox.stop()
        assert not (above / cgroup.name).exists()
    finally:
        subprocess.run(["umount", str(place)], check=True)
