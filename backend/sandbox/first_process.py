"""Starts the first process of new namespaces, and its parent, the waiter, which waits for it.

The kernel ends them together. If the caller ends, for any reason, so do the waiter, the first process, and with it all
processes in its pid namespace. Mounts and network interfaces disappear with the last process.
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

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
POLL_SECONDS = 0.02


class FirstProcess:
    """The first process of new namespaces. `pid` is its pid on this machine, 0 before `start`."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._waiter = self._handle = -1
        self._code = 0
        self.pid = 0

    def start(self, kinds: Namespace, body: Callable[[], None]) -> None:
        """Runs `body` as the first process of new namespaces. It must exec; the namespaces end if it returns. Raises OSError.

        Blocks stop signals until both pids are known, so that an exception from a signal handler cannot leave a process behind.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
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
            _run_waiter(self._what, parent, kinds, body, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            text = pipe.read()
        if not text:
            raise OSError(f"cannot make the namespaces of {self._what}")
        with contextlib.suppress(ProcessLookupError):  # the first process has already ended, and the waiter will, too
            self._handle = os.pidfd_open(int(text))
        self.pid = int(text)

    def ended(self) -> int | None:
        """The exit code as in a shell (128 + signal number), None while the process runs."""
        if self._waiter > 0:
            reaped, status = os.waitpid(self._waiter, os.WNOHANG)
            if not reaped:
                return None
            self._waiter = 0
            self._code = shell_code(status)
        return self._code

    def wait(self) -> int:
        """Waits until the process ends, and returns its exit code. Signal handlers still run."""
        while (code := self.ended()) is None:
            time.sleep(POLL_SECONDS)
        return code

    def end(self, seconds: float) -> None:
        """Sends SIGTERM, waits up to `seconds`, then kills the process and all others in its pid namespace."""
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
            select.select([self._handle], [], [])  # if only the waiter was killed, the kernel may still be at work
            os.close(self._handle)
            self._handle = -1


def _run_waiter(what: str, parent: int, kinds: Namespace, body: Callable[[], None], pid_writing: int) -> None:
    """Runs the waiter, which starts the first process and writes its pid to `pid_writing`. Does not return."""
    code = 1
    try:
        namespaces.die_with_parent(parent)
        os.setsid()  # ctrl+c on the terminal must reach only the caller
        reset_signals()
        namespaces.leave_keyring()
        namespaces.unshare(kinds)
        inner = os.fork()
        if inner == 0:
            os.close(pid_writing)
            _run_first(what, body)
        os.write(pid_writing, str(inner).encode())
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # readers would wait for pipes that stay open here
        code = shell_code(os.waitpid(inner, 0)[1])
    except OSError as error:
        print_error(describe(error))
    finally:
        os._exit(code)


def _run_first(what: str, body: Callable[[], None]) -> None:
    """Runs `body` as the first process. Does not return."""
    try:
        # The parent is outside this pid namespace, so getppid() returns 0.
        namespaces.die_with_parent(0)
        body()
    except BaseException as error:
        print_error(f"cannot make {what}: {describe(error) if isinstance(error, OSError) else error}")
    finally:
        os._exit(1)


def reset_signals() -> None:
    """Restores the default signal handling in a forked process, before it execs or waits."""
    # Python ignores SIGPIPE and SIGXFSZ, and exec would pass that on.
    for number in (*STOP_SIGNALS, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def close_on_exec() -> None:
    """Marks all descriptors but stdin, stdout and stderr as close-on-exec."""
    for entry in Path("/proc/self/fd").iterdir():
        if int(entry.name) > 2:
            with contextlib.suppress(OSError):  # the descriptor of /proc/self/fd itself is already closed
                os.set_inheritable(int(entry.name), False)


def shell_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def print_error(text: str) -> None:
    """Writes a line to stderr from a forked process, bypassing the buffers that it shares with its parent."""
    os.write(2, f"codetainer: {text}\n".encode())
