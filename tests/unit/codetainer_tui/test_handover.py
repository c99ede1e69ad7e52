"""The parts of the handover that need no other process: lock, identity, draining the terminal."""

import fcntl
import os
import pty
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.contract.paths import Paths
from codetainer_tui.handover import as_agent, client, lock_is_free, settle


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal: the person's and the program's."""
    person, program = pty.openpty()
    yield person, program
    os.close(person)
    os.close(program)


def readable(descriptor: int) -> bytes:
    os.set_blocking(descriptor, False)
    try:
        return os.read(descriptor, 4096)
    except BlockingIOError:
        return b""


def typed(person: int, text: bytes) -> None:
    os.write(person, text)


def test_late_answers_do_not_reach_the_agent(terminal: tuple[int, int]) -> None:
    person, program = terminal
    typed(person, b"\x1b[?2026;2$y")

    def answer() -> None:
        asked = b""
        while b"\x1b[c" not in asked:
            asked += os.read(person, 100)
        typed(person, b"\x1b[?2048;0$y\x1b[?62;22c")

    thread = threading.Thread(target=answer)
    thread.start()
    begun = time.monotonic()
    settle(program, seconds=20.0)
    thread.join()
    assert time.monotonic() - begun < 20.0  # the answer ended the wait, not the timeout
    before = termios.tcgetattr(program)
    before[3] &= ~termios.ICANON
    termios.tcsetattr(program, termios.TCSANOW, before)
    assert readable(program) == b""


def test_the_wait_for_a_silent_terminal_is_bounded(terminal: tuple[int, int]) -> None:
    person, program = terminal
    typed(person, b"ls")
    settle(program, seconds=0.01)
    assert readable(program) == b""


def test_terminal_settings_are_restored(terminal: tuple[int, int]) -> None:
    _, program = terminal
    before = termios.tcgetattr(program)
    settle(program, seconds=0.01)
    assert termios.tcgetattr(program) == before


def test_other_descriptors_are_left_alone() -> None:
    reading, writing = os.pipe()
    settle(reading)
    os.close(reading)
    os.close(writing)


def test_the_lock_is_free_when_it_can_be_shared(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    assert lock_is_free(paths) is None
    paths.run.mkdir(parents=True)
    paths.lock.touch()
    assert lock_is_free(paths) is True
    with paths.lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert lock_is_free(paths) is False
    assert lock_is_free(paths) is True


def test_checking_does_not_hold_the_lock(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    paths.lock.touch()
    lock_is_free(paths)
    with paths.lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_roots_client_runs_as_the_agent_without_a_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    argv = client(Paths(), "attach-session", "-t", "=claude")
    assert argv[:2] == ["/opt/codetainer/confine", "/usr/bin/setpriv"], "the filter is on before it is the agent's"
    assert {"--reuid=1000", "--regid=1000", "--clear-groups", "--no-new-privs", "--bounding-set=-all"} <= set(argv)
    session = ["tmux", "-S", "/run/codetainer/tmux/server.sock", "attach-session", "-t", "=claude"]
    assert argv[argv.index("--") + 1 :] == session


def test_the_agents_own_client_runs_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert as_agent(["tmux"]) == ["tmux"]
