"""Asking a running sandbox for something, over its control socket."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from backend.contract.control import Reply, Request, decode_reply, encode_request
from codetainer_tui.words import harmless

MAX_REPLY = 8 << 20
CONNECT_SECONDS = 5.0
NONE_HERE = "no sandbox is running here"
NONE_HERE_HINT = "Run codetainer up to start one on this machine, or codetainer enter --root to go into one."


def ask(path: Path, request: Request, as_typed: str) -> Reply:
    """Sends one request and waits for its reply, which comes when the effect is there.

    Never raises for a sandbox that is not there or may not be asked: that is a Reply too, with what to do. `as_typed` is the
    command that the operator would type.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with connection:
        try:
            connection.settimeout(CONNECT_SECONDS)
            connection.connect(str(path))
            connection.settimeout(None)  # a boot that is tried again takes its time; a dead server closes the connection
            connection.sendall(encode_request(request).encode() + b"\n")
            line = _line(connection)
        except PermissionError:
            return Reply(False, "only root may ask for this", f"Ask the operator to run {as_typed}.")
        except (FileNotFoundError, ConnectionRefusedError):
            return Reply(False, NONE_HERE, NONE_HERE_HINT)
        except OSError as error:
            return Reply(False, f"cannot ask the sandbox: {error.strerror or error}")
    if not line:
        return Reply(False, "the sandbox ended the connection without a reply", "Run codetainer status to see its state.")
    try:
        return decode_reply(line)
    except (ValueError, TypeError, KeyError) as error:
        return Reply(False, f"cannot read the sandbox's reply: {error}")


def tell(reply: Reply) -> int:
    """Says what came of it: on stdout where it was done, else on stderr with what to do. Returns the exit code."""
    text = "\n".join(harmless(line) for line in reply.text.split("\n"))  # names in it may be the agent's
    if reply.ok:
        if text:
            sys.stdout.write(text + "\n")
        return 0
    sys.stderr.write(f"codetainer: {text}\n" + (f"  {harmless(reply.hint)}\n" if reply.hint else ""))
    return 1


def _line(connection: socket.socket) -> str:
    data = bytearray()
    while not data.endswith(b"\n") and len(data) < MAX_REPLY:
        more = connection.recv(65536)
        if not more:
            return ""
        data += more
    return data.decode(errors="replace")


def supervised(path: Path) -> bool:
    """Whether the supervisor is there, as far as this user can tell: only root is let as far as the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(CONNECT_SECONDS)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True
