"""`codetainer boot`: the backend as a child, and in front of it text lines or the dashboard."""

from __future__ import annotations

import os
import signal
import sys
import time

from backend.contract import front_end
from backend.contract.events import Noted, Stopping, WorkCounted, WorkSaved, encode
from backend.contract.paths import Paths
from codetainer_tui import process
from codetainer_tui.journal import POLL_SECONDS, Reader, follow
from codetainer_tui.plain import Lines

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TERMINAL_ERRORS = 1 << 16


def lines(paths: Paths, argv: list[str], *, as_json: bool) -> int:
    """One line an event on stdout, until the backend ends; its exit code. Its own complaints stand on stderr as they are.

    JSON if that is asked for here or by CODETAINER_LOG_FORMAT, which boot has read before its first event.
    """
    events = follow(paths.journal, past=False, going_on=lambda: alive())
    with process.held(ENDING):
        pid = process.start(argv)
        process.pass_on((pid,), ENDING)
    code: int | None = None

    def alive() -> bool:
        nonlocal code
        code = process.ended(pid)
        return code is None

    words = Lines()
    try:
        for stamped in events:
            as_json = as_json or front_end.read(paths.front_end).log_format == "json"
            for line in [encode(stamped)] if as_json else words.of(stamped):
                sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        process.silence(1)  # the sandbox goes on
    return process.wait(pid) if code is None else code


def screen(paths: Paths, argv: list[str], attach: list[str]) -> int:
    """The login's screen over a backend of our own. When the screen ends, the backend goes on, until ctrl+c.

    What the backend says on stderr would tear the screen: it is kept, and shown when the terminal is free again.
    """
    said = os.memfd_create("codetainer-stderr")
    reader = Reader(paths.journal, past=False)
    with process.held(ENDING):
        pid = process.start(argv, stdout=said, stderr=said, own_session=True)
        process.pass_on((pid,), ENDING)
    try:
        while (code := process.ended(pid)) is None and not reader.poll():
            time.sleep(POLL_SECONDS)
        shown = 0
        if code is None:
            code = _show(pid, attach)
            shown = _tell(said, shown)
        if code is None:
            process.pass_on((pid,), ENDING)
            sys.stderr.write("codetainer: the sandbox goes on. codetainer attach shows it again, ctrl+c here stops it.\n")
            code = process.wait(pid)
        _tell(said, shown)
        _tell_work(reader)
        return code
    finally:
        reader.close()
        os.close(said)


def _show(pid: int, attach: list[str]) -> int | None:
    """Runs the screen to its end; the backend's exit code where that ended first, and took the screen with it."""
    with process.held(ENDING):
        screen = process.start(attach)
        process.pass_on((pid, screen), (signal.SIGTERM, signal.SIGHUP))
        process.pass_on((), (signal.SIGINT,))  # the terminal sends it to the screen, whose business it is
    while process.ended(screen) is None:
        if (code := process.ended(pid)) is not None:
            process.send(screen, signal.SIGTERM)
            process.wait(screen)
            return code
        time.sleep(POLL_SECONDS)
    return process.ended(pid)


def _tell_work(reader: Reader) -> None:
    """What became of the work at the end: no screen was there to show it."""
    stopping, words = False, Lines()
    while found := reader.poll():
        for stamped in found:
            stopping = stopping or isinstance(stamped.event, Stopping)
            if stopping and isinstance(stamped.event, WorkCounted | WorkSaved | Noted):
                sys.stderr.write(f"codetainer: {words.text(stamped.event, stamped.at)}\n")


def _tell(said: int, shown: int) -> int:
    data = os.pread(said, TERMINAL_ERRORS, shown)
    sys.stderr.write(data.decode(errors="replace"))
    sys.stderr.flush()
    return shown + len(data)
