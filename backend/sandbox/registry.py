"""How `enter` finds a running sandbox: an abstract socket in this machine's network namespace, which dies with `up`.

It has no file, so nothing is left behind, and the kernel says who is on the other side.
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

SECONDS = 5.0
# Part of an abstract socket's name, of at most 107 bytes (unix(7)), and of commands that are copied into a shell.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class NoSandbox(Exception):
    """There is no such sandbox, or it cannot be trusted; the text says which."""


def _address(name: str) -> str:
    return f"\0codetainer/{name}"


def peer_uid(connected: socket.socket) -> int:
    """Who is on the other side, as the kernel says (unix(7), SO_PEERCRED)."""
    _, uid, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


class Beacon:
    """Answers with the pid of the sandbox's first process until it is closed. Raises OSError where the name is taken."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind(_address(name))
        except OSError as error:
            self._socket.close()
            raise NoSandbox(f"cannot start: a sandbox called {name} is running; --name gives another name") from error
        self._init = 0

    def begin(self, init: int) -> None:
        """From now on the sandbox can be found."""
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
            # Who asked may have gone, as somebody does who finds that this sandbox is another user's.
            with peer, suppress(ConnectionError):
                peer.send(str(self._init).encode())

    def close(self) -> None:
        self._socket.close()


def running() -> list[str]:
    """The names of this machine's sandboxes, by their sockets (/proc/net/unix, where an @ stands for the zero byte)."""
    begin = _address("").replace("\0", "@")
    found = {line.split()[-1] for line in Path("/proc/net/unix").read_text(errors="replace").splitlines() if begin in line}
    return sorted(name for word in found if NAME.fullmatch(name := word.removeprefix(begin)))  # anybody may make a socket


def find(name: str) -> int:
    """The first process of a running sandbox. Raises NoSandbox."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(_address(name))
        except OSError as error:
            there = f"those that run: {', '.join(found)}; " if (found := running()) else ""
            raise NoSandbox(f"cannot find a sandbox called {name}\n  {there}codetainer up --name {name} starts one") from error
        if (uid := peer_uid(sock)) != os.geteuid():
            raise NoSandbox(f"cannot enter {name}: it belongs to user {uid}")
        sock.settimeout(SECONDS)  # not before: where many ask at once, a connect without patience fails (EAGAIN)
        try:
            text = sock.recv(32)
        except OSError as error:
            raise NoSandbox(f"cannot enter {name}: it does not answer") from error
    if not text.isdigit():
        raise NoSandbox(f"cannot enter {name}: it is only just starting")
    return int(text)
