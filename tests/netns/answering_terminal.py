"""A terminal that answers a program's queries, and a session of `codetainer up` on such a terminal."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.netns.sandbox import Running
from tests.netns.test_login import DETACH, FAKE_CLAUDE, NAME, SHORTER, init
from tests.netns.test_up_terminal import Terminal

LAST_KEY = "stop\x1b"  # the end of the dashboard's footer
EVIL = b"\x1b[21t"  # a query that this terminal answers with keys that would stop the sandbox


class AnsweringTerminal(Terminal):
    """A terminal that answers queries in order, and reports the cursor where the program has put it."""

    QUESTIONS = re.compile(rb"\x1b\[(\d+);(\d+)H\x1b\[6n|" + re.escape(EVIL))

    def __init__(self, *argv: str, **options: Any) -> None:
        self._before, self.asked = b"", 0
        super().__init__(*argv, **options)
        os.set_blocking(self.master, False)  # a program that does not read the answers must not block the test

    def answer(self, data: bytes) -> None:
        text = self._before + data
        end = 0
        for question in self.QUESTIONS.finditer(text):
            end = question.end()
            self.asked += question[0] == EVIL
            with contextlib.suppress(BlockingIOError):
                os.write(self.master, b"qy\r" if question[0] == EVIL else b"\x1b[%s;%sR" % question.groups())
        self._before = text[max(end, len(text) - 40) :]

    def type(self, text: str) -> None:
        """Types a text. Waits while the terminal's input queue is full of answers that the program has not read yet."""
        left = text.encode()

        def typed() -> bool:
            nonlocal left
            self._read(b"\0")  # the program may wait until its output has been read
            with contextlib.suppress(BlockingIOError):
                left = left[os.write(self.master, left) :]
            return not left

        self._eventually(f"{text!r} is typed", typed)

    def sandbox(self) -> Running:
        return Running(NAME, self.process, init(), Path("/dev/null"))  # type: ignore[arg-type]

    def detach(self) -> None:
        """Leaves the session as an operator does, and waits for the dashboard."""
        self.type(DETACH)
        self.expect(LAST_KEY)

    def unlock(self) -> None:
        """Turns the dashboard's keys on, which takes a second without other keys. Does nothing if they are on."""
        typed = 0.0

        def on() -> bool:
            nonlocal typed
            if time.monotonic() - typed > 1.5:
                typed = time.monotonic()
                self.type("\x18")
            return self._read(LAST_KEY.encode())

        self._eventually("the keys are on", on)


@contextlib.contextmanager
def session(*options: str) -> Iterator[AnsweringTerminal]:
    """Starts a sandbox and waits until its session is on the terminal."""
    terminal = AnsweringTerminal(*SHORTER, *options)
    try:
        terminal.expect(FAKE_CLAUDE)
        yield terminal
    finally:
        terminal.close()
