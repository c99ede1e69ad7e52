"""Commands that this process runs, reported to an observer. Without one (`observe`) nothing is recorded.

`backend/system.py` reports here; `backend/debug_log.py` has the observers.
"""

from __future__ import annotations

import contextlib
import os
import time
from asyncio import StreamReader
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

MAX_STDERR = 16 << 10  # bytes of a command's stderr that are kept
MAX_LINES = 20  # of a service's output that are kept
PREFIX = "codetainer: debug: "  # of an observer's lines on a process's stderr
OPTION = "--debug"


@dataclass(frozen=True, slots=True)
class Command:
    """A command that has been started. `argv` is what was asked for; `exec_argv` also has what leads to the identity.

    `stdin` is what it gets to read, None if that is nothing or not known here. `descriptors` are those that it inherits
    beside the standard ones. `started_at` is in seconds since the epoch.
    """

    argv: tuple[str, ...]
    exec_argv: tuple[str, ...]
    identity: str
    environment: Mapping[str, str]
    cwd: str
    stdin: bytes | None
    descriptors: tuple[int, ...]
    started_at: float


@dataclass(slots=True)
class Outcome:
    """How a command ended. `code` is None if it did not start or did not end, and then `problem` has the reason.

    `observed` is false without an observer: nobody needs `stderr`, its last lines, then.
    """

    observed: bool = False
    code: int | None = None
    stderr: str = ""
    problem: str = ""


class Observer(Protocol):
    def started(self, command: Command) -> None: ...

    def ended(self, command: Command, outcome: Outcome, seconds: float) -> None: ...

    def relay(self, line: str, source: str) -> None:
        """Takes over a line that another process's observer wrote. `source` is that process's identity."""


_observer: Observer | None = None
_last_lines: WeakKeyDictionary[StreamReader, deque[str]] = WeakKeyDictionary()


def observe(observer: Observer | None) -> None:
    """From now on reports every command to this observer; None stops it."""
    global _observer
    _observer = observer


def option() -> tuple[str, ...]:
    """What makes a child process of ours (`python3 -I -m backend VERB`) report its own commands on its stderr."""
    return () if _observer is None else (OPTION,)


class Observation:
    """One command, from its start to its end, for an observer."""

    def __init__(self, observer: Observer, command: Command) -> None:
        self._observer, self._command = observer, command
        self._begun = time.monotonic()
        observer.started(command)

    def ended(self, outcome: Outcome) -> None:
        self._observer.ended(self._command, outcome, time.monotonic() - self._begun)


def begin(
    argv: Sequence[str],
    *,
    identity: str,
    environment: Mapping[str, str],
    cwd: object,
    exec_argv: Sequence[str] | None = None,
    stdin: str | bytes | None = None,
    descriptors: Sequence[int] = (),
) -> Observation | None:
    """Reports the start of a command. None without an observer."""
    if _observer is None:
        return None
    data = stdin.encode(errors="replace") if isinstance(stdin, str) else stdin
    whole = tuple(argv if exec_argv is None else exec_argv)
    command = Command(tuple(argv), whole, identity, dict(environment), str(cwd), data or None, tuple(descriptors), time.time())
    return Observation(_observer, command)


@contextlib.contextmanager
def observed(
    argv: Sequence[str],
    *,
    identity: str,
    environment: Mapping[str, str],
    cwd: object,
    exec_argv: Sequence[str] | None = None,
    stdin: str | bytes | None = None,
) -> Iterator[Outcome]:
    """Reports the start of a command and, when the block is left, how it ended. The block fills in the outcome."""
    observation = begin(argv, identity=identity, environment=environment, cwd=cwd, exec_argv=exec_argv, stdin=stdin)
    outcome = Outcome(observed=observation is not None)
    if observation is None:
        yield outcome
        return
    try:
        yield outcome
    except BaseException as error:
        outcome.problem = outcome.problem or str(error) or type(error).__name__
        raise
    finally:
        observation.ended(outcome)


def last_lines_of(descriptor: int) -> str:
    """The whole lines at the end of a file that a command wrote, MAX_STDERR bytes at most; "" if it cannot be read twice.

    The first line is left out if its beginning is: half of a secret would not be recognised. Lines of an observer are too. A
    file may have had its whole size from the start: what is behind the last byte that was written is no text.
    """
    try:
        end = os.fstat(descriptor).st_size
        data = b""
        while end > 0 and not data:
            begin = max(0, end - MAX_STDERR)
            data = os.pread(descriptor, end - begin, begin).rstrip(b"\0")
            end = begin + len(data)
        data = os.pread(descriptor, min(end, MAX_STDERR), max(0, end - MAX_STDERR))
    except OSError:
        return ""
    lines = data.decode(errors="replace").splitlines()[1 if end > MAX_STDERR else 0 :]
    return "\n".join(line for line in lines if not line.startswith(PREFIX))


def keep_lines(stream: StreamReader) -> None:
    """Remembers the last lines that are read from a service's output (`heard`)."""
    _last_lines[stream] = deque(maxlen=MAX_LINES)


def heard(stream: StreamReader, line: str) -> None:
    """A line has been read from a service's output."""
    if (kept := _last_lines.get(stream)) is not None and not line.startswith(PREFIX):
        kept.append(line)


def kept_lines(stream: StreamReader) -> str:
    return "\n".join(_last_lines.get(stream, ()))


def relayed(line: str, source: str) -> bool:
    """Hands a child process's line to this process's observer. False without one, or if the line is no observer's."""
    if _observer is None or not line.startswith(PREFIX):
        return False
    _observer.relay(line.removeprefix(PREFIX), source)
    return True
