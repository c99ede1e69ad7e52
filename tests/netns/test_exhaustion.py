"""The agent has used up all processes: the supervisor keeps working and can still freeze it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from backend.contract import control
from backend.contract.control import Reply, Request
from backend.contract.events import Noted, ProofFinished
from backend.system import AGENT
from tests.netns.sandbox import Running, eventually, start

pytestmark = pytest.mark.netns

MAX = "400"  # after the first wraparound the kernel reserves pids below 300 (RESERVED_PIDS)
TAKE = """
import os, signal, sys, time
pids = []
while not os.path.exists("/tmp/enough"):
    try:
        pid = os.fork()
    except OSError:
        open("/tmp/taken", "w").close()
        time.sleep(0.001)
        continue
    if pid == 0:
        while True:
            signal.pause()
    pids.append(pid)
for pid in pids:
    os.kill(pid, signal.SIGKILL)
"""


def test_a_process_that_cannot_be_started_is_a_failure_with_a_reason() -> None:
    code = (
        "import asyncio\nfrom backend import system\n"
        "for call in (lambda: system.run(['true']), lambda: asyncio.run(system.run_async(['true'])),\n"
        "             lambda: system.ask(['true'], environment={}, cwd='/', timeout=5, most=1)):\n"
        "    try:\n        call()\n    except system.SystemFailure as error:\n        print(error)\n"
    )
    # As a uid without other processes: the limit does not apply to root (getrlimit(2), RLIMIT_NPROC).
    argv = [
        "prlimit",
        "--nproc=0",
        "setpriv",
        "--reuid=61234",
        "--clear-groups",
        "--bounding-set=-all",
        sys.executable,
        "-c",
        code,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2])
    error = "cannot run true: Resource temporarily unavailable"
    assert done.stdout.splitlines() == [error] * 3, done.stderr


def ask(sandbox: Running, request: Request) -> Reply:
    """Sends a control request like `codetainer`, but without starting a process in the sandbox."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(str(sandbox.paths.control))
        sock.sendall(control.encode_request(request).encode() + b"\n")
        return control.decode_reply(sock.makefile().readline())


def test_the_supervisor_keeps_working_and_freezes(tmp_path: Path) -> None:
    sandbox = start(tmp_path, f"exhausted-{os.getpid()}")
    limit = "/proc/sys/kernel/pid_max"
    try:
        if sandbox.root("cat", limit).stdout == Path(limit).read_text():
            pytest.skip("this kernel has one pid_max for all namespaces")
        assert sandbox.root("sh", "-c", f"echo {MAX} > {limit}").returncode == 0
        command = sandbox.command(AGENT, "/usr/bin/python3", "-I", "-c", TAKE)
        taking = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        eventually("every process is taken", (sandbox.paths.tmp / "taken").exists)
        eventually(
            "work cannot be counted",
            lambda: [noted for noted in sandbox.events(Noted) if "Resource temporarily unavailable" in noted.text],
        )
        frozen = ask(sandbox, control.Freeze())
        # The agent's processes are stopped. Cutting connections needs a process, which cannot start either: that is reported.
        assert frozen.text == "addresses are not closed yet: cannot run conntrack: Resource temporarily unavailable"
        (sandbox.paths.tmp / "enough").touch()
        self_tests = len(sandbox.events(ProofFinished))
        assert ask(sandbox, control.Thaw()).ok
        assert taking.wait(60) == 0
        eventually("the self-test runs again", lambda: len(sandbox.events(ProofFinished)) > self_tests)
        assert sandbox.state.is_open
        assert [noted.text for noted in sandbox.events(Noted) if "a task of the supervisor" in noted.text] == []
    finally:
        sandbox.stop()
