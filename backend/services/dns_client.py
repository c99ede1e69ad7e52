"""Finds the program that waits for an answer of CoreDNS: the owner of the UDP socket that asked.

A socket is in /proc only while it is open, so CoreDNS delays the answer and logs the client's port
(network/dns/coredns/refuse.go). The sockets of refused connections are closed too early, so their program stays unknown.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from backend import processes
from backend.contract.paths import AGENT_UID

PROC = Path("/proc")
SECONDS = 0.02  # limit for a search, because the agent can create any number of sockets and processes


class _TooMany(Exception):
    """The search has reached its time limit."""


def program(port: int, proc: Path = PROC, seconds: float = SECONDS) -> str:
    """Returns the name (proc(5), comm) of the agent's process with an open UDP socket on this port.

    Returns "" if there is none, or if it is not found within `seconds`.
    """
    deadline = time.monotonic() + seconds
    try:
        wanted = {f"socket:[{inode}]" for table in ("udp", "udp6") for inode in _inodes(proc / "net" / table, port, deadline)}
        return _owner(proc, wanted, deadline) if wanted else ""
    except _TooMany:
        return ""


def _in_time(deadline: float) -> Iterator[None]:
    """Yields until the deadline, then raises _TooMany."""
    while time.monotonic() < deadline:
        yield
    raise _TooMany


def _inodes(table: Path, port: int, deadline: float) -> list[str]:
    """Returns the inodes of the agent's sockets on a port, from /proc/net/udp (Documentation/networking/proc_net_tcp.rst)."""
    inodes = []
    with contextlib.suppress(OSError), table.open() as lines:  # without IPv6 there is no table; the refusal still counts
        for line, _ in zip(itertools.islice(lines, 1, None), _in_time(deadline), strict=False):
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and int(fields[7]) == AGENT_UID:
                inodes.append(fields[9])
    return inodes


def _owner(proc: Path, wanted: set[str], deadline: float) -> str:
    """Searches the descriptors of all main threads first, because most threads share them, then those of the others.

    A thread may have its own descriptors (unshare(2), CLONE_FILES), and a main thread that has ended has none.
    """
    own: list[Path] = []
    for process, _ in zip(proc.iterdir(), _in_time(deadline), strict=False):
        with contextlib.suppress(OSError):  # the process has ended meanwhile
            if process.name.isdigit() and process.stat().st_uid == AGENT_UID:
                own.append(process)
                if _holds(process / "fd", wanted, deadline):
                    return _name(process)
    for process in own:
        for thread, _ in zip(itertools.islice(processes.places(process), 1, None), _in_time(deadline), strict=False):
            if _holds(thread / "fd", wanted, deadline):
                return _name(process)
    return ""


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").rstrip("\n")
    except OSError:  # the process has ended meanwhile
        return ""


def _holds(descriptors: Path, wanted: set[str], deadline: float) -> bool:
    with contextlib.suppress(OSError):  # the process has ended meanwhile
        for descriptor, _ in zip(descriptors.iterdir(), _in_time(deadline), strict=False):
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) in wanted:
                    return True
    return False
