"""A process of the agent's whose main thread has ended: it is counted, named and ended like every other one.

Its threads live on, while /proc/PID says that it is a zombie, without memory, descriptors or namespaces.
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

UID = 61235  # of nobody else on this machine
AS_UID = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--bounding-set=-all", "--")

ASKS = """
def work():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    with open(sys.argv[1], "w") as file:
        file.write(str(sock.getsockname()[1]))
    time.sleep(600)
"""
# Descriptors of a thread's own: the main one, which lives, has none of them.
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
    """A file that processes of UID may write. They count as the agent's for this test."""
    for module in (processes, load, dns_client):
        monkeypatch.setattr(module, "AGENT_UID", UID)
    found = open_path / "place"
    found.touch()
    os.chown(found, UID, UID)
    yield found


def test_it_does_not_outlive_the_agent(place: Path) -> None:
    with headless(place, *AS_UID) as process:
        asyncio.run(ending.end_agent())
        assert process.wait(timeout=30) == -signal.SIGKILL


def test_one_that_has_ended_as_a_whole_is_not_waited_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parent, this test, has not asked for it: nobody can end it any more."""
    with headless(place, *AS_UID) as process:
        process.send_signal(signal.SIGKILL)
        eventually("it has ended", lambda: processes.ended(process.pid))
        assert processes.of_agent() == [process.pid]
        monkeypatch.setattr(ending, "END_SECONDS", 3600.0)
        asyncio.run(ending.end_agent())


def test_its_memory_is_the_agents(place: Path) -> None:
    assert Load.now().agent_processes == 0
    with headless(place, *AS_UID):
        now = Load.now()
        assert now.agent_processes == 1
        assert now.agent_resident > 1 << 20
        assert now.resident > now.agent_resident


def test_the_name_that_it_asks_for_is_told_as_its_own(place: Path) -> None:
    with headless(place, *AS_UID, work=ASKS) as process:
        comm = Path(f"/proc/{process.pid}/comm").read_text().strip()
        assert dns_client.program(int(place.read_text()), seconds=10.0) == comm


def test_so_it_is_where_a_thread_has_descriptors_of_its_own(place: Path) -> None:
    process = subprocess.Popen([*AS_UID, PYTHON, "-I", "-c", ASKS_APART, str(place)])
    try:
        port = eventually("it asks", place.read_text)
        comm = Path(f"/proc/{process.pid}/comm").read_text().strip()
        assert dns_client.program(int(port), seconds=10.0) == comm
    finally:
        process.kill()
        process.wait()


def test_a_restart_of_the_session_ends_it(sandbox: Running) -> None:
    """As the program of the agent's pane it is like Claude: it is hung up on."""
    place = sandbox.paths.root / "tmp/works"
    program = shlex.join(["/usr/bin/python3", "-I", "-c", CODE, "/tmp/works"])
    sandbox.pane.respawn(kill=True, shell=program)
    eventually("it works", place.exists)
    assert changes(place, 500)
    done = sandbox.codetainer("session", "restart")
    assert done.returncode == 0, done.stderr
    eventually("it works no more", lambda: not changes(place, 20))
