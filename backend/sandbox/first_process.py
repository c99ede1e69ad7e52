"""The first process of new namespaces, and the one of ours that waits for it.

The kernel ties them together: whatever ends the caller ends the waiter, that ends the first process, and with the first
process of a pid namespace everything in it ends. Mounts, interfaces and the network itself go with the last process.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

from backend.sandbox import namespaces
from backend.sandbox.namespaces import Namespace
from backend.system import describe

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
POLL_SECONDS = 0.02


class FirstProcess:
    """`pid` is the first process as this machine counts, 0 before `start`."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._waiter = self._handle = -1
        self._code = 0
        self.pid = 0

    def start(self, kinds: Namespace, body: Callable[[], None]) -> None:
        """Runs `body` as the first process of new namespaces; it execs, or its return ends them. Raises OSError.

        Signals that ask for an end wait until both processes are known here: an exception of their handlers loses neither.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ASKING)
        try:
            self._fork(kinds, body)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _fork(self, kinds: Namespace, body: Callable[[], None]) -> None:
        parent = os.getpid()
        reading, writing = os.pipe()
        self._waiter = os.fork()
        if self._waiter == 0:
            os.close(reading)
            _wait_for_it(self._what, parent, kinds, body, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            text = pipe.read()
        if not text:
            raise OSError(f"cannot make the namespaces of {self._what}")
        with contextlib.suppress(ProcessLookupError):  # it has ended already: so will the waiter
            self._handle = os.pidfd_open(int(text))
        self.pid = int(text)

    def ended(self) -> int | None:
        """The exit code as a shell gives it (128 + signal); None while it runs."""
        if self._waiter > 0:
            found, status = os.waitpid(self._waiter, os.WNOHANG)
            if not found:
                return None
            self._waiter = 0
            self._code = shell_code(status)
        return self._code

    def wait(self) -> int:
        """Waits for its end. Signal handlers run meanwhile."""
        while (code := self.ended()) is None:
            time.sleep(POLL_SECONDS)
        return code

    def end(self, seconds: float) -> None:
        """Asks it to end, waits that long, then ends it and everything in it. On return nothing of it runs."""
        if self._waiter == -1:
            return
        if self._handle >= 0 and seconds > 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGTERM)
            select.select([self._handle], [], [], seconds)
        if self._waiter > 0 and self.ended() is None:
            if self._handle >= 0:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            else:
                os.kill(self._waiter, signal.SIGKILL)
            self.wait()
        if self._handle >= 0:
            select.select([self._handle], [], [])  # where only the waiter was killed, the kernel is still at work
            os.close(self._handle)
            self._handle = -1


def _wait_for_it(what: str, parent: int, kinds: Namespace, body: Callable[[], None], pid_writing: int) -> None:
    """The waiter. Does not return."""
    code = 1
    try:
        namespaces.die_with_parent(parent)
        os.setsid()  # ctrl+c on the terminal is for the caller
        reset_signals()
        namespaces.unshare(kinds)
        inner = os.fork()
        if inner == 0:
            os.close(pid_writing)
            _be_it(what, body)
        os.write(pid_writing, str(inner).encode())
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # the ends of pipes are seen when the other processes close theirs
        code = shell_code(os.waitpid(inner, 0)[1])
    except OSError as error:
        say(describe(error))
    finally:
        os._exit(code)


def _be_it(what: str, body: Callable[[], None]) -> None:
    """The first process. Does not return."""
    try:
        # Its parent is outside its pid namespace: getppid() is 0.
        namespaces.die_with_parent(0)
        body()
    except BaseException as error:
        say(f"cannot make {what}: {describe(error) if isinstance(error, OSError) else error}")
    finally:
        os._exit(1)


def reset_signals() -> None:
    """What a forked process has to forget of its parent's handlers, before it execs or waits."""
    for number in (*ASKING, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores the last two, exec keeps that
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)


def close_on_exec() -> None:
    """Leaves the program that comes next stdin, stdout and stderr, and nothing that this process was given or has opened."""
    for entry in Path("/proc/self/fd").iterdir():
        if int(entry.name) > 2:
            with contextlib.suppress(OSError):  # the folder's own descriptor
                os.set_inheritable(int(entry.name), False)


def shell_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def say(text: str) -> None:
    """A line on stderr, of a process that shares its buffers with the one it was forked from."""
    os.write(2, f"codetainer: {text}\n".encode())
