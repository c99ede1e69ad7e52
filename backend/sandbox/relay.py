"""A command inside a sandbox: on a terminal of the sandbox's own, relayed, or with this process's pipes.

The agent never holds the operator's terminal: whoever has a terminal can push keystrokes into it (TIOCSTI), and after the
sandbox a root shell would read them.
"""

from __future__ import annotations

import array
import fcntl
import os
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Mapping, Sequence
from types import FrameType

from backend.sandbox import namespaces
from backend.system import Identity

CHUNK = 65536


def run(
    init: int, argv: Sequence[str], identity: Identity, environment: Mapping[str, str], cwd: str, *, stdout: int = 1
) -> int:
    """Runs a command in the sandbox whose first process is `init`; returns its exit code (128 + n for signal n).

    With a terminal on both stdin and stdout it gets one of the sandbox's own; else descriptors 0, `stdout` and 2.
    """
    if os.isatty(0) and os.isatty(1):
        return _on_terminal(init, argv, identity, environment, cwd)
    child = _fork_inside(init, argv, identity, environment, cwd, None, stdout)
    return _wait(child)


def _fork_inside(
    init: int, argv: Sequence[str], identity: Identity, environment: Mapping[str, str], cwd: str,
    terminal: socket.socket | None, stdout: int = 1,
) -> int:  # fmt: skip
    """Two processes: one that joins the namespaces, and its child, which is in them and becomes the command."""
    parent = os.getpid()
    outer = os.fork()
    if outer:
        return outer
    code = 127
    try:
        namespaces.die_with_parent(parent)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        namespaces.enter(init)
        os.chdir("/")
        slave = -1
        if terminal is not None:
            master, slave = os.openpty()
            terminal.sendmsg([b"t"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [master]))])
            os.close(master)
            if terminal.recv(1) != b"g":  # its size is set
                os._exit(1)
            terminal.close()
        inner = os.fork()
        if inner == 0:
            _become(argv, identity, environment, cwd, slave, stdout)
        if slave >= 0:
            os.close(slave)
        code = _wait(inner)
    except OSError as error:
        os.write(2, f"codetainer: {error}\n".encode())
    finally:
        os._exit(code)


def _become(argv: Sequence[str], identity: Identity, environment: Mapping[str, str], cwd: str, slave: int, stdout: int) -> None:
    """Turns this process into the command, as somebody, in a session of its own."""
    try:
        os.setsid()
        if slave >= 0:
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for descriptor in (0, 1, 2):
                os.dup2(slave, descriptor)
            os.fchown(slave, identity.uid, identity.uid)
        elif stdout != 1:
            os.dup2(stdout, 1)
        os.closerange(3, 1024)
        os.umask(0o022)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # Python ignores them, and exec would keep that
        os.chdir(cwd)
        command = identity.wrap(argv)
        os.execvpe(command[0], command, dict(environment))
    except OSError as error:
        os.write(2, f"codetainer: cannot run {argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _on_terminal(init: int, argv: Sequence[str], identity: Identity, environment: Mapping[str, str], cwd: str) -> int:
    ours, theirs = socket.socketpair()
    child = _fork_inside(init, argv, identity, environment, cwd, theirs)
    theirs.close()
    with ours:
        message, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4))
        if not message or not ancillary:
            return _wait(child)
        master = array.array("i", bytes(ancillary[0][2][:4]))[0]
        _copy_size(master)
        ours.send(b"g")
    saved = termios.tcgetattr(0)
    resized = signal.signal(signal.SIGWINCH, lambda *_: _copy_size(master))
    try:
        tty.setraw(0)
        _relay(master)
    finally:
        signal.signal(signal.SIGWINCH, resized)
        # What was typed for the sandbox, or pushed by it, is not for the shell that comes after.
        termios.tcsetattr(0, termios.TCSAFLUSH, saved)
        os.close(master)
    return _wait(child)


def _copy_size(master: int) -> None:
    size = fcntl.ioctl(1, termios.TIOCGWINSZ, b"\0" * 8)
    fcntl.ioctl(master, termios.TIOCSWINSZ, size)


def _relay(master: int) -> None:
    """Copies both ways until the sandbox's side is closed."""
    sources = [0, master]
    while True:
        readable, _, _ = select.select(sources, [], [])
        if master in readable:
            try:
                data = os.read(master, CHUNK)
            except OSError:
                return  # EIO: the last one that had it open has gone
            if not data:
                return
            _write(1, data)
        if 0 in readable:
            data = os.read(0, CHUNK)
            if data:
                _write(master, data)
            else:
                sources.remove(0)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _wait(child: int) -> int:
    """The exit code of a child. A signal that comes meanwhile is passed on to it."""

    def pass_on(number: int, _: FrameType | None) -> None:
        os.kill(child, number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        _, status = os.waitpid(child, 0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def on_terminal() -> bool:
    return sys.stdin is not None and os.isatty(0) and os.isatty(1) and os.isatty(2)
