"""A connection of the agent that stays open until the test continues it."""

from __future__ import annotations

import subprocess

from backend.system import AGENT
from tests.netns.sandbox import Running

TALK = """
import socket, ssl, sys
host, port = sys.argv[1], int(sys.argv[2])
sock = socket.create_connection((host, port), timeout=20)
if port == 443:
    sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
sys.stdout.write("talking\\n"); sys.stdout.flush()
sys.stdin.readline()
try:
    sock.sendall(f"GET /late HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n".encode())
    sys.stdout.write("answered\\n" if sock.recv(100) else "ended\\n")
except TimeoutError:
    sys.stdout.write("unanswered\\n")
except OSError:
    sys.stdout.write("cut\\n")
"""


def talking(sandbox: Running, host: str, port: int = 443) -> subprocess.Popen[str]:
    """Opens a connection as the agent, which then waits for `go_on`."""
    command = sandbox.command(AGENT, "/usr/bin/python3", "-I", "-c", TALK, host, str(port))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "talking\n"
    return process


def go_on(process: subprocess.Popen[str]) -> str:
    """Sends a request over the connection. Returns the result: answered, ended, unanswered or cut."""
    with process:
        output, _ = process.communicate("\n", timeout=60)
    return output.strip()
