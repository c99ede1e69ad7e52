"""The commands of `codetainer up` itself, as lines on stderr. Those of boot are in the sandbox's own log."""

from __future__ import annotations

import os
import sys

from backend import commands
from backend.settings import Settings
from backend.settings.values import Debug

MAX_BYTES = 1 << 20  # of lines


class OwnCommands:
    """Reports this process's commands, and those of processes that it forks, if the settings say so.

    `at_once` is true if lines appear on stderr as they come. On a terminal that something else draws on they would tear the
    screen: there they are kept until `show`.
    """

    def __init__(self) -> None:
        self.at_once = False
        self._kept = -1

    def begin(self, chosen: Settings, *, drawn_on: bool) -> None:
        if chosen.debug is Debug.OFF:
            return
        from backend.debug_log import DebugLines
        from backend.redaction import Redaction

        self.at_once = not drawn_on
        self._kept = os.memfd_create("codetainer-debug") if drawn_on else -1
        commands.observe(DebugLines(Redaction(chosen.secret_values), 2 if self.at_once else self._kept, MAX_BYTES))

    def show(self) -> None:
        """Writes what was kept. The terminal is free again."""
        if self._kept >= 0:
            sys.stderr.write(os.pread(self._kept, os.fstat(self._kept).st_size, 0).decode(errors="replace"))
