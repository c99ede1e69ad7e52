"""A child of `up` that stays outside of the sandbox's user namespace, and becomes a program there when it is told to.

It exists before `up` joins the user namespace, from which there is no way back. It ends with `up`, also by kill -9.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Sequence

from backend.sandbox import namespaces
from backend.sandbox.first_process import reset_signals
from backend.system import BASE_ENVIRONMENT

MAX_ERRORS = 65536  # bytes of stderr to keep; the agent may be able to cause more


class Outside:
    """Forks. Raises OSError."""

    def __init__(self) -> None:
        self._errors = _limited(MAX_ERRORS)
        waiting, self._told = os.pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._told)
            _wait(parent, waiting, self._errors)
        os.close(waiting)
        self._code: int | None = None

    def become(self, argv: Sequence[str]) -> None:
        """Makes the child a program, without stdin and stdout. Raises OSError if it has ended."""
        os.write(self._told, json.dumps(argv).encode() + b"\n")  # its end: other children hold the pipe open
        os.close(self._told)
        self._told = -1

    def ended(self) -> bool:
        """True if the child has ended. It is a child of this process, so there is a SIGCHLD then."""
        if self._code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code is not None

    def reason(self) -> str:
        """How the program ended, and the last line on its stderr, if it wrote any."""
        lines = os.pread(self._errors, MAX_ERRORS, 0).rstrip(b"\0").decode(errors="replace").strip().splitlines()
        return f"exit code {self._code}" + (f": {lines[-1]}" if lines else "")

    def end(self) -> None:
        if self._told >= 0:
            os.close(self._told)
            self._told = -1
        if not self.ended():
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._code = -signal.SIGKILL


def _limited(size: int) -> int:
    """A file in memory that holds `size` bytes: what is written beyond fails (fcntl(2), F_SEAL_GROW). Raises OSError."""
    file = os.memfd_create("outside", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(file, size)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return file


def _wait(parent: int, waiting: int, errors: int) -> None:
    """Runs the child. Does not return."""
    try:
        namespaces.die_with_parent(parent)
        os.setsid()  # ctrl+c is for `up` alone
        reset_signals()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor, number in ((null, 0), (null, 1), (errors, 2)):
            os.dup2(descriptor, number)
        text = b""
        while not text.endswith(b"\n") and (more := os.read(waiting, 65536)):
            text += more
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        if text.endswith(b"\n"):
            argv = json.loads(text)
            os.execve(argv[0], argv, dict(BASE_ENVIRONMENT))
    except OSError as error:
        os.write(2, f"{error.strerror}\n".encode())
    finally:
        os._exit(1)
