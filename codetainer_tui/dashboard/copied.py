"""What is copied: to the terminal (OSC 52) where it is short enough, else to a file that is named."""

from __future__ import annotations

import os
import tempfile

MAX_COPIED = 8 << 10  # bytes; terminals cut or refuse long OSC 52 texts


def said(text: str) -> str:
    """What may be said after a text was handed to the terminal: no terminal tells whether it took it."""
    first, _, more = text.partition("\n")
    return f"copied, if the terminal lets programs copy: {first}{' …' if more else ''}"


def to_file(text: str) -> str:
    """Writes a text to a new file and says where it is, or why that could not be."""
    try:
        # Its name cannot be guessed and it is never one that is there: /tmp is the agent's too.
        descriptor, file = tempfile.mkstemp(".txt", "codetainer-copied-", "/tmp")
        with os.fdopen(descriptor, "w") as opened:
            opened.write(text)
    except OSError as error:
        return f"cannot write into /tmp: {error.strerror}"
    return f"too long to copy: written to {file}"
