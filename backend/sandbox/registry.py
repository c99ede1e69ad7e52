"""The registry of this machine's running sandboxes: abstract sockets in its network namespace, which disappear with `up`.

An abstract socket leaves no file behind, and the kernel reports the uid of its peer.
"""

from __future__ import annotations

import os
import re
import select
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path

from backend.settings import values

SECONDS = 5.0
# Part of an abstract socket's name, which has at most 107 bytes (unix(7)), and of commands that are pasted into a shell.
NAME = re.compile(values.SANDBOX_NAME)
DEFAULT_NAME = "sandbox"  # of `up` without --name


class NoSandbox(Exception):
    """The sandbox does not exist, cannot be trusted, or its name is taken. The text says which."""


def _address(name: str) -> str:
    return f"\0codetainer/{name}"


def peer_uid(connected: socket.socket) -> int:
    """The uid of the process at the other end, as reported by the kernel (unix(7), SO_PEERCRED)."""
    _, uid, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


class Beacon:
    """Publishes the pid of a sandbox's first process until it is closed. Raises NoSandbox if the name is taken."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind(_address(name))
        except OSError as error:
            self._socket.close()
            raise NoSandbox(f"cannot start: a sandbox called {name} is running\n  Choose another name with --name.") from error
        self._init = 0

    def begin(self, init: int) -> None:
        """Starts answering, so that `find` finds the sandbox. `init` is the pid of its first process."""
        self._init = init
        self._socket.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                select.select([self._socket], [], [])
                peer, _ = self._socket.accept()
            except ConnectionError:
                continue
            except (OSError, ValueError):
                return  # closed
            # The client may have hung up, as it does if the sandbox belongs to another user.
            with peer, suppress(ConnectionError):
                peer.send(str(self._init).encode())

    def close(self) -> None:
        self._socket.close()


def running() -> list[str]:
    """The names of this machine's sandboxes, read from /proc/net/unix, which shows the zero byte as @."""
    prefix = _address("").replace("\0", "@")
    sockets = {line.split()[-1] for line in Path("/proc/net/unix").read_text(errors="replace").splitlines() if prefix in line}
    return sorted(name for text in sockets if NAME.fullmatch(name := text.removeprefix(prefix)))  # any user can make sockets


def find(name: str) -> int:
    """The pid of a running sandbox's first process. Raises NoSandbox."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(_address(name))
        except OSError as error:
            others = f"  Running: {', '.join(names)}.\n" if (names := running()) else ""
            raise NoSandbox(
                f"cannot find a sandbox called {name}\n{others}  Run codetainer up --name {name} to start it."
            ) from error
        if (uid := peer_uid(sock)) != os.geteuid():
            raise NoSandbox(f"cannot enter {name}: it belongs to user {uid}")
        sock.settimeout(SECONDS)  # not before: with a timeout, connect fails with EAGAIN if the queue is full
        try:
            text = sock.recv(32)
        except OSError as error:
            raise NoSandbox(f"cannot enter {name}: it does not answer") from error
    if not text.isdigit():
        raise NoSandbox(f"cannot enter {name}: it is still starting")
    return int(text)
