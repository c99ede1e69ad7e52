"""The debug log (`CODETAINER_DEBUG=on`): each command that the backend runs, and a failing one in full, ready to paste.

Every record is redacted before it is quoted, cut or written.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path

from backend.commands import MAX_LINES, PREFIX, Command, Outcome
from backend.contract import shell
from backend.redaction import Redaction

SEGMENT_BYTES = 2 << 20  # of the log; as much again of what came before stays beside it
MAX_STDIN = 32 << 10  # bytes; a longer input is not shown
MAX_LINE = 500  # characters of a line of stderr
MAX_COMMAND = 128 << 10  # characters of one command line
MAX_SHOWN = 40 << 10  # characters of the log that stderr gets after a boot that halted; `up` keeps 64 KiB of it
MAX_EARLY = 1000  # lines that wait until there is a file


class Words:
    """Commands and their outcomes as lines of text. Secrets are left out; whatever a terminal would obey is escaped."""

    def __init__(self, redaction: Redaction) -> None:
        self._redact = redaction
        self._numbers = itertools.count(1)
        self._running: dict[int, int] = {}  # numbers of commands, by the identity of their object
        self._lock = threading.Lock()

    def started(self, command: Command) -> list[str]:
        with self._lock:
            number = self._running[id(command)] = next(self._numbers)
        return [f"{clock(command.started_at)} {label(number)} {command.identity} started: {self._line(command.argv)}"]

    def ended(self, command: Command, outcome: Outcome, seconds: float) -> list[str]:
        with self._lock:
            number = self._running.pop(id(command), 0)
        how = f"exit {outcome.code}" if outcome.code is not None else "no exit code"
        when = f"started {clock(command.started_at)}, took {seconds:.3f} s"
        whole = f"{clock(command.started_at + seconds)} {label(number)} {command.identity} {how}, {when}"
        lines = [f"{whole}: {self._line(command.argv)}"]
        if outcome.code == 0 and not outcome.problem:
            return lines
        if outcome.problem:
            lines.append(f"  problem: {self._shown(outcome.problem)}")
        lines.append(f"  {self._paste(command)}")
        if command.descriptors:
            lines.append(f"  inherits descriptors: {' '.join(map(str, command.descriptors))}")
        if command.stdin is not None and len(command.stdin) > MAX_STDIN:
            lines.append(f"  stdin: {len(command.stdin)} bytes, not shown")
        # Redacted as a whole: a secret may stand on two lines, and no line may be cut before.
        stderr = self._redact(outcome.stderr).strip().splitlines()
        return [*lines, *(f"  stderr: {self._cut(printable(line))}" for line in stderr[-MAX_LINES:])]

    def relayed(self, line: str, source: str) -> str:
        return f"{source}| {self._shown(line)}"

    def _shown(self, text: str) -> str:
        return self._cut(printable(self._redact(text)))

    @staticmethod
    def _cut(text: str, most: int = MAX_LINE) -> str:
        return text if len(text) <= most else f"{text[:most]} [{len(text) - most} characters more]"

    def _line(self, argv: Sequence[str]) -> str:
        return self._cut(" ".join(quoted(self._redact(word)) for word in argv), MAX_COMMAND)

    def _paste(self, command: Command) -> str:
        """One command line for bash that does the same again, secrets and descriptors aside."""
        variables = (quoted(self._redact(f"{name}={value}")) for name, value in command.environment.items())
        run = " ".join(("env", "-i", *variables, *(quoted(self._redact(word)) for word in command.exec_argv)))
        if command.stdin is not None and len(command.stdin) <= MAX_STDIN:
            run = f"{shell.printf(self._redact(command.stdin.decode(errors='surrogateescape')))} | {run}"
        return self._cut(f"cd {quoted(self._redact(command.cwd))} && {run}", MAX_COMMAND)


class _Handler(RotatingFileHandler):
    """Root's alone to read, from the first moment. A full file system costs lines, never the caller."""

    lost = 0

    def _open(self) -> io.TextIOWrapper:
        def for_root(name: str, flags: int) -> int:
            return os.open(name, flags | os.O_NOFOLLOW, 0o600)

        file = io.FileIO(self.baseFilename, "ab", opener=for_root)
        os.fchmod(file.fileno(), 0o600)  # also where an earlier one is written on
        # Without a buffer: what could not be written is lost, and is not tried again with the next record.
        return io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", write_through=True)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (its name in the standard library)
        self.lost += 1


class DebugLog:
    """The observer of `codetainer boot`: a file of root's, and one file that came before it.

    What is run before there is a folder for the file waits for `open`.
    """

    def __init__(self, redaction: Redaction, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._words = Words(redaction)
        self._segment_bytes = segment_bytes
        self._handler: _Handler | None = None
        self.early: list[str] = []

    def open(self, path: Path) -> None:
        self._handler = _Handler(path, maxBytes=self._segment_bytes, backupCount=1, delay=True)
        early, self.early = self.early, []
        self._write(early)

    def close(self, *, show: bool = False) -> None:
        """Ends the log; with `show` its last part goes to stderr."""
        if self._handler is None:
            return
        self._handler.close()
        if show:
            with contextlib.suppress(OSError):
                lines = Path(self._handler.baseFilename).read_text(errors="replace")[-MAX_SHOWN:].splitlines()
                write_lines(2, lines[1:] if len(lines) > 1 else lines)

    def started(self, command: Command) -> None:
        self._write(self._words.started(command))

    def ended(self, command: Command, outcome: Outcome, seconds: float) -> None:
        self._write(self._words.ended(command, outcome, seconds))

    def relay(self, line: str, source: str) -> None:
        self._write([self._words.relayed(line, source)])

    def _write(self, lines: list[str]) -> None:
        if self._handler is None:
            self.early += lines[: MAX_EARLY - len(self.early)]
        elif lines:
            lost, self._handler.lost = self._handler.lost, 0
            if lost:
                lines = [f"{clock(time.time())} {lost} records were lost: the log could not be written", *lines]
            before = self._handler.lost
            self._handler.handle(logging.makeLogRecord({"msg": "\n".join(lines)}))
            if self._handler.lost > before:
                self._handler.lost += lost


class DebugLines:
    """The observer of every other process: lines on a descriptor, each with PREFIX. It writes `most` bytes at most."""

    def __init__(self, redaction: Redaction, descriptor: int = 2, most: int = sys.maxsize) -> None:
        self._words = Words(redaction)
        self._descriptor, self._left = descriptor, most

    def started(self, command: Command) -> None:
        self._write(self._words.started(command))

    def ended(self, command: Command, outcome: Outcome, seconds: float) -> None:
        self._write(self._words.ended(command, outcome, seconds))

    def relay(self, line: str, source: str) -> None:
        self._write([self._words.relayed(line, source)])

    def _write(self, lines: list[str]) -> None:
        if self._left <= 0:
            return
        self._left -= sum(len(PREFIX) + len(line) + 1 for line in lines)
        write_lines(self._descriptor, lines if self._left > 0 else ["the rest is left out"])


def write_lines(descriptor: int, lines: Sequence[str]) -> None:
    """Writes lines with PREFIX. A descriptor that takes no more is no reason to stop what is being debugged."""
    data = "".join(f"{PREFIX}{line}\n" for line in lines).encode(errors="backslashreplace")
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(descriptor, data) :]


# --- text ---


def clock(at: float) -> str:
    """`2026-11-28T03:00:00.123Z`."""
    seconds, milliseconds = divmod(round(at * 1000), 1000)
    return time.strftime(f"%Y-%m-%dT%H:%M:%S.{milliseconds:03d}Z", time.gmtime(seconds))


def label(number: int) -> str:
    """`up` forks: a number alone would not tell its processes apart."""
    return f"{os.getpid()}#{number}"


def printable(text: str) -> str:
    """On one line, and nothing in it that a terminal obeys."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*=)(.*)", re.DOTALL)


def quoted(word: str) -> str:
    """A word of a command line. Of a variable only the value is quoted: that is how it is read and written."""
    assignment = _ASSIGNMENT.fullmatch(word)
    if assignment is not None:
        return assignment[1] + shell.word(assignment[2])
    return shell.word(word)
