"""Sends requests to a running sandbox over its control socket."""

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


def ask(path: Path, request: Request) -> Reply:
    """Sends a request and waits for its reply, which comes when the request has taken effect.

    If no sandbox is running, or this user may not ask, the result is a Reply too, with a remedy: this raises nothing.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with connection:
        try:
            connection.settimeout(CONNECT_SECONDS)
            connection.connect(str(path))
            connection.settimeout(None)  # a retry of boot takes time; a dead server closes the connection
            connection.sendall(encode_request(request).encode() + b"\n")
            line = _line(connection)
        except PermissionError:
            return Reply(False, "only root may ask for this", f"Ask the operator to run {request.typed()}.")
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
    """Prints a reply: on stdout, or with its hint on stderr if the request was refused. Returns the exit code."""
    text = "\n".join(harmless(line) for line in reply.text.split("\n"))  # it may contain names that the agent chose
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
    """True if the supervisor is running, as far as this user can tell: only root may connect to the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(CONNECT_SECONDS)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True
