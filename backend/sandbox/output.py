"""Where boot's output goes: never straight to the operator's terminal, which nothing inside the sandbox may hold."""

from __future__ import annotations

import fcntl
import os
import signal
import sys

from backend.copying import CHUNK, write_all
from backend.sandbox import namespaces
from backend.sandbox.first_process import ASKING

MAX_HELD = 256 << 10  # bytes; boot itself says a few


class Output:
    """Descriptors for boot's stdout and stderr, and one for what is kept of them (-1: nothing). Made before the sandbox is."""

    def __init__(self, stdout: int, stderr: int, kept: int = -1) -> None:
        self.stdout, self.stderr, self._kept = stdout, stderr, kept
        self._pumps: list[int] = []
        self._own: list[int] = []  # ends of pipes to the pumps

    @classmethod
    def shown(cls, stdout: int, stderr: int) -> Output:
        """As they are where they are pipes or files; a terminal is written to by a process of ours."""
        output = cls(stdout, stderr)
        output.stdout = output._behind(stdout)
        output.stderr = output.stdout if stdout == stderr else output._behind(stderr)
        return output

    @classmethod
    def kept(cls) -> Output:
        """Lines are dropped (the dashboard shows them), complaints are kept for `said`: they would tear the screen."""
        kept = os.memfd_create("codetainer-stderr")
        return cls(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC), kept, kept)

    @classmethod
    def held_back(cls) -> Output:
        """Kept for `said`: all that boot says, should it fail. Of what comes later, while a command runs, no more than fits."""
        kept = os.memfd_create("codetainer-boot")
        output = cls(-1, -1, kept)
        output.stdout = output.stderr = output._pumped(kept, MAX_HELD)
        return output

    def give(self) -> None:
        """In the first process: these become its stdout and stderr."""
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        stdout, stderr = os.dup(self.stdout), os.dup(self.stderr)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)

    def given(self) -> None:
        """The sandbox has its own copies now: with those closed, the pumps end."""
        while self._own:
            os.close(self._own.pop())

    def finish(self) -> None:
        """When the sandbox has ended: waits until everything it said is shown."""
        for pump in self._pumps:
            os.waitpid(pump, 0)
        self._pumps.clear()

    def said(self) -> str:
        """The last 64 KiB of what was kept, "" where nothing is."""
        if self._kept < 0:
            return ""
        size = os.fstat(self._kept).st_size
        return os.pread(self._kept, CHUNK, max(0, size - CHUNK)).decode(errors="replace")

    def _behind(self, descriptor: int) -> int:
        return self._pumped(descriptor, sys.maxsize) if os.isatty(descriptor) else descriptor

    def _pumped(self, descriptor: int, most: int) -> int:
        parent = os.getpid()
        reading, writing = os.pipe()
        pump = os.fork()
        if pump == 0:
            _pump(parent, reading, descriptor, most)
        os.close(reading)
        self._pumps.append(pump)
        self._own.append(writing)
        return writing


def _pump(parent: int, source: int, target: int, most: int) -> None:
    """Reads until nobody can write any more, and copies so many bytes of it. Does not return."""
    try:
        namespaces.die_with_parent(parent)
        for number in ASKING:
            signal.signal(number, signal.SIG_IGN)  # it ends after the last line, not before
        # By way of high numbers: either may itself be 3 or 4.
        high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10) for descriptor in (source, target)]
        held = os.dup2(high[0], 3, inheritable=False), os.dup2(high[1], 4, inheritable=False)
        os.closerange(5, os.sysconf("SC_OPEN_MAX"))
        while data := os.read(held[0], CHUNK):
            write_all(held[1], data[:most])
            most -= min(most, len(data))
    except OSError:
        os._exit(1)  # the terminal has gone
    finally:
        os._exit(0)
