"""The operator's terminal. Only processes outside of a sandbox hold it; it is in raw mode while output from inside is shown.

The agent controls that output. It may leave terminal modes behind, or send queries that the terminal answers as if the answers
were typed. So the terminal is reset and its input discarded before another program reads it.
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

QUERIES = 6  # 2^40 possible sequences of positions on a screen of 20 by 5; more than 2^64 on 80 by 24
ANSWER_SECONDS = 1.0
QUIET_SECONDS = 0.3
MAX_SECONDS = 10.0  # for a terminal that does not stop sending

# Control sequences of xterm (ctlseqs), and some that other terminals added. A terminal ignores those that it does not know.
_MAIN_SCREEN = b"\x1b[?1049l"  # also restores the cursor position
_RESET = (
    b"\x1b<\x1b F\x1b\\"  # leave VT52 mode, 7-bit answers, end an unfinished string
    b"\x1b[?1047l\x1b[?2026l"  # main screen, no synchronized update
    b"\x1b[?9l\x1b[?1000l\x1b[?1001l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l"  # mouse
    b"\x1b[?1004l\x1b[?2004l\x1b[?2031l\x1b[?2048l"  # reports of focus, paste, colours, size
    b"\x1b[>4m\x1b[=0u\x1b[?1l\x1b>"  # xterm's modifyOtherKeys, kitty's protocol, cursor keys, keypad
    b"\x1b[2l\x1b[4l\x1b[12h\x1b[20l\x1b[4i"  # keyboard unlocked, overwrite mode, no local echo, no newline mode, no printer
    b"\x1b[?5l\x1b[?7h"  # no reverse video, autowrap
    b"\x1b(B\x1b)B\x0f\x1b%G\x1b[0m"  # ASCII, UTF-8, no attributes
    b"\x1b7\x1b[?6l\x1b[?69l\x1b[r\x1b8"  # no margins; saves the cursor around it, because this moves it
    b"\x1b[?25h"  # visible cursor
)
_CURSOR = b"\x1b[0 q"
# Default colours of palette, text, background and cursor; no link. The Linux console would print these as text.
_COLOURS = b"\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\\x1b]8;;\x1b\\"
_PUSH_TITLE, _POP_TITLE = b"\x1b[22;0t", b"\x1b[23;0t"


def is_interactive() -> bool:
    """True if stdin, stdout and stderr are terminals."""
    return os.isatty(0) and os.isatty(1) and os.isatty(2)


def exists() -> bool:
    """False if the terminal has been closed."""
    try:
        size()
    except OSError:
        return False
    return True


def reset_sequence() -> bytes:
    """The control sequences that undo all modes a program may have set. The cursor does not move."""
    if settings.environment().get("TERM", "") == "linux":
        return _RESET
    return _RESET + _CURSOR + _COLOURS


def reset(code: int) -> None:
    """Resets the terminal after a program, unless it has been closed. `code` is the program's exit code."""
    with contextlib.suppress(OSError):
        # A killed program has not left the alternate screen. On the main screen, this sequence would move the cursor.
        write_all(1, (_MAIN_SCREEN if code > 128 else b"") + reset_sequence())


def size(output: int = 1) -> bytes:
    """The terminal's size (struct winsize). Raises OSError."""
    return fcntl.ioctl(output, termios.TIOCGWINSZ, struct.pack("4H", 0, 0, 0, 0))


@contextlib.contextmanager
def raw() -> Iterator[None]:
    """Sets raw mode, so that all keys are passed on, also those that would send a signal. Restores the old mode at the end.

    Discards unread input then: keys meant for the sandbox, and answers that it provoked, must not reach the shell.
    """
    saved = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        with contextlib.suppress(OSError, termios.error):  # the terminal may have been closed
            termios.tcsetattr(0, termios.TCSAFLUSH, saved)


@contextlib.contextmanager
def titled() -> Iterator[None]:
    """Saves the terminal's title and restores it at the end."""
    with contextlib.suppress(OSError):
        write_all(1, _PUSH_TITLE)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            write_all(1, _POP_TITLE)


def settle(source: int = 0, output: int = 1) -> None:
    """Discards all typed input and all answers that the terminal still owes to earlier queries. Needs raw mode. Raises OSError.

    A terminal answers in order. So this moves the cursor to random positions, queries it there, and discards all input up to
    these answers. If a terminal does not answer, discards input until none arrives for a while.
    """
    rows, columns, _, _ = struct.unpack("4H", size(output))
    positions = [(1 + secrets.randbelow(max(1, rows)), 1 + secrets.randbelow(max(1, columns))) for _ in range(QUERIES)]
    answers = b"".join(b"\x1b[%d;%dR" % position for position in positions)
    write_all(output, b"\x1b7" + b"".join(b"\x1b[%d;%dH\x1b[6n" % position for position in positions) + b"\x1b8")
    received = b""
    until = time.monotonic() + ANSWER_SECONDS
    while answers not in received and (data := _read(source, until - time.monotonic())):
        received = (received + data)[-CHUNK:]
    if answers not in received:
        until = time.monotonic() + MAX_SECONDS
        while _read(source, min(QUIET_SECONDS, until - time.monotonic())):
            pass
    with contextlib.suppress(termios.error):
        termios.tcflush(source, termios.TCIFLUSH)


def _read(source: int, seconds: float) -> bytes:
    """Reads available input, waiting up to `seconds` for it. Returns b"" on a timeout or at the end of input."""
    if seconds <= 0 or not select.select([source], [], [], seconds)[0]:
        return b""
    return os.read(source, CHUNK)
