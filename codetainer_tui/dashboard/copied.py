"""Copies text to the clipboard through the terminal (OSC 52), or to a file if it is too long."""

from __future__ import annotations

import os
import tempfile

MAX_COPIED = 8 << 10  # bytes; terminals cut or refuse long OSC 52 texts


def said(text: str) -> str:
    """The notice after a text was sent to the terminal. Terminals do not report whether they copied it."""
    first, _, more = text.partition("\n")
    return f"copied (if your terminal supports OSC 52): {first}{' …' if more else ''}"


def to_file(text: str) -> str:
    """Writes a text to a new file. Returns a notice with its path, or the reason why it failed."""
    try:
        # The agent can write to /tmp, too: the name must be unpredictable, and the file new.
        descriptor, file = tempfile.mkstemp(".txt", "codetainer-copied-", "/tmp")
        with os.fdopen(descriptor, "w") as output:
            output.write(text)
    except OSError as error:
        return f"cannot write to /tmp: {error.strerror}"
    return f"too long to copy: written to {file}"
