"""Logs the commands that `codetainer up` itself runs, to stderr. The sandbox's debug log has those of boot."""

from __future__ import annotations

import os
import sys

from backend import commands
from backend.settings import Settings
from backend.settings.values import Debug

MAX_BYTES = 1 << 20  # of log lines


class OwnCommands:
    """Logs the commands of this process and of its forked children, if the settings ask for it.

    `at_once` is true if lines are written immediately. If another program draws on the terminal, they are kept until `show`.
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
        """Writes the lines that were kept, when the terminal is free again."""
        if self._kept >= 0:
            sys.stderr.write(os.pread(self._kept, os.fstat(self._kept).st_size, 0).decode(errors="replace"))
