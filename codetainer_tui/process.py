"""The front ends' only access to processes and the environment. The backend's is backend/system.py.

Uses only `posix_spawn` and `exec`, so that no Python code runs between fork and exec.
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
# Python ignores these two signals, and children would inherit that: a program that should die of SIGPIPE would live on.
DEFAULT_AGAIN = (signal.SIGPIPE, signal.SIGXFSZ)


def environment() -> dict[str, str]:
    """This process's environment. Use only the terminal's variables; the backend reads the settings."""
    return dict(os.environ)


def on_screen() -> bool:
    """True if a screen can be shown: stdin (for keys) and stderr (for output) are terminals, and not dumb ones."""
    return sys.stdin.isatty() and sys.stderr.isatty() and environment().get("TERM", "") != "dumb"


def backend(verb: str, *arguments: str) -> list[str]:
    """The argument list of a backend process. `-I` keeps Python from importing from the work directory, maybe the agent's."""
    return [sys.executable, "-I", "-m", "backend", verb, *arguments]


def open_standard_descriptors() -> None:
    """Opens /dev/null in the place of a closed stdin, stdout or stderr.

    Otherwise the next file that is opened gets its number, and output goes into that file.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def become(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Replaces this process by a program. Raises OSError if that fails."""
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

    With `own_session`, interrupt keys and hang-ups of this terminal do not reach it.
    """
    actions: list[tuple[object, ...]] = [
        (os.POSIX_SPAWN_DUP2, source, target) for source, target in ((stdout, 1), (stderr, 2)) if source != target
    ]
    if own_session:
        actions.insert(0, (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0))
    return os.posix_spawn(
        argv[0], list(argv), os.environ, file_actions=actions, setsid=own_session, setsigmask=(), setsigdef=DEFAULT_AGAIN
    )


@contextlib.contextmanager
def held(numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """Blocks these signals until the end of the block, so that none arrives between a child's start and `pass_on`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ended(pid: int) -> int | None:
    """The exit code of a child as shells report it (128 + signal), None while it runs."""
    changed, status = os.waitpid(pid, os.WNOHANG)
    if changed == 0:
        return None
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def wait(pid: int) -> int:
    """Waits for a child and returns its exit code. Signal handlers run meanwhile."""
    while (code := ended(pid)) is None:
        time.sleep(WAIT_SECONDS)
    return code


def run(argv: Sequence[str]) -> int:
    """Runs a program on this terminal and returns its exit code as shells report it. The program gets the interrupt keys.

    Signals that would end this process end the program, with SIGHUP, because interactive shells ignore SIGTERM. The event loop
    handles the signal afterwards.
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
    """Writes to this terminal while it shows no screen."""
    sys.stderr.write(text)
    sys.stderr.flush()


def agreed(question: str) -> bool:
    """Asks the operator a yes-or-no question; any answer but yes means no."""
    write(f"{question} [y/N] ")
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        write("\n")
        return False


def succeeds(argv: Sequence[str], seconds: float = math.inf) -> bool:
    """True if a program exits with code 0 within `seconds`. Discards its output; kills it if it takes longer."""
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
    """Makes this process forward these signals to its children. A signal that is ignored (nohup) stays ignored."""

    def forward(number: int, _: object) -> None:
        for pid in pids:
            send(pid, number)

    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, forward)


def send(pid: int, number: int) -> None:
    """Sends a signal to a child, which may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def change_environment(changes: Mapping[str, str]) -> None:
    """Changes the environment of processes that are started from now on."""
    os.environ.update(changes)


def silence(descriptor: int) -> None:
    """Redirects a descriptor whose reader is gone to /dev/null, so that further writes raise no error."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
