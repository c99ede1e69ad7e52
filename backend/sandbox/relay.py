"""Runs a command inside a sandbox: on a new terminal in the sandbox, relayed to the operator's terminal, or with pipes.

No process in a sandbox may hold the operator's terminal, on stdin, stdout or stderr. It could read what is typed there and, if
the kernel allows TIOCSTI, push keystrokes that a root shell reads afterwards. Pipes and files are passed on directly, unless
the caller withholds them, too: a process that keeps a pipe open keeps its reader waiting.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import resource
import select
import signal
import socket
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from backend import commands
from backend.contract.immutable import dataclass
from backend.copying import Flow, copy, woken
from backend.sandbox import namespaces, terminal
from backend.sandbox.first_process import close_on_exec, print_error, reset_signals, shell_code
from backend.sandbox.forwarding import FORWARDED, GRACE_SECONDS, Forwarding
from backend.system import SETPRIV, Identity

HANG_UP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Command:
    """A command to run in the sandbox whose first process has the pid `init`."""

    init: int  # 0: this process is already in the sandbox
    argv: Sequence[str]
    identity: Identity
    environment: Mapping[str, str]
    folder: str  # "": this process's working directory


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a command: its exit code (128 + n for signal n), and whether the operator's terminal was closed."""

    code: int
    hung_up: bool = False


class Watcher(Protocol):
    """Observes a command that has the terminal."""

    def typed(self, data: bytes) -> None:
        """Called with input from the terminal: the operator's keys, or reports of the terminal itself."""

    def began(self, command: int) -> None:
        """Called with the command's pidfd when the command has started. The watcher must close it.

        To end the command, kill it, not the joiner: an orphaned command delays the end of the sandbox.
        """


def run(command: Command, *, withhold: Callable[[int], bool] = os.isatty, grace: float = GRACE_SECONDS) -> int:
    """Runs a command, waits for it and returns its exit code. Raises OSError.

    Forwards the signals in FORWARDED to it. If it has not ended `grace` seconds after one of them, it is killed, and the exit
    code is 128 + the signal's number. SIGINT counts from the second one on: programs use the first to end only what they do.

    If stdin and stdout are a terminal, the command gets a new one in the sandbox. For each other descriptor that `withhold`
    accepts, it gets a pipe instead.
    """
    at_terminal = os.isatty(0) and os.isatty(1)
    with _wires([n for n in (0, 1, 2) if withhold(n) and not (at_terminal and os.isatty(n))]) as wires:
        if not at_terminal:
            return _run(command, FORWARDED, wires, grace=grace).code
        code = 255
        try:
            code = _run(command, FORWARDED, wires, held=terminal.raw, grace=grace).code
            return code
        finally:
            if code > 128:  # killed by a signal, so it could not reset the terminal itself
                terminal.reset(code)


def show(command: Command, watcher: Watcher | None = None) -> Ended:
    """Runs a command on a new terminal in the sandbox. This process's terminal must be in raw mode. Forwards no signals.

    Raises OSError.
    """
    return _run(command, (), held=contextlib.nullcontext, watcher=watcher)


Hold = Callable[[], contextlib.AbstractContextManager[None]]


def _run(
    command: Command,
    signals: Sequence[signal.Signals],
    wires: Sequence[_Wire] = (),
    held: Hold | None = None,
    watcher: Watcher | None = None,
    grace: float = GRACE_SECONDS,
) -> Ended:
    """Starts the command and copies data until it ends. Without `held`, it gets no terminal.

    With `held`, it gets one in the sandbox, shown on this process's terminal while the context `held()` is active.
    """
    with contextlib.ExitStack() as stack:
        replaced = {wire.descriptor: wire.theirs for wire in wires}
        joiner, running, master = _start(command, held is not None, replaced)
        handle = os.pidfd_open(joiner)
        stack.callback(os.close, handle)
        awake = stack.enter_context(woken())
        forwarding = Forwarding(running, signals, grace) if running else None
        if forwarding:
            stack.enter_context(forwarding)
        for wire in wires:
            os.close(wire.theirs)
        if held is not None and running:
            stack.enter_context(held())
            ended = _on_terminal(joiner, running, handle, master, awake, [wire.flow for wire in wires], watcher)
        else:
            copy([wire.flow for wire in wires], handle, awake)
            ended = Ended(shell_code(os.waitpid(joiner, 0)[1]))
        return replace(ended, code=forwarding.killed_for) if forwarding and forwarding.killed_for else ended


@contextlib.contextmanager
def reported(command: Command) -> Iterator[commands.Outcome]:
    """Reports the command to this process's observer. The caller's block runs it and sets the outcome's exit code."""
    into = (*namespaces.nsenter(command.init), f"--wdns={command.folder}", "--")
    with commands.observed(
        command.argv,
        identity=command.identity.name,
        environment=command.environment,
        cwd="/",
        exec_argv=(*into, *command.identity.wrap(command.argv)),
    ) as outcome:
        yield outcome


# --- descriptors ---


@dataclass(frozen=True, slots=True)
class _Wire:
    """A pipe that replaces one of the operator's descriptors. `theirs` is the command's end of the pipe."""

    descriptor: int
    theirs: int
    flow: Flow


@contextlib.contextmanager
def _wires(descriptors: Sequence[int]) -> Iterator[list[_Wire]]:
    wires = []
    for descriptor in descriptors:
        reading, writing = os.pipe()
        if descriptor == 0:
            wires.append(_Wire(0, reading, Flow(0, writing, inward=True)))
        else:
            wires.append(_Wire(descriptor, writing, Flow(reading, descriptor, inward=False)))
    try:
        yield wires
    finally:
        for wire in wires:
            wire.flow.close()


# --- processes ---


def _start(command: Command, on_terminal: bool, replaced: Mapping[int, int]) -> tuple[int, int, int]:
    """Starts the joiner, a process that joins the namespaces, and its child in them, which becomes the command.

    Returns both pids and the terminal's master side (-1 without one). The command's pid is 0 if it could not be started; then
    the joiner has printed the reason. Blocks signals until they can be forwarded.
    """
    parent = os.getpid()
    ours, theirs = socket.socketpair()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    try:
        joiner = os.fork()
        if joiner == 0:
            ours.close()
            _join(command, parent, theirs, on_terminal, replaced)
        theirs.close()
        with ours:
            message, ancillary, _, _ = ours.recvmsg(16, socket.CMSG_SPACE(4))
            master = array.array("i", bytes(ancillary[0][2][:4]))[0] if ancillary else -1
            if on_terminal and master >= 0:
                _copy_size(master)
            ours.send(b"g")
            return joiner, int(message or 0), master
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _join(command: Command, parent: int, back: socket.socket, on_terminal: bool, replaced: Mapping[int, int]) -> None:
    """Runs the joiner, which waits for the command and exits with its code. Does not return."""
    code = 127
    try:
        namespaces.die_with_parent(parent)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the parent's handler is for the parent's children
        if command.init:
            namespaces.leave_keyring()
            namespaces.enter(command.init)
            os.chdir("/")
        seen_as = 0 if command.init else os.getpid()  # getppid() of the command: 0 if it is in another pid namespace
        master, slave = os.openpty() if on_terminal else (-1, -1)
        inner = os.fork()
        if inner == 0:
            if master >= 0:
                os.close(master)
            _become(command, seen_as, back, slave, replaced)
        # The parent forwards signals to the command.
        for number in FORWARDED:
            signal.signal(number, signal.SIG_IGN)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [master]))] if on_terminal else []
        back.sendmsg([str(inner).encode()], rights)
        os.closerange(0, os.sysconf("SC_OPEN_MAX"))  # readers would wait for pipes that stay open here
        code = shell_code(os.waitpid(inner, 0)[1])
    except OSError as error:
        print_error(str(error))
    finally:
        os._exit(code)


def _become(command: Command, parent: int, back: socket.socket, slave: int, replaced: Mapping[int, int]) -> None:
    """Turns this process into the command, with its identity and in a new session. Does not return."""
    try:
        namespaces.die_with_parent(parent)
        back.recv(1)  # by then the terminal's size is set
        os.setsid()
        if slave >= 0:
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            os.fchown(slave, command.identity.uid, command.identity.uid)
        for descriptor in (0, 1, 2):
            if slave >= 0 and os.isatty(descriptor):
                os.dup2(slave, descriptor)
            elif descriptor in replaced:
                os.dup2(replaced[descriptor], descriptor)
        close_on_exec()
        os.umask(0o022)
        reset_signals()
        if command.folder:
            os.chdir(command.folder)
        argv = command.identity.wrap(command.argv)
        if SETPRIV in argv[: len(argv) - len(command.argv)]:
            argv.insert(argv.index(SETPRIV) + 1, "--pdeathsig=keep")  # a change of credentials clears it
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.execvpe(argv[0], argv, dict(command.environment))
    except OSError as error:
        print_error(f"cannot run {command.argv[0]}: {error.strerror}")
    finally:
        os._exit(127)


# --- a terminal ---


def _on_terminal(
    joiner: int, running: int, handle: int, master: int, awake: int, others: Sequence[Flow], watcher: Watcher | None
) -> Ended:
    resized = signal.signal(signal.SIGWINCH, lambda *_: _copy_size(master))
    _copy_size(master)  # it may have changed before the handler was installed
    try:
        os.set_blocking(master, False)
        typed = Flow(0, master, inward=True)
        if watcher:
            typed = Flow(0, master, inward=True, seen=watcher.typed)
            with contextlib.suppress(ProcessLookupError):
                watcher.began(os.pidfd_open(running))
        hung_up = copy([typed, Flow(master, 1, inward=False), *others], handle, awake)
        os.close(master)  # the kernel sends SIGHUP to processes that still use it
        master = -1
        if hung_up and not select.select([handle], [], [], HANG_UP_SECONDS)[0]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running, signal.SIGKILL)
        return Ended(shell_code(os.waitpid(joiner, 0)[1]), hung_up)
    finally:
        signal.signal(signal.SIGWINCH, resized)
        if master >= 0:
            os.close(master)


def _copy_size(master: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(master, termios.TIOCSWINSZ, terminal.size())
