"""The operator's terminal: what it answers to others is thrown away, and what is undone of what they made of it."""

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


class Person:
    """The other side of a terminal: shows what it is sent, and says something to that."""

    def __init__(self, answers: Callable[[bytes], bytes]) -> None:
        self._master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self._answers, self._over = answers, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.is_set():
            if select.select([self._master], [], [], 0.01)[0]:
                os.write(self._master, self._answers(os.read(self._master, 65536)))

    def types(self, data: bytes) -> None:
        os.write(self._master, data)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._master)
        os.close(self.slave)

    def left(self) -> bytes:
        """What whoever reads next would get."""
        found = b""
        while select.select([self.slave], [], [], 0.05)[0]:
            found += os.read(self.slave, 4096)
        return found


@contextlib.contextmanager
def person(answers: Callable[[bytes], bytes]) -> Iterator[Person]:
    one = Person(answers)
    try:
        yield one
    finally:
        one.close()


def answers(data: bytes) -> bytes:
    return b"".join(b"\x1b[%s;%sR" % place.groups() for place in PLACE.finditer(data))


def test_what_was_typed_and_answered_before_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "ANSWER_SECONDS", 60.0)  # it is the answers that end it
    with person(lambda data: answers(data) and b"qy\x1b[1;1Rqy" + answers(data)) as one:
        one.types(b"typed ahead")
        terminal.settle(one.slave, one.slave)
        assert one.left() == b""


def test_answers_that_others_have_asked_for_are_not_taken_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent can have any place answered, as often as it likes, and before ours."""
    monkeypatch.setattr(terminal, "ANSWER_SECONDS", 60.0)
    everywhere = b"".join(b"\x1b[%d;%dR" % (row, column) for row in range(1, 25) for column in range(1, 81))
    with person(lambda data: answers(data) and everywhere + answers(data)) as one:
        one.types(everywhere[:2000])
        terminal.settle(one.slave, one.slave)
        assert one.left() == b""


def test_a_terminal_that_does_not_answer_is_read_until_it_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(terminal, "QUIET_SECONDS", 0.05)
    with person(lambda _: b"something else") as one:
        one.types(b"typed ahead")
        terminal.settle(one.slave, one.slave)
        assert one.left() == b""


def test_one_that_says_things_without_end_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(terminal, "MAX_SECONDS", 0.2)
    over = threading.Event()

    def talk(one: Person) -> None:
        while not over.is_set():
            with contextlib.suppress(BlockingIOError):
                one.types(b"x" * 100)

    with person(lambda _: b"") as one:
        os.set_blocking(one._master, False)
        talking = threading.Thread(target=talk, args=(one,))
        talking.start()
        try:
            terminal.settle(one.slave, one.slave)
        finally:
            over.set()
            talking.join()


@pytest.mark.parametrize(("term", "colours"), [("xterm-256color", True), ("linux", False)])
def test_colours_are_given_back_where_the_sequences_are_known(
    term: str, colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The console of Linux shows what it does not know of them."""
    monkeypatch.setenv("TERM", term)
    assert (b"\x1b]104" in terminal.as_it_was()) is colours
    assert b"\x1b[?1000l" in terminal.as_it_was()
