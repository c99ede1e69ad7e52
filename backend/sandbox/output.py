"""Directs boot's output. No process inside the sandbox may hold the operator's terminal, so boot never writes to it itself."""

from __future__ import annotations

import fcntl
import os
import signal
import sys

from backend.copying import CHUNK, write_all
from backend.sandbox import namespaces
from backend.sandbox.first_process import STOP_SIGNALS

MAX_HELD = 256 << 10  # bytes; boot itself prints only a few


class Output:
    """Descriptors for boot's stdout and stderr, and one that keeps a copy (-1: none). Created before the sandbox."""

    def __init__(self, stdout: int, stderr: int, kept: int = -1) -> None:
        self.stdout, self.stderr, self._kept = stdout, stderr, kept
        self._pumps: list[int] = []
        self._own: list[int] = []  # ends of pipes to the pumps

    @classmethod
    def shown(cls, stdout: int, stderr: int) -> Output:
        """Passes pipes and files on to boot. For a terminal, a process outside of the sandbox copies boot's output to it."""
        output = cls(stdout, stderr)
        output.stdout = output._behind(stdout)
        output.stderr = output.stdout if stdout == stderr else output._behind(stderr)
        return output

    @classmethod
    def kept(cls) -> Output:
        """Drops stdout, which the dashboard shows, and keeps stderr for `text`, because it would corrupt the screen."""
        kept = os.memfd_create("codetainer-stderr")
        return cls(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC), kept, kept)

    @classmethod
    def held_back(cls) -> Output:
        """Keeps all output for `text`, in case boot fails. Later output is cut off at MAX_HELD bytes in total."""
        kept = os.memfd_create("codetainer-boot")
        output = cls(-1, -1, kept)
        output.stdout = output.stderr = output._pumped(kept, MAX_HELD)
        return output

    def install(self) -> None:
        """Makes the descriptors stdout and stderr of this process, the sandbox's first one."""
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        stdout, stderr = os.dup(self.stdout), os.dup(self.stderr)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)

    def release(self) -> None:
        """Closes our ends of the pipes after the sandbox has started, so that the pumps end when the sandbox closes its own."""
        while self._own:
            os.close(self._own.pop())

    def finish(self) -> None:
        """Waits, after the sandbox has ended, until all of its output is shown."""
        for pump in self._pumps:
            os.waitpid(pump, 0)
        self._pumps.clear()

    def text(self) -> str:
        """The last 64 KiB of the output that was kept, "" if none was."""
        if self._kept < 0:
            return ""
        size = os.fstat(self._kept).st_size
        return os.pread(self._kept, CHUNK, max(0, size - CHUNK)).decode(errors="replace")

    def _behind(self, descriptor: int) -> int:
        return self._pumped(descriptor, sys.maxsize) if os.isatty(descriptor) else descriptor

    def _pumped(self, descriptor: int, limit: int) -> int:
        parent = os.getpid()
        reading, writing = os.pipe()
        pump = os.fork()
        if pump == 0:
            _pump(parent, reading, descriptor, limit)
        os.close(reading)
        self._pumps.append(pump)
        self._own.append(writing)
        return writing


def _pump(parent: int, source: int, target: int, limit: int) -> None:
    """Reads until all writers have closed the pipe, and copies the first `limit` bytes. Does not return."""
    try:
        namespaces.die_with_parent(parent)
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # must not end before the last line
        # Via high numbers, because either descriptor may already be 3 or 4.
        high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10) for descriptor in (source, target)]
        held = os.dup2(high[0], 3, inheritable=False), os.dup2(high[1], 4, inheritable=False)
        os.closerange(5, os.sysconf("SC_OPEN_MAX"))
        while data := os.read(held[0], CHUNK):
            write_all(held[1], data[:limit])
            limit -= min(limit, len(data))
    except OSError:
        os._exit(1)  # the terminal is gone
    finally:
        os._exit(0)
