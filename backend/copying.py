"""Copies bytes between descriptors until a process has ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Sequence

CHUNK = 65536
MAX_LEFT = 2 << 20  # bytes read after the process has ended: more than the buffer of any pipe or terminal holds


class Flow:
    """Copies from one descriptor to another.

    If `inward`, the target may not be reading: writes do not block, and the rest is kept for later. Outward writes block, so
    that the reader (a terminal or a pipe of the operator) sets the pace.
    """

    def __init__(self, source: int, target: int, *, inward: bool, seen: Callable[[bytes], None] = lambda _: None) -> None:
        """Calls `seen` with all data that passes."""
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
        except OSError:  # EIO: the other side of this terminal is closed
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
        except OSError:  # the reader is gone
            self.kept, self.open = b"", False

    def close(self) -> None:
        """Closes the sandbox's end: the target of an inward flow, else the source."""
        if not self.closed:
            self.closed = True
            os.close(self.target if self.inward else self.source)


def write_all(descriptor: int, data: bytes) -> None:
    """Writes to a descriptor, which another process that shares it may have made non-blocking. Raises OSError."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


@contextlib.contextmanager
def woken() -> Iterator[int]:
    """A descriptor for `copy` that becomes readable when a signal arrives. Main thread only (signal.set_wakeup_fd).

    Python runs signal handlers between its own instructions. Without this, a signal that arrives just before select() blocks
    would be handled only when something else wakes it, perhaps never.
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
    """Copies until `ended` (a pidfd) reports the end of the process, then copies the output left in its buffers.

    That rest is bounded by MAX_LEFT, because another process may hold the output open and keep writing. `woken` is a descriptor
    that becomes readable when a signal arrives.

    At the end of an inward source, closes the flow; if its target is a terminal, returns True at once: the operator hung up.
    """
    over = False
    until: dict[Flow, int] = {}  # bytes to read in total from each flow after the end
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
