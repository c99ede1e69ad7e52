"""The front ends' one door to processes and to this process's environment. The backend has its own (backend/system.py).

Only `posix_spawn` and `exec`: the front end never runs code of its own between fork and exec.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

WAIT_SECONDS = 0.02
FALLBACK_TERM = "xterm-256color"
ENDING = (signal.SIGTERM, signal.SIGHUP)
# Python ignores these two and exec keeps that; a program that relies on dying of SIGPIPE would not.
DEFAULT_AGAIN = (signal.SIGPIPE, signal.SIGXFSZ)


def environment() -> dict[str, str]:
    """This process's environment: for the terminal's variables, and for the backend, which alone reads the settings."""
    return dict(os.environ)


def on_screen() -> bool:
    """Whether there is a terminal that a screen can be drawn on: keys come from stdin, and it is drawn on stderr."""
    return sys.stdin.isatty() and sys.stderr.isatty() and environment().get("TERM", "") != "dumb"


def backend(verb: str, *arguments: str) -> list[str]:
    """The argument list of a backend process. Isolated (`-I`): the work directory may be the agent's."""
    return [sys.executable, "-I", "-m", "backend", verb, *arguments]


def become(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Replaces this process. Raises OSError where the program is not there; else does not return."""
    program = shutil.which(argv[0])
    if program is None:
        raise FileNotFoundError(f"cannot run {argv[0]}: not found")
    for number in DEFAULT_AGAIN:
        signal.signal(number, signal.SIG_DFL)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(program, list(argv), dict(os.environ if environment is None else environment))


def start(argv: Sequence[str], *, stdout: int = 1, stderr: int = 2, own_session: bool = False) -> int:
    """Starts a process with this environment and these descriptors; returns its pid. Raises OSError.

    `own_session`: keys and hang-ups of this terminal do not reach it.
    """
    actions: list[tuple[object, ...]] = [
        (os.POSIX_SPAWN_DUP2, given, at) for given, at in ((stdout, 1), (stderr, 2)) if given != at
    ]
    if own_session:
        actions.insert(0, (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0))
    return os.posix_spawn(
        argv[0], list(argv), os.environ, file_actions=actions, setsid=own_session, setsigmask=(), setsigdef=DEFAULT_AGAIN
    )


@contextlib.contextmanager
def held(numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """Keeps these signals back until the block is done, so that none falls between a child's start and `pass_on`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ended(pid: int) -> int | None:
    """The exit code of a child as a shell gives it (128 + signal), None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    if found == 0:
        return None
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def wait(pid: int) -> int:
    """Waits for a child. Signal handlers run meanwhile."""
    while (code := ended(pid)) is None:
        time.sleep(WAIT_SECONDS)
    return code


def run(argv: Sequence[str]) -> int:
    """Runs a program on this terminal and waits for it; its exit code as a shell gives it. Keys that interrupt are its own.

    What would end this process ends the program: SIGHUP, since a shell that talks to somebody ignores SIGTERM. What else is to
    be done about the signal is done by who waits for it on the event loop, when this has returned.
    """
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        with held(ENDING):
            pid = os.posix_spawn(argv[0], list(argv), os.environ, setsigmask=(), setsigdef=(*DEFAULT_AGAIN, *before, *ENDING))
            before |= {number: signal.signal(number, lambda *_: send(pid, signal.SIGHUP)) for number in ENDING}
        return wait(pid)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def write(text: str) -> None:
    """Says something on this terminal while no screen has it."""
    sys.stderr.write(text)
    sys.stderr.flush()


def agreed(question: str) -> bool:
    """Asks whoever sits at this terminal; anything but a yes is a no."""
    write(f"{question} [y/N] ")
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        write("\n")
        return False


def succeeds(argv: Sequence[str], seconds: float = math.inf) -> bool:
    """Whether a program runs and ends well; what it says is thrown away. One that takes longer is killed, and does not."""
    program = shutil.which(argv[0])
    if program is None:
        return False
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        pid = start([program, *argv[1:]], stdout=nowhere, stderr=nowhere)
        deadline = time.monotonic() + seconds
        while (code := ended(pid)) is None:
            if time.monotonic() > deadline:
                send(pid, signal.SIGKILL)
            time.sleep(WAIT_SECONDS)
        return code == 0
    finally:
        os.close(nowhere)


def pass_on(pids: Sequence[int], numbers: Sequence[signal.Signals]) -> None:
    """From now on, these signals go to children instead; one that was ignored (nohup) stays ignored."""

    def forward(number: int, _: object) -> None:
        for pid in pids:
            send(pid, number)

    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, forward)


def send(pid: int, number: int) -> None:
    """Signals a child that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def change_environment(changes: Mapping[str, str]) -> None:
    """What the processes started from here on get instead."""
    os.environ.update(changes)


def silence(descriptor: int) -> None:
    """Whoever read this descriptor has gone: what is still written to it goes nowhere, and nobody is told."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
