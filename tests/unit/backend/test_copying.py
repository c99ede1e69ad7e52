"""Copying between descriptors: complete, in order, and to the end."""

import contextlib
import os
import pty
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from backend import copying
from backend.copying import CHUNK, Flow, copy, woken, write_all


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    """A pipe whose end stands for the end of the process; descriptors appended to it are closed, too."""
    held = [*os.pipe()]
    yield held
    for descriptor in held:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def test_the_last_output_is_copied_after_the_end(pipe: list[int]) -> None:
    ended, running = pipe
    source, sink = os.pipe()
    shown, target = os.pipe()
    os.write(sink, b"last words")
    os.close(running)
    assert not copy([Flow(source, target, inward=False)], ended)
    assert os.read(shown, 100) == b"last words"
    pipe += [source, sink, shown, target]


def test_output_written_by_others_after_the_end_is_bounded(pipe: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process of the agent may hold the output open and keep writing."""
    monkeypatch.setattr(copying, "MAX_LEFT", 10 * CHUNK)
    ended, running = pipe
    source, shown = os.open("/dev/zero", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY)
    pipe += [source, shown]
    read: list[int] = []

    def seen(data: bytes) -> None:
        read.append(len(data))
        assert sum(read) < 12 * CHUNK

    os.close(running)
    assert not copy([Flow(source, shown, inward=False, seen=seen)], ended)
    assert sum(read) >= 10 * CHUNK


def test_the_end_of_input_is_passed_on_after_all_of_it(pipe: list[int]) -> None:
    """The reader is late, so the flow must keep more than fits into a pipe."""
    ended, running = pipe
    source, typed = os.pipe()
    late, target = os.pipe()
    text = os.urandom(4 * CHUNK)
    read: list[bytes] = []

    def read_late() -> None:
        while data := os.read(late, 1000):
            read.append(data)
        os.close(running)

    def type_it() -> None:
        write_all(typed, text)
        os.close(typed)

    threads = [threading.Thread(target=work) for work in (type_it, read_late)]
    for thread in threads:
        thread.start()
    flow = Flow(source, target, inward=True)
    assert not copy([flow], ended)
    for thread in threads:
        thread.join()
    assert b"".join(read) == text
    assert flow.closed
    flow.close()  # a second call must not close the descriptor again
    pipe += [source, late]


def test_a_closed_reader_does_not_stop_the_copying(pipe: list[int]) -> None:
    ended, running = pipe
    source, typed = os.pipe()
    late, target = os.pipe()
    os.close(late)
    os.write(typed, b"to nobody")
    flow = Flow(source, target, inward=True)
    flow.read()
    assert not flow.open
    assert flow.kept == b""
    os.close(running)
    assert not copy([flow], ended)
    pipe += [source, typed]


def test_the_end_of_input_hangs_up_a_terminal(pipe: list[int]) -> None:
    """The program still runs: the caller closes the terminal, and the kernel sends SIGHUP to its processes."""
    ended, _ = pipe
    source, typed = os.pipe()
    master, slave = pty.openpty()
    os.close(typed)
    assert copy([Flow(source, master, inward=True), Flow(master, typed, inward=False)], ended)
    pipe += [source, master, slave]


def test_a_non_blocking_terminal_gets_everything(pipe: list[int]) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    text = os.urandom(3 * CHUNK)
    read: list[bytes] = []

    def drain() -> None:
        while data := os.read(reading, 5000):
            read.append(data)

    thread = threading.Thread(target=drain)
    thread.start()
    write_all(writing, text)
    os.close(writing)
    thread.join()
    assert b"".join(read) == text
    pipe.append(reading)


def test_a_signal_that_does_not_interrupt_the_wait_is_handled_at_once(pipe: list[int]) -> None:
    """Stands for a signal just before the wait: another thread receives it, but its handler runs in this one."""
    ended, running = pipe
    handled = threading.Event()
    late: list[bool] = []

    def handle(*_: object) -> None:
        handled.set()
        os.close(running)

    def send() -> None:
        time.sleep(0.1)  # lets the main thread block; if it does not yet, the handler still runs
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        if not handled.wait(20.0):
            late.append(True)
            os.close(running)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with woken() as awake:
            thread = threading.Thread(target=send)
            thread.start()
            assert not copy([], ended, awake)
            thread.join()
        assert not late
    finally:
        signal.signal(signal.SIGUSR1, before)
