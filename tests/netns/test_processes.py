"""A process of the agent whose main thread has ended is counted, named and ended like any other.

Its threads live on, but /proc/PID shows a zombie without memory, descriptors or namespaces.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend import processes
from backend.agent import ending
from backend.services import dns_client
from backend.supervision import load
from backend.supervision.load import Load
from tests.netns.headless import CODE, PYTHON, headless
from tests.netns.sandbox import Running, eventually
from tests.netns.test_freezer import changes

pytestmark = pytest.mark.netns

UID = 61235  # that no other process on this machine has
AS_UID = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--bounding-set=-all", "--")

ASKS = """
def work():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    with open(sys.argv[1], "w") as file:
        file.write(str(sock.getsockname()[1]))
    time.sleep(600)
"""
# A thread with its own descriptor table; the living main thread does not share it.
ASKS_APART = f"""
import ctypes, socket, sys, threading, time
{ASKS}
def apart():
    assert ctypes.CDLL(None).unshare(0x400) == 0  # CLONE_FILES
    work()
threading.Thread(target=apart).start()
"""


@pytest.fixture
def place(open_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that processes of UID can write. They count as the agent's in these tests."""
    for module in (processes, load, dns_client):
        monkeypatch.setattr(module, "AGENT_UID", UID)
    file = open_path / "place"
    file.touch()
    os.chown(file, UID, UID)
    yield file


def test_it_does_not_outlive_the_agent(place: Path) -> None:
    with headless(place, *AS_UID) as process:
        asyncio.run(ending.end_agent())
        assert process.wait(timeout=30) == -signal.SIGKILL


def test_nothing_waits_for_a_zombie(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parent, this test, has not reaped it, so it cannot be ended."""
    with headless(place, *AS_UID) as process:
        process.send_signal(signal.SIGKILL)
        eventually("it has ended", lambda: processes.ended(process.pid))
        assert processes.of_agent() == [process.pid]
        monkeypatch.setattr(ending, "END_SECONDS", 3600.0)
        asyncio.run(ending.end_agent())


def test_its_memory_counts_as_the_agents(place: Path) -> None:
    assert Load.now().agent_processes == 0
    with headless(place, *AS_UID):
        now = Load.now()
        assert now.agent_processes == 1
        assert now.agent_resident > 1 << 20
        assert now.resident > now.agent_resident


def test_its_dns_queries_are_attributed_to_it(place: Path) -> None:
    with headless(place, *AS_UID, work=ASKS) as process:
        comm = Path(f"/proc/{process.pid}/comm").read_text().strip()
        assert dns_client.program(int(place.read_text()), seconds=10.0) == comm


def test_queries_of_a_thread_with_its_own_descriptors_are_attributed_to_it(place: Path) -> None:
    process = subprocess.Popen([*AS_UID, PYTHON, "-I", "-c", ASKS_APART, str(place)])
    try:
        port = eventually("it asks", place.read_text)
        comm = Path(f"/proc/{process.pid}/comm").read_text().strip()
        assert dns_client.program(int(port), seconds=10.0) == comm
    finally:
        process.kill()
        process.wait()


def test_a_restart_of_the_session_ends_it(sandbox: Running) -> None:
    """As the program in the agent's pane it gets SIGHUP, like Claude."""
    place = sandbox.paths.root / "tmp/works"
    program = shlex.join(["/usr/bin/python3", "-I", "-c", CODE, "/tmp/works"])
    sandbox.pane.respawn(kill=True, shell=program)
    eventually("it works", place.exists)
    assert changes(place, 500)
    done = sandbox.codetainer("session", "restart")
    assert done.returncode == 0, done.stderr
    eventually("it works no more", lambda: not changes(place, 20))
