"""The operator's terminal: discarding its answers to other programs' queries, and resetting its modes."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import threading
import tty
from collections.abc import Callable, Iterator

import pytest

from backend.sandbox import terminal

PLACE = re.compile(rb"\x1b\[(\d+);(\d+)H\x1b\[6n")


class Emulator:
    """A terminal emulator: reads output and answers it with the result of a function."""

    def __init__(self, answers: Callable[[bytes], bytes]) -> None:
        self._master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self._answers, self._over = answers, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.is_set():
            if select.select([self._master], [], [], 0.01)[0]:
                with contextlib.suppress(BlockingIOError):  # nobody reads the slave, and its buffer is full
                    os.write(self._master, self._answers(os.read(self._master, 65536)))

    def types(self, data: bytes) -> None:
        os.write(self._master, data)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._master)
        os.close(self.slave)

    def unread(self) -> bytes:
        """The input that the next program would read."""
        data = b""
        while select.select([self.slave], [], [], 0.05)[0]:
            data += os.read(self.slave, 4096)
        return data


@contextlib.contextmanager
def emulator(answers: Callable[[bytes], bytes]) -> Iterator[Emulator]:
    one = Emulator(answers)
    try:
        yield one
    finally:
        one.close()


def answers(data: bytes) -> bytes:
    return b"".join(b"\x1b[%s;%sR" % place.groups() for place in PLACE.finditer(data))


def test_earlier_input_and_answers_are_discarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "ANSWER_SECONDS", 60.0)  # so only the answers can end it
    with emulator(lambda data: answers(data) and b"qy\x1b[1;1Rqy" + answers(data)) as one:
        one.types(b"typed ahead")
        terminal.settle(one.slave, one.slave)
        assert one.unread() == b""


def test_answers_to_other_programs_are_not_taken_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent can make the terminal report any position, any number of times, before ours."""
    monkeypatch.setattr(terminal, "ANSWER_SECONDS", 60.0)
    everywhere = b"".join(b"\x1b[%d;%dR" % (row, column) for row in range(1, 25) for column in range(1, 81))
    with emulator(lambda data: answers(data) and everywhere + answers(data)) as one:
        one.types(everywhere[:2000])
        terminal.settle(one.slave, one.slave)
        assert one.unread() == b""


def test_without_answers_input_is_read_until_none_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(terminal, "QUIET_SECONDS", 0.05)
    with emulator(lambda _: b"something else") as one:
        one.types(b"typed ahead")
        terminal.settle(one.slave, one.slave)
        assert one.unread() == b""


def test_endless_input_does_not_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(terminal, "MAX_SECONDS", 0.2)
    over = threading.Event()

    def talk(one: Emulator) -> None:
        while not over.is_set():
            with contextlib.suppress(BlockingIOError):
                one.types(b"x" * 100)

    with emulator(lambda _: b"") as one:
        os.set_blocking(one._master, False)
        talking = threading.Thread(target=talk, args=(one,))
        talking.start()
        try:
            terminal.settle(one.slave, one.slave)
        finally:
            over.set()
            talking.join()


@pytest.mark.parametrize(("term", "colours"), [("xterm-256color", True), ("linux", False)])
def test_colours_are_reset_except_on_the_linux_console(term: str, colours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Linux console prints sequences that it does not know."""
    monkeypatch.setenv("TERM", term)
    assert (b"\x1b]104" in terminal.reset_sequence()) is colours
    assert b"\x1b[?1000l" in terminal.reset_sequence()
