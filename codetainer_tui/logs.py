"""`codetainer logs`: the journal, the traffic log or the debug log, as text or JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from backend.contract.crowds import crowds_of
from backend.contract.events import Event, Refused, Snapshot, encode
from backend.contract.paths import Paths
from backend.contract.refusals import Severity, severity
from backend.contract.state import State
from backend.contract.traffic import Connection, decode
from backend.contract.verbs import wrong
from codetainer_tui.journal import POLL_SECONDS, Reader, before, follow
from codetainer_tui.plain import Lines
from codetainer_tui.state import current
from codetainer_tui.words import clock_seconds, date, harmless, many, size, took

Wanted = Callable[[Event], bool]


def logs(paths: Paths, *, go_on: bool, as_json: bool, serious: bool = False) -> int:
    """Prints the journal, or with `serious` its serious refusals; with `go_on` follows it. Exit code 2 without a journal."""
    if not go_on and not paths.journal.exists():
        sys.stderr.write("codetainer: no journal here: no sandbox has booted\n")
        return 2
    if not paths.journal.exists():
        sys.stderr.write("codetainer: no journal here yet; waiting for a sandbox to boot\n")
        sys.stderr.flush()
    formatter, first = Lines(), True
    wanted: Wanted = is_serious(current(paths)) if serious else lambda event: True
    for source in (before(paths.journal), follow(paths.journal, going_on=lambda: go_on)):
        for stamped in source:
            if first and serious and isinstance(stamped.event, Snapshot):
                sys.stderr.write(
                    f"codetainer: the journal has no events before {date(stamped.at)} {clock_seconds(stamped.at)}; "
                    "codetainer status includes earlier refusals in its counts\n"
                )
            first = False
            if isinstance(stamped.event, Snapshot) or not wanted(stamped.event):
                continue  # a snapshot contains no news
            for line in [encode(stamped)] if as_json else formatter.of(stamped):
                sys.stdout.write(line + "\n")
            if go_on:
                sys.stdout.flush()
    return 0


def before_resume(paths: Paths, *, as_json: bool) -> int:
    """Prints the end of the journal of the suspended sandbox whose work was resumed. Exit code 2 without one."""
    if not paths.journal_before.exists():
        sys.stderr.write("codetainer: this sandbox has not resumed the work of another one\n")
        return 2
    formatter = Lines()
    for stamped in follow(paths.journal_before, going_on=lambda: False):
        if not isinstance(stamped.event, Snapshot):
            for line in [encode(stamped)] if as_json else formatter.of(stamped):
                sys.stdout.write(line + "\n")
    return 0


def is_serious(state: State) -> Wanted:
    """A filter for serious refusals, including the members of a crowd that looks like a tunnel or a scan in this state."""
    suspicious = {key for key, crowd in state.refusals.crowds.items() if crowd.suspicion}

    def wanted(event: Event) -> bool:
        if not isinstance(event, Refused):
            return False
        return severity(event) is Severity.SERIOUS or not suspicious.isdisjoint(crowds_of(event))

    return wanted


def cannot_replay(file: Path) -> str:
    """The reason why a file cannot be replayed, "" if it can."""
    if not file.is_file():
        return "no such file"
    try:
        with file.open("rb") as opened:
            opened.read(1)
    except OSError as error:
        return error.strerror or str(error)
    return "" if any(True for _ in follow(file, going_on=lambda: False)) else "not a journal: no line is an event"


def replay(file: Path, speed: float) -> int:
    """Prints a recorded journal, `speed` times as fast as it was recorded; at speed 0 without delays."""
    formatter, before = Lines(), 0.0
    for stamped in follow(file, going_on=lambda: False):
        lines = list(formatter.of(stamped))
        if speed and before:
            time.sleep(max(0.0, (stamped.at - before) / speed))
        before = stamped.at
        sys.stdout.writelines(f"{line}\n" for line in lines)
        sys.stdout.flush()
    return 0


def traffic(paths: Paths, *, go_on: bool, as_json: bool) -> int:
    """Prints all connections in the traffic log. Exit code 2 without one."""
    earlier = paths.traffic.with_name(f"{paths.traffic.name}.1")
    if not go_on and not paths.traffic.exists():
        sys.stderr.write("codetainer: no traffic log here: no connection has gone through the gate\n")
        return 2
    current = Reader(paths.traffic)
    lines = [*(earlier.read_bytes().splitlines() if earlier.exists() else ()), *current.lines()]
    while True:
        for line in lines:
            _print(line, as_json=as_json)
        if not go_on and not current.behind:
            return 0
        sys.stdout.flush()
        if not current.behind:
            time.sleep(POLL_SECONDS)
        lines = current.lines()


def debug(paths: Paths, *, go_on: bool, as_json: bool) -> int:
    """Prints the debug log. Exit code 2 without one, or with `as_json`; 1 without permission."""
    if as_json:
        sys.stderr.write(wrong("cannot run logs: --json does not go with --debug", "Run codetainer logs --help for details."))
        return 2
    if not go_on and not paths.debug_log.exists():
        sys.stderr.write(wrong("no debug log here", "Boot with --debug or CODETAINER_DEBUG=on to write one."))
        return 2
    earlier = paths.debug_log.with_name(f"{paths.debug_log.name}.1")
    try:
        lines = earlier.read_bytes().splitlines() if earlier.exists() else []
        if paths.debug_log.exists():
            paths.debug_log.open("rb").close()
    except PermissionError:
        sys.stderr.write(wrong("cannot read the debug log: only root may", "Run codetainer logs --debug as root."))
        return 1
    current = Reader(paths.debug_log)
    lines += current.lines()
    while True:
        sys.stdout.writelines(f"{harmless(line.decode(errors='replace'))}\n" for line in lines)
        if not go_on and not current.behind:
            return 0
        sys.stdout.flush()
        if not current.behind:
            time.sleep(POLL_SECONDS)
        lines = current.lines()


def _print(line: bytes, *, as_json: bool) -> None:
    try:
        connection = decode(line.decode())
    except ValueError:
        return  # a partial line, left by a full file system
    sys.stdout.write((line.decode() if as_json else words(connection)) + "\n")


def words(connection: Connection) -> str:
    """A connection as one line: time, protocol, host, bytes, duration."""
    what = f"{harmless(connection.name)}:{connection.port}" if connection.count == 1 else many(connection.count, "more", "more")
    moved = f"in {size(connection.bytes_in)}, out {size(connection.bytes_out)}"
    return f"{clock_seconds(connection.at)} {connection.protocol:<4} {what}  {moved}, {took(connection.seconds)}"
