"""Forwards stop signals to a command in a sandbox, and kills it if it ignores them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from types import FrameType
from typing import Any

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
GRACE_SECONDS = 10.0  # from the signal that asks a command to end until it is killed


class Forwarding:
    """Forwards signals to a command's process group, as a terminal does with ctrl+c. Kills the group if it does not end."""

    def __init__(self, pid: int, numbers: Sequence[signal.Signals], grace: float) -> None:
        self._pid, self._numbers, self._grace = pid, numbers, grace
        self._before: dict[signal.Signals, Any] = {}
        self._asked_by = 0  # the signal that asked the command to end
        self._interrupted = False
        self.killed_for = 0  # the exit code for that signal, if the command was killed because it did not end

    def __enter__(self) -> None:
        self._before = {number: signal.signal(number, self._forward) for number in self._numbers}
        if self._numbers:
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._kill)

    def __exit__(self, *_: object) -> None:
        if self._asked_by:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _forward(self, number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)
        asks = number != signal.SIGINT or self._interrupted
        self._interrupted = self._interrupted or number == signal.SIGINT
        if asks and not self._asked_by:
            self._asked_by = number
            signal.setitimer(signal.ITIMER_REAL, max(self._grace, 0.001))

    def _kill(self, *_: object) -> None:
        self.killed_for = 128 + self._asked_by
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
