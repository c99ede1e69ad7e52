"""The debug log (`CODETAINER_DEBUG=on`): each command that the backend runs; failing ones in full, ready to paste.

Redacts every record before it quotes, cuts or writes it.
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

SEGMENT_BYTES = 2 << 20  # of the log; the previous segment, equally long, is kept
MAX_STDIN = 32 << 10  # bytes; longer input is not shown
MAX_LINE = 500  # characters of a line of stderr
MAX_COMMAND = 128 << 10  # characters of one command line
MAX_SHOWN = 40 << 10  # characters of the log printed to stderr after a halted boot; `up` keeps 64 KiB of stderr
MAX_EARLY = 1000  # lines kept until the file is open


class Formatter:
    """Formats commands and their outcomes as lines of text, without secrets or terminal control characters."""

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
        # Redact before splitting or cutting: a secret may extend over two lines.
        stderr = self._redact(outcome.stderr).strip().splitlines()
        return [*lines, *(f"  stderr: {self._cut(printable(line))}" for line in stderr[-MAX_LINES:])]

    def relayed(self, line: str, source: str) -> str:
        return f"{source}| {self._shown(line)}"

    def _shown(self, text: str) -> str:
        return self._cut(printable(self._redact(text)))

    @staticmethod
    def _cut(text: str, most: int = MAX_LINE) -> str:
        return text if len(text) <= most else f"{text[:most]} [{len(text) - most} more characters]"

    def _line(self, argv: Sequence[str]) -> str:
        return self._cut(" ".join(quoted(self._redact(word)) for word in argv), MAX_COMMAND)

    def _paste(self, command: Command) -> str:
        """A bash command line that repeats the command, except for secrets and descriptors."""
        variables = (quoted(self._redact(f"{name}={value}")) for name, value in command.environment.items())
        run = " ".join(("env", "-i", *variables, *(quoted(self._redact(word)) for word in command.exec_argv)))
        if command.stdin is not None and len(command.stdin) <= MAX_STDIN:
            run = f"{shell.printf(self._redact(command.stdin.decode(errors='surrogateescape')))} | {run}"
        return self._cut(f"cd {quoted(self._redact(command.cwd))} && {run}", MAX_COMMAND)


class _Handler(RotatingFileHandler):
    """Writes files that only root can ever read. A full file system loses lines but raises no error."""

    lost = 0

    def _open(self) -> io.TextIOWrapper:
        def for_root(name: str, flags: int) -> int:
            return os.open(name, flags | os.O_NOFOLLOW, 0o600)

        file = io.FileIO(self.baseFilename, "ab", opener=for_root)
        os.fchmod(file.fileno(), 0o600)  # the file may exist already
        # Unbuffered: a record that could not be written is lost, not retried with the next one.
        return io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", write_through=True)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (its name in the standard library)
        self.lost += 1


class DebugLog:
    """The observer of `codetainer boot`: a root-only file and its predecessor.

    Keeps records in memory until `open`, because the first commands run before the folder of the file exists.
    """

    def __init__(self, redaction: Redaction, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._formatter = Formatter(redaction)
        self._segment_bytes = segment_bytes
        self._handler: _Handler | None = None
        self.early: list[str] = []

    def open(self, path: Path) -> None:
        self._handler = _Handler(path, maxBytes=self._segment_bytes, backupCount=1, delay=True)
        early, self.early = self.early, []
        self._write(early)

    def close(self, *, show: bool = False) -> None:
        """Closes the log; with `show` prints its last part to stderr."""
        if self._handler is None:
            return
        self._handler.close()
        if show:
            with contextlib.suppress(OSError):
                lines = Path(self._handler.baseFilename).read_text(errors="replace")[-MAX_SHOWN:].splitlines()
                write_lines(2, lines[1:] if len(lines) > 1 else lines)

    def started(self, command: Command) -> None:
        self._write(self._formatter.started(command))

    def ended(self, command: Command, outcome: Outcome, seconds: float) -> None:
        self._write(self._formatter.ended(command, outcome, seconds))

    def relay(self, line: str, source: str) -> None:
        self._write([self._formatter.relayed(line, source)])

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
    """The observer of all other processes: lines with PREFIX on a descriptor, at most `most` bytes in total."""

    def __init__(self, redaction: Redaction, descriptor: int = 2, most: int = sys.maxsize) -> None:
        self._formatter = Formatter(redaction)
        self._descriptor, self._left = descriptor, most

    def started(self, command: Command) -> None:
        self._write(self._formatter.started(command))

    def ended(self, command: Command, outcome: Outcome, seconds: float) -> None:
        self._write(self._formatter.ended(command, outcome, seconds))

    def relay(self, line: str, source: str) -> None:
        self._write([self._formatter.relayed(line, source)])

    def _write(self, lines: list[str]) -> None:
        if self._left <= 0:
            return
        self._left -= sum(len(PREFIX) + len(line) + 1 for line in lines)
        write_lines(self._descriptor, lines if self._left > 0 else ["further commands are not shown"])


def write_lines(descriptor: int, lines: Sequence[str]) -> None:
    """Writes lines with PREFIX. Ignores errors, which must not stop the program being debugged."""
    data = "".join(f"{PREFIX}{line}\n" for line in lines).encode(errors="backslashreplace")
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(descriptor, data) :]


# --- text ---


def clock(at: float) -> str:
    """A time (seconds since the epoch) as `2026-11-28T03:00:00.123Z`."""
    seconds, milliseconds = divmod(round(at * 1000), 1000)
    return time.strftime(f"%Y-%m-%dT%H:%M:%S.{milliseconds:03d}Z", time.gmtime(seconds))


def label(number: int) -> str:
    """Identifies a command in the log. Includes the pid, because `up` forks and its processes count separately."""
    return f"{os.getpid()}#{number}"


def printable(text: str) -> str:
    """Escapes line breaks and terminal control characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*=)(.*)", re.DOTALL)


def quoted(word: str) -> str:
    """Quotes a word of a command line; of an assignment NAME=VALUE only the value, which reads better."""
    assignment = _ASSIGNMENT.fullmatch(word)
    if assignment is not None:
        return assignment[1] + shell.word(assignment[2])
    return shell.word(word)
