"""A command inside a sandbox: on a terminal of the sandbox's own, relayed, or with this process's pipes.

Nothing in a sandbox holds the operator's terminal, be it on stdin, stdout or stderr: whoever does can read what is typed there
and, where the kernel allows TIOCSTI, push keystrokes that a root shell reads afterwards. Pipes and files pass as they are,
unless the caller wants them kept too: whoever holds a pipe keeps its reader waiting.
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
from dataclasses import dataclass
from types import FrameType
from typing import Protocol

from backend import commands
from backend.copying import Flow, copy, woken
from backend.sandbox import namespaces, terminal
from backend.sandbox.first_process import close_on_exec, reset_signals, say, shell_code
from backend.system import SETPRIV, Identity

PASSED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
HANG_UP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Command:
    """What is run in the sandbox whose first process is `init`, as whom, with what, where."""

    init: int  # 0: this process is in the sandbox
    argv: Sequence[str]
    identity: Identity
    environment: Mapping[str, str]
    folder: str  # "": the one that this process is in


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command has ended: its exit code (128 + n for signal n), and whether the operator's terminal has gone."""

    code: int
    hung_up: bool = False


class Watcher(Protocol):
    """Looks on while a command has the terminal."""

    def typed(self, data: bytes) -> None:
        """The operator has typed, or the terminal has answered."""

    def began(self, command: int) -> None:
        """It has begun. It is given as a pidfd, which is the watcher's to close.

        Not the joiner: if that is killed somebody else has to reap the command, before its sandbox can end.
        """


def run(command: Command, *, keeps: Callable[[int], bool] = os.isatty) -> int:
    """Runs a command to its end; returns its exit code. Signals that this process gets go to it instead.

    With a terminal on both stdin and stdout it gets one of the sandbox's own. Of its other descriptors, those for which `keeps`
    is true are kept from it: it gets pipes. Raises OSError.
    """
    at_terminal = os.isatty(0) and os.isatty(1)
    with _wires([n for n in (0, 1, 2) if keeps(n) and not (at_terminal and os.isatty(n))]) as wires:
        if not at_terminal:
            return _run(command, PASSED, wires).code
        code = 255
        try:
            code = _run(command, PASSED, wires, held=terminal.raw).code
            return code
        finally:
            if code > 128:  # it was killed, and could not do this itself
                terminal.reset(code)


def show(command: Command, watcher: Watcher | None = None) -> Ended:
    """Runs a command on a terminal of the sandbox's own. This process's is raw already, and its signals stay its own.

    Raises OSError.
    """
    return _run(command, (), held=contextlib.nullcontext, watcher=watcher)


Hold = Callable[[], contextlib.AbstractContextManager[None]]


def _run(
    command: Command,
    passed: Sequence[signal.Signals],
    wires: Sequence[_Wire] = (),
    held: Hold | None = None,
    watcher: Watcher | None = None,
) -> Ended:
    """`held` holds this process's terminal while the command is on one of the sandbox's own; None: it gets none."""
    with contextlib.ExitStack() as stack:
        given = {wire.descriptor: wire.theirs for wire in wires}
        joiner, running, master = _start(command, held is not None, given, passed)
        handle = os.pidfd_open(joiner)
        stack.callback(os.close, handle)
        awake = stack.enter_context(woken())
        if running:
            stack.enter_context(_passing(running, passed))
        for wire in wires:
            os.close(wire.theirs)
        if held is not None and running:
            stack.enter_context(held())
            return _on_terminal(joiner, running, handle, master, awake, [wire.flow for wire in wires], watcher)
        copy([wire.flow for wire in wires], handle, awake)
        return Ended(shell_code(os.waitpid(joiner, 0)[1]))


@contextlib.contextmanager
def reported(command: Command) -> Iterator[commands.Outcome]:
    """Reports the command to this process's observer. The block runs it, and fills in its exit code."""
    into = ("nsenter", "--all", f"--target={command.init}", f"--wdns={command.folder}", "--")
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
    """A pipe in place of a descriptor that is the operator's."""

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


def _start(
    command: Command, on_terminal: bool, given: Mapping[int, int], passed: Sequence[signal.Signals]
) -> tuple[int, int, int]:
    """Starts a process that joins the namespaces, and its child, which is in them and becomes the command.

    Returns both pids and the terminal's master side (-1 without one); the command's is 0 where it could not be started: the
    joiner has said why. Signals wait until they can be passed on.
    """
    parent = os.getpid()
    ours, theirs = socket.socketpair()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED)
    try:
        joiner = os.fork()
        if joiner == 0:
            ours.close()
            _join(command, parent, theirs, on_terminal, given)
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


def _join(command: Command, parent: int, back: socket.socket, on_terminal: bool, given: Mapping[int, int]) -> None:
    """The joiner: outlives the command by a moment, to say how it ended. Does not return."""
    code = 127
    try:
        namespaces.die_with_parent(parent)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the parent's handler looks after children of the parent's
        if command.init:
            namespaces.enter(command.init)
            os.chdir("/")
        seen_as = 0 if command.init else os.getpid()  # by the command: 0 from another pid namespace
        master, slave = os.openpty() if on_terminal else (-1, -1)
        inner = os.fork()
        if inner == 0:
            if master >= 0:
                os.close(master)
            _become(command, seen_as, back, slave, given)
        # Keys and signals of the operator's terminal are for the command, by way of the parent.
        for number in PASSED:
            signal.signal(number, signal.SIG_IGN)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [master]))] if on_terminal else []
        back.sendmsg([str(inner).encode()], rights)
        os.closerange(0, os.sysconf("SC_OPEN_MAX"))  # the end of a pipe is seen when the command's own copy closes
        code = shell_code(os.waitpid(inner, 0)[1])
    except OSError as error:
        say(str(error))
    finally:
        os._exit(code)


def _become(command: Command, parent: int, back: socket.socket, slave: int, given: Mapping[int, int]) -> None:
    """Turns this process into the command, as somebody, in a session of its own. Does not return."""
    try:
        namespaces.die_with_parent(parent)
        back.recv(1)  # the terminal has its size
        os.setsid()
        if slave >= 0:
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            os.fchown(slave, command.identity.uid, command.identity.uid)
        for descriptor in (0, 1, 2):
            if slave >= 0 and os.isatty(descriptor):
                os.dup2(slave, descriptor)
            elif descriptor in given:
                os.dup2(given[descriptor], descriptor)
        close_on_exec()
        os.umask(0o022)
        reset_signals()
        if command.folder:
            os.chdir(command.folder)
        argv = command.identity.wrap(command.argv)
        if SETPRIV in argv[: len(argv) - len(command.argv)]:
            argv.insert(argv.index(SETPRIV) + 1, "--pdeathsig=keep")  # the kernel forgets it with the change of credentials
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.execvpe(argv[0], argv, dict(command.environment))
    except OSError as error:
        say(f"cannot run {command.argv[0]}: {error.strerror}")
    finally:
        os._exit(127)


@contextlib.contextmanager
def _passing(pid: int, numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """Signals go to the command's process group, as keys on a terminal would."""

    def pass_on(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)

    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- a terminal ---


def _on_terminal(
    joiner: int, running: int, handle: int, master: int, awake: int, others: Sequence[Flow], watcher: Watcher | None
) -> Ended:
    resized = signal.signal(signal.SIGWINCH, lambda *_: _copy_size(master))
    _copy_size(master)  # it may have changed before the handler was there
    try:
        os.set_blocking(master, False)
        typed = Flow(0, master, inward=True)
        if watcher:
            typed = Flow(0, master, inward=True, seen=watcher.typed)
            with contextlib.suppress(ProcessLookupError):
                watcher.began(os.pidfd_open(running))
        gone = copy([typed, Flow(master, 1, inward=False), *others], handle, awake)
        os.close(master)  # the kernel hangs up on whoever is left on it
        master = -1
        if gone and not select.select([handle], [], [], HANG_UP_SECONDS)[0]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running, signal.SIGKILL)
        return Ended(shell_code(os.waitpid(joiner, 0)[1]), gone)
    finally:
        signal.signal(signal.SIGWINCH, resized)
        if master >= 0:
            os.close(master)


def _copy_size(master: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(master, termios.TIOCSWINSZ, terminal.size())
