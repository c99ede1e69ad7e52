"""The faults of a soak. Each breaks one part of a running sandbox, and repairs only what nothing else would repair."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from backend.contract.paths import AGENT_UID
from tests.netns.sandbox import CODETAINER, Running, backend_of, eventually, number_inside, start
from tests.netns.suspensions import REPOSITORY

Fault = Callable[[Running], None]
PAUSE = 3.0  # seconds for which a part hangs, or a file system is full
STEP = 7200  # seconds by which the clock is wrong
STEPPED = "import time; time.real = getattr(time, 'real', time.time); time.time = lambda: time.real()"
EPOLL_WAIT = "232 "  # the system call's number on x86-64

NAMES = "for n in $(seq 300); do getent ahostsv4 soak-$n-$RANDOM.unlisted-$n.test; done >/dev/null 2>&1"


def _killing(service: str) -> Fault:
    def fault(sandbox: Running) -> None:
        os.kill(sandbox.pid(service), signal.SIGKILL)

    return fault


def _stopping(service: str) -> Fault:
    def fault(sandbox: Running) -> None:
        _pause(sandbox.pid(service))

    return fault


def _pause(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(PAUSE)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def backend_hangs(sandbox: Running) -> None:
    _pause(backend_of(sandbox))


def clock_steps(sandbox: Running) -> None:
    """Steps the time of day two hours forward, two hours back, and to what it is, as the supervisor and the guard see it.

    No namespace has a time of day of its own, so this replaces `time.time` in the two running programs with gdb.
    """
    for offset in (STEP, -STEP, 0):
        for pid in (backend_of(sandbox), sandbox.pid("guard")):
            _execute(pid, f"{STEPPED} + ({offset})")
        time.sleep(PAUSE / 3)


def _execute(pid: int, code: str) -> None:
    """Runs Python code in a running Python program. Raises AssertionError if that fails."""
    calls = (
        "set $state = ((int(*)(void))PyGILState_Ensure)()",
        f'print ((int(*)(const char*))PyRun_SimpleString)("{code}")',
        "print ((void(*)(int))PyGILState_Release)($state)",
    )
    eventually("it waits for an event", lambda: Path(f"/proc/{pid}/syscall").read_text().startswith(EPOLL_WAIT))
    done = subprocess.run(
        ["gdb", "-nx", "-q", "-batch", "-p", str(pid), "-iex", "set auto-load off", "-iex", "set sysroot /",
         *(word for one in calls for word in ("-ex", one))],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    if "$1 = 0" not in done.stdout:
        raise AssertionError(done.stdout + done.stderr)


def tmux_is_killed(sandbox: Running) -> None:
    _kill_agents(sandbox, "tmux: server")
    sandbox.codetainer("session", "restart", "--yes")


def claude_is_killed(sandbox: Running) -> None:
    with contextlib.suppress(Exception):
        os.kill(_in_namespace(sandbox, int(str(sandbox.pane.pane_pid))), signal.SIGKILL)
    sandbox.codetainer("session", "restart", "--yes")


def _in_namespace(sandbox: Running, number: int) -> int:
    """The pid on this machine of a process with a pid in the sandbox."""
    for process in sandbox.processes():
        if number_inside(process) == number:
            return process.pid
    raise ProcessLookupError(number)


def _kill_agents(sandbox: Running, name: str) -> None:
    for process in sandbox.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.uids().real == AGENT_UID and process.name() == name:
                process.kill()


def disk_is_full(sandbox: Running) -> None:
    """Fills the work space as the agent."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        sandbox.agent("sh", "-c", "cat /dev/zero > /workspace/fill 2>/dev/null")
    time.sleep(PAUSE)
    sandbox.agent("rm", "-f", "/workspace/fill")


def own_folder_is_full(sandbox: Running) -> None:
    """Fills the folder of the journal, as a defect of ours would."""
    sandbox.root("sh", "-c", "cat /dev/zero > /run/codetainer/fill 2>/dev/null")
    time.sleep(PAUSE)
    sandbox.root("rm", "-f", "/run/codetainer/fill")


def network_is_cut(sandbox: Running) -> None:
    """Takes the sandbox's link down and up again. The default route is lost with it, as on a machine whose cable is pulled."""
    inside = ["nsenter", f"--target={sandbox.init}", "--net", "--", "ip"]
    route = subprocess.run([*inside, "route", "show", "default"], capture_output=True, text=True, check=True).stdout.split()
    subprocess.run([*inside, "link", "set", "eth0", "down"], check=True)
    time.sleep(PAUSE)
    subprocess.run([*inside, "link", "set", "eth0", "up"], check=True)
    if route:
        subprocess.run([*inside, "route", "replace", *route], check=True)


def names_flood(sandbox: Running) -> None:
    sandbox.agent("bash", "-c", NAMES)


def freeze_and_thaw(sandbox: Running) -> None:
    sandbox.codetainer("freeze")
    time.sleep(PAUSE)
    sandbox.codetainer("thaw")


def grant_for_a_moment(sandbox: Running) -> None:
    sandbox.codetainer("allow", "unlisted.test", "--for", "2s")


def save(sandbox: Running) -> None:
    sandbox.codetainer("save")


def suspend_and_resume(sandbox: Running) -> None:
    """Suspends to a file, and resumes it in a second sandbox, which must have the last commit and every file unharmed."""
    with tempfile.TemporaryDirectory(prefix="codetainer-soak-resumed-") as name:
        folder = Path(name)
        file, place = folder / "work.tar", folder / "resumed"
        place.mkdir()
        last = sandbox.agent("git", "-C", "/workspace/repo", "rev-parse", "HEAD").stdout.strip()
        done = subprocess.run([*CODETAINER, "suspend", "--name", sandbox.name, str(file)], capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        resumed = start(place, f"resumed-{os.getpid()}", "--resume", str(file), REPO_URL=REPOSITORY)
        try:
            for command in (("merge-base", "--is-ancestor", last, "HEAD"), ("fsck", "--no-dangling", "--no-progress")):
                checked = resumed.agent("git", "-C", "/workspace/repo", *command)
                if checked.returncode != 0:
                    raise AssertionError(f"git {command[0]} in the resumed sandbox: {checked.stderr or checked.stdout}")
        finally:
            resumed.stop()


FAULTS: dict[str, Fault] = {
    "CoreDNS is killed": _killing("coredns"),
    "the guard is killed": _killing("guard"),
    "the gate is killed": _killing("gate"),
    "the reader is killed": _killing("reader"),
    "CoreDNS hangs": _stopping("coredns"),
    "the gate hangs": _stopping("gate"),
    "the supervisor hangs": backend_hangs,
    "the clock is stepped": clock_steps,
    "tmux is killed": tmux_is_killed,
    "the agent's program is killed": claude_is_killed,
    "the work space is full": disk_is_full,
    "the journal's folder is full": own_folder_is_full,
    "the network is cut": network_is_cut,
    "300 unlisted names": names_flood,
    "freeze and thaw": freeze_and_thaw,
    "a grant for two seconds": grant_for_a_moment,
    "a save": save,
    "suspend and resume": suspend_and_resume,
}
