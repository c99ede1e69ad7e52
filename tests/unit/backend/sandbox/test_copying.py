"""Bytes between descriptors: all of them, in their order, and to the end."""

import contextlib
import os
import pty
import threading
from collections.abc import Iterator

import pytest

from backend.sandbox.copying import CHUNK, Flow, copy, write_all


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    """A pipe that says, by its end, that the process has ended; and room for more descriptors to close."""
    held = [*os.pipe()]
    yield held
    for descriptor in held:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def test_what_was_said_last_is_copied_after_the_end(pipe: list[int]) -> None:
    ended, running = pipe
    source, said = os.pipe()
    shown, target = os.pipe()
    os.write(said, b"last words")
    os.close(running)
    assert not copy([Flow(source, target, inward=False)], ended)
    assert os.read(shown, 100) == b"last words"
    pipe += [source, said, shown, target]


def test_the_end_of_what_is_typed_is_handed_on_after_all_of_it(pipe: list[int]) -> None:
    """To a reader that is late: more is kept than fits into a pipe."""
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
    flow.close()  # closed once, whoever asks
    pipe += [source, late]


def test_a_reader_that_has_gone_stops_nobody(pipe: list[int]) -> None:
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


def test_a_terminal_whose_operator_has_gone_is_hung_up(pipe: list[int]) -> None:
    """While the program goes on: the caller closes the terminal, and the kernel says HUP to whoever is on it."""
    ended, _ = pipe
    source, typed = os.pipe()
    master, slave = pty.openpty()
    os.close(typed)
    assert copy([Flow(source, master, inward=True), Flow(master, typed, inward=False)], ended)
    pipe += [source, master, slave]


def test_a_terminal_that_somebody_made_non_blocking_gets_everything(pipe: list[int]) -> None:
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
