"""Tests whether a sandbox reaches the machine's 127.0.0.1 at another address, before anything runs in it.

Programs that carry connections can map an address to the machine's loopback: pasta and slirp4netns map the gateway's, unless an
option forbids it. Only the machine can tell, so this listens there on a port of its own, and connects from inside.
"""

from __future__ import annotations

import os
import select
import socket

from backend.sandbox import namespaces
from backend.sandbox.first_process import print_error, reset_signals
from backend.sandbox.namespaces import Namespace
from backend.system import describe

SECONDS = 0.5  # a router may not answer; a machine's own loopback takes milliseconds


def reached(sandbox: int, address: str) -> bool:
    """True if a connection from the network of the process `sandbox` to `address` arrives at the machine's loopback.

    Sends a TCP SYN to the address if it does not. The process must have a single thread. Raises OSError.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        child = os.fork()
        if child == 0:
            _connect(sandbox, address, port)
        if os.waitpid(child, 0)[1] != 0:
            raise OSError(f"cannot test whether the machine's loopback is closed to the sandbox at {address}")
        return bool(select.select([server], [], [], 0)[0])


def _connect(sandbox: int, address: str, port: int) -> None:
    """Tries to connect, in a child process. The exit code is 0 however that ends. Does not return."""
    code = 1
    try:
        reset_signals()
        namespaces.join(sandbox, Namespace.NET)
        with socket.socket() as attempt:
            attempt.setblocking(False)
            attempt.connect_ex((address, port))
            select.select([], [attempt], [], SECONDS)  # connected or refused
        code = 0
    except OSError as error:
        print_error(describe(error))
    finally:
        os._exit(code)
