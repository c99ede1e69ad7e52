"""`codetainer boot`: runs the backend as a child and shows text lines or the dashboard."""

from __future__ import annotations

import os
import signal
import sys
import time

from backend.contract import front_end
from backend.contract.events import Noted, SaveSkipped, Stopping, WorkCounted, WorkSaved, encode
from backend.contract.paths import Paths
from codetainer_tui import process
from codetainer_tui.journal import POLL_SECONDS, Reader, follow
from codetainer_tui.plain import Lines

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TERMINAL_ERRORS = 1 << 16


def lines(paths: Paths, argv: list[str], *, as_json: bool) -> int:
    """Prints one line per event on stdout until the backend ends; returns its exit code. The backend shares our stderr.

    Prints JSON with `as_json` or CODETAINER_LOG_FORMAT=json, which boot has read before its first event.
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

    formatter = Lines(folded=True)
    try:
        for stamped in events:
            as_json = as_json or front_end.read(paths.front_end).log_format == "json"
            for line in [encode(stamped)] if as_json else formatter.of(stamped):
                sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        process.silence(1)  # the sandbox keeps running
    return process.wait(pid) if code is None else code


def screen(paths: Paths, argv: list[str], attach: list[str]) -> int:
    """Starts the backend and shows the login's screen. When the screen ends, the backend keeps running until ctrl+c.

    The backend's stderr would corrupt the screen, so it is kept and printed when the terminal is free again.
    """
    output = os.memfd_create("codetainer-stderr")
    reader = Reader(paths.journal, past=False)
    with process.held(ENDING):
        pid = process.start(argv, stdout=output, stderr=output, own_session=True)
        process.pass_on((pid,), ENDING)
    try:
        formatter, begun = Lines(folded=True), False
        while (code := process.ended(pid)) is None and not begun:
            time.sleep(POLL_SECONDS)
            begun = _seen(formatter, reader)
        shown = 0
        if code is None:
            code = _show(pid, attach)
            shown = _print(output, shown)
        if code is None:
            process.pass_on((pid,), ENDING)
            sys.stderr.write("codetainer: the sandbox keeps running; codetainer attach shows it again, ctrl+c here stops it\n")
            code = process.wait(pid)
        _print(output, shown)
        _print_work(formatter, reader)
        return code
    finally:
        reader.close()
        os.close(output)


def _show(pid: int, attach: list[str]) -> int | None:
    """Runs the screen to its end. If the backend ends first, ends the screen and returns the backend's exit code."""
    with process.held(ENDING):
        screen = process.start(attach)
        process.pass_on((pid, screen), (signal.SIGTERM, signal.SIGHUP))
        process.pass_on((), (signal.SIGINT,))  # the terminal sends it to the screen, too, which handles it
    while process.ended(screen) is None:
        if (code := process.ended(pid)) is not None:
            process.send(screen, signal.SIGTERM)
            process.wait(screen)
            return code
        time.sleep(POLL_SECONDS)
    return process.ended(pid)


def _seen(formatter: Lines, reader: Reader) -> bool:
    """Lets the formatter see new events, which later lines depend on. Returns False if there are none."""
    events = reader.poll()
    for stamped in events:
        formatter.text(stamped.event, stamped.at)
    return bool(events)


def _print_work(formatter: Lines, reader: Reader) -> None:
    """Prints what happened to unsaved work while the sandbox stopped, when there was no screen."""
    stopping = False
    while events := reader.poll():
        for stamped in events:
            stopping = stopping or isinstance(stamped.event, Stopping)
            text = formatter.text(stamped.event, stamped.at)
            if stopping and text and isinstance(stamped.event, WorkCounted | WorkSaved | SaveSkipped | Noted):
                sys.stderr.write(f"codetainer: {text}\n")


def _print(output: int, shown: int) -> int:
    """Prints the backend's output from byte `shown` on; returns the new position."""
    data = os.pread(output, TERMINAL_ERRORS, shown)
    sys.stderr.write(data.decode(errors="replace"))
    sys.stderr.flush()
    return shown + len(data)
