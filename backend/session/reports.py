"""Reads files that belong to the agent, bounded and with the agent's rights."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from backend import system
from backend.system import AGENT, Identity

REPORT_BYTES = 64 << 10


def read_report(path: Path, reader: Identity = AGENT, most: int = REPORT_BYTES) -> str:
    """Reads `most` bytes of a file that belongs to the agent, "" if there is none. It may be a link, a pipe, or endless.

    `reader`, the agent, opens it: a folder in the path may be a link to files that only root may read.
    """
    try:
        with system.opening_as(reader):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with contextlib.closing(os.fdopen(descriptor, "rb", buffering=0)) as file:
        try:
            return (file.read(most) or b"").decode(errors="replace")
        except OSError:
            return ""
