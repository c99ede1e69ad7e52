"""Bytes between descriptors, until a process has ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Sequence

CHUNK = 65536
MAX_LEFT = 2 << 20  # bytes that are read when the process has ended: more than any pipe or terminal of its own holds


class Flow:
    """From one descriptor to another. `inward`: to somebody who may not be reading, so what is not taken yet is kept.

    Outward writes wait: whoever reads there (a terminal, a pipe of the operator's) sets the pace.
    """

    def __init__(self, source: int, target: int, *, inward: bool, seen: Callable[[bytes], None] = lambda _: None) -> None:
        """`seen` is told what passes."""
        self.source, self.target, self.inward, self._seen = source, target, inward, seen
        self.kept = b""
        self.passed = 0  # bytes
        self.open = True  # there may be more to read
        self.closed = False
        if inward:
            os.set_blocking(target, False)

    def read(self) -> None:
        try:
            data = os.read(self.source, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody has the other side of this terminal any more
            data = b""
        self.passed += len(data)
        self._seen(data)
        if not data:
            self.open = False
        elif self.inward:
            self.kept += data
            self.write()
        else:
            write_all(self.target, data)

    def write(self) -> None:
        try:
            self.kept = self.kept[os.write(self.target, self.kept) :]
        except BlockingIOError:
            return
        except OSError:  # nobody reads there any more
            self.kept, self.open = b"", False

    def close(self) -> None:
        """Closes the end that is the sandbox's: of an inward flow its target, else its source."""
        if not self.closed:
            self.closed = True
            os.close(self.target if self.inward else self.source)


def write_all(descriptor: int, data: bytes) -> None:
    """Writes to a descriptor that may be non-blocking, because somebody it is shared with made it so. Raises OSError."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


@contextlib.contextmanager
def woken() -> Iterator[int]:
    """A descriptor for `copy`, readable when a signal has come.

    Python runs a handler between two of its instructions: that of a signal which comes just before select() blocks would run
    when something else happens, perhaps never. Main thread only (source: signal, set_wakeup_fd).
    """
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)


def copy(flows: Sequence[Flow], ended: int, woken: int = -1) -> bool:
    """Copies until `ended` (a pidfd) says that the process has ended, and then what it has left to say.

    Somebody else may hold its output open and go on writing there: no more is read than it can have left itself.

    `woken` becomes readable when a signal has come, whose handler is then run.

    The end of an inward source is handed on by closing the flow; where its target is a terminal that means that somebody has
    hung up: then it returns True at once.
    """
    over = False
    until: dict[Flow, int] = {}  # how far each is read
    while True:
        reading = [
            f.source
            for f in flows
            if f.open and not (f.inward and (over or len(f.kept) >= CHUNK)) and f.passed < until.get(f, sys.maxsize)
        ]
        writing = [f.target for f in flows if f.kept and not over]
        waiting = [] if over else [ended]
        if woken >= 0:
            waiting.append(woken)
        readable, writable, _ = select.select([*reading, *waiting], writing, [], 0 if over else None)
        for flow in flows:
            if flow.kept and flow.target in writable:
                flow.write()
            if flow.source in readable and flow.source in reading:
                flow.read()
            if flow.inward and not flow.open and not flow.kept and not flow.closed:
                if os.isatty(flow.target):
                    return True
                flow.close()
        if woken in readable:
            os.read(woken, CHUNK)
        if over and not readable:
            return False
        if not over and ended in readable:
            over = True
            until = {flow: flow.passed + MAX_LEFT for flow in flows}
