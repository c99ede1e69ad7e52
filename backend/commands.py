"""Reports the commands that this process runs to an observer. Records nothing until `observe` sets one.

`backend/system.py` makes the reports; `backend/debug_log.py` contains the observers.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from asyncio import StreamReader

MAX_STDERR = 16 << 10  # bytes of a command's stderr to keep
MAX_LINES = 20  # lines of a service's output to keep
PREFIX = "codetainer: debug: "  # marks an observer's lines on a process's stderr
OPTION = "--debug"


@dataclass(frozen=True, slots=True)
class Command:
    """A command that has been started. `exec_argv` also contains the commands before `argv` that switch to the identity.

    `stdin` is the command's input, None if it is empty or unknown here. `descriptors` are inherited in addition to the standard
    ones. `started_at` is in seconds since the epoch.
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
    """The end of a command. `code` is None if it did not start or did not end; `problem` is then the reason.

    `observed` is false without an observer, in which case `stderr` (the last lines) is not needed.
    """

    observed: bool = False
    code: int | None = None
    stderr: str = ""
    problem: str = ""


class Observer(Protocol):
    def started(self, command: Command) -> None: ...

    def ended(self, command: Command, outcome: Outcome, seconds: float) -> None: ...

    def relay(self, line: str, source: str) -> None:
        """Accepts a line from another process's observer. `source` is the identity of that process."""


_observer: Observer | None = None
_last_lines: WeakKeyDictionary[StreamReader, deque[str]] = WeakKeyDictionary()


def observe(observer: Observer | None) -> None:
    """Sets the observer for all further commands; None removes it."""
    global _observer
    _observer = observer


def option() -> tuple[str, ...]:
    """The option that makes a child (`python3 -I -m backend VERB`) report its commands on stderr; () without an observer."""
    return () if _observer is None else (OPTION,)


class Observation:
    """Observes one command from start to end."""

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
    """Reports the start of a command. Returns None without an observer."""
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
    """Reports the start of a command and, after the block, its outcome, which the block fills in."""
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
    """The last lines in a command's output file, at most MAX_STDERR bytes; "" if the file is not seekable.

    Leaves out the lines of an observer. Leaves out the first line if it is cut, because redaction would miss half a secret.
    Ignores zeros at the end, because the file may have had its full size before the command wrote to it.
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
    """Starts keeping the last lines of a service's output, which its reader passes to `heard`."""
    _last_lines[stream] = deque(maxlen=MAX_LINES)


def heard(stream: StreamReader, line: str) -> None:
    """Keeps a line of a service's output, if `keep_lines` asked for it."""
    if (kept := _last_lines.get(stream)) is not None and not line.startswith(PREFIX):
        kept.append(line)


def kept_lines(stream: StreamReader) -> str:
    return "\n".join(_last_lines.get(stream, ()))


def relayed(line: str, source: str) -> bool:
    """Passes a child's line to this process's observer. False without an observer, or if no observer wrote the line."""
    if _observer is None or not line.startswith(PREFIX):
        return False
    _observer.relay(line.removeprefix(PREFIX), source)
    return True
