"""The operator's terminal, which processes outside of a sandbox alone hold: raw while something inside is shown on it.

What was shown there may have been the agent's: it may have left modes behind, and asked the terminal for things that it answers
as if they were typed. So the terminal is put right, and its input thrown away, before anything else reads it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import select
import struct
import termios
import time
import tty
from collections.abc import Iterator

from backend import settings
from backend.copying import CHUNK, write_all

QUESTIONS = 6  # 2^40 sequences of places on a screen of 20 by 5; on 80 by 24 more than 2^64
ANSWER_SECONDS = 1.0
QUIET_SECONDS = 0.3
MAX_SECONDS = 10.0  # for a terminal that goes on answering

# Control sequences of xterm (ctlseqs) and those that others have added. Whoever does not know one ignores it.
_SCREEN_OF_BEFORE = b"\x1b[?1049l"  # and the cursor of before
_AS_IT_WAS = (
    b"\x1b<\x1b F\x1b\\"  # out of VT52 mode, answers in seven bits, the end of a string that was broken off
    b"\x1b[?1047l\x1b[?2026l"  # the screen of before; updates are shown
    b"\x1b[?9l\x1b[?1000l\x1b[?1001l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l"  # mouse
    b"\x1b[?1004l\x1b[?2004l\x1b[?2031l\x1b[?2048l"  # reports of focus, paste, colours, size
    b"\x1b[>4m\x1b[=0u\x1b[?1l\x1b>"  # keys as ever: xterm's other keys, kitty's protocol, cursor keys, keypad
    b"\x1b[2l\x1b[4l\x1b[12h\x1b[20l\x1b[4i"  # keyboard open, overwrite, no echo, no printer
    b"\x1b[?5l\x1b[?7h"  # not reversed, lines wrap
    b"\x1b(B\x1b)B\x0f\x1b%G\x1b[0m"  # ASCII, UTF-8, plain
    b"\x1b7\x1b[?6l\x1b[?69l\x1b[r\x1b8"  # no margins of any kind, which moves the cursor
    b"\x1b[?25h"
)
_CURSOR = b"\x1b[0 q"
# Colours of the palette, of text, background and cursor; no link. The Linux console takes these for text.
_COLOURS = b"\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\\x1b]8;;\x1b\\"
_KEEP_TITLE, _GIVE_TITLE_BACK = b"\x1b[22;0t", b"\x1b[23;0t"


def is_ours() -> bool:
    """Whether this process is used by somebody at a terminal."""
    return os.isatty(0) and os.isatty(1) and os.isatty(2)


def is_there() -> bool:
    """Whether the terminal has not gone."""
    try:
        size()
    except OSError:
        return False
    return True


def as_it_was() -> bytes:
    """What undoes whatever a program may have made of the terminal. The cursor stays."""
    if settings.environment().get("TERM", "") == "linux":
        return _AS_IT_WAS
    return _AS_IT_WAS + _CURSOR + _COLOURS


def reset(code: int) -> None:
    """Undoes what a program has made of the terminal, which may have gone. `code` is the one that the program ended with."""
    with contextlib.suppress(OSError):
        # One that was killed has not given the screen back. Said to a terminal that has it back, this would move the cursor.
        write_all(1, (_SCREEN_OF_BEFORE if code > 128 else b"") + as_it_was())


def size(shown: int = 1) -> bytes:
    """Its size as the kernel has it (struct winsize). Raises OSError."""
    return fcntl.ioctl(shown, termios.TIOCGWINSZ, struct.pack("4H", 0, 0, 0, 0))


@contextlib.contextmanager
def raw() -> Iterator[None]:
    """Keys go to whoever reads, also those that mean a signal. At the end it is as it was, and what was typed is forgotten:

    what was typed for the sandbox, or pushed by it, is not for the shell that comes after.
    """
    saved = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        with contextlib.suppress(OSError, termios.error):  # the terminal may have gone
            termios.tcsetattr(0, termios.TCSAFLUSH, saved)


@contextlib.contextmanager
def titled() -> Iterator[None]:
    """Whatever title it gets meanwhile, it has its own again at the end."""
    with contextlib.suppress(OSError):
        write_all(1, _KEEP_TITLE)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            write_all(1, _GIVE_TITLE_BACK)


def settle(typed: int = 0, shown: int = 1) -> None:
    """Throws away all that was typed, and all that the terminal has answered until now, or is about to. In raw mode.

    A terminal answers in order. So it is asked where its cursor is, at places that nobody could have guessed: what comes before
    these answers was asked by others. Where none come, input is read until there is none for a while. Raises OSError.
    """
    rows, columns, _, _ = struct.unpack("4H", size(shown))
    places = [(1 + secrets.randbelow(max(1, rows)), 1 + secrets.randbelow(max(1, columns))) for _ in range(QUESTIONS)]
    wanted = b"".join(b"\x1b[%d;%dR" % place for place in places)
    write_all(shown, b"\x1b7" + b"".join(b"\x1b[%d;%dH\x1b[6n" % place for place in places) + b"\x1b8")
    seen = b""
    until = time.monotonic() + ANSWER_SECONDS
    while wanted not in seen and (data := _read(typed, until - time.monotonic())):
        seen = (seen + data)[-CHUNK:]
    if wanted not in seen:
        until = time.monotonic() + MAX_SECONDS
        while _read(typed, min(QUIET_SECONDS, until - time.monotonic())):
            pass
    with contextlib.suppress(termios.error):
        termios.tcflush(typed, termios.TCIFLUSH)


def _read(typed: int, seconds: float) -> bytes:
    """What comes within so long; b"" if nothing does, or nothing will any more."""
    if seconds <= 0 or not select.select([typed], [], [], seconds)[0]:
        return b""
    return os.read(typed, CHUNK)
