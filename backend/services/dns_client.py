"""Which program waits for an answer of CoreDNS's: the owner of the UDP socket that asked.

CoreDNS logs whose answer it holds (network/dns/coredns/refuse.go); a socket can be found in /proc only while it is open.
Refused connections have none any more when their refusal is read, so their program stays unknown.
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
SECONDS = 0.02  # the agent decides how many sockets and processes there are; who looks has other things to do


class _TooMany(Exception):
    """It would take longer than it is worth."""


def program(port: int, proc: Path = PROC, seconds: float = SECONDS) -> str:
    """The agent's program with an open UDP socket of this port, by the name it goes by (proc(5), comm).

    "" where there is none, or where it is not found in `seconds`.
    """
    deadline = time.monotonic() + seconds
    try:
        wanted = {f"socket:[{inode}]" for table in ("udp", "udp6") for inode in _inodes(proc / "net" / table, port, deadline)}
        return _owner(proc, wanted, deadline) if wanted else ""
    except _TooMany:
        return ""


def _in_time(deadline: float) -> Iterator[None]:
    """Goes on until the deadline, then raises _TooMany."""
    while time.monotonic() < deadline:
        yield
    raise _TooMany


def _inodes(table: Path, port: int, deadline: float) -> list[str]:
    """The agent's sockets of a port, as /proc/net/udp has them (source: Documentation/networking/proc_net_tcp.rst)."""
    found = []
    with contextlib.suppress(OSError), table.open() as lines:  # no IPv6 in this kernel; refusals are counted all the same
        for line, _ in zip(itertools.islice(lines, 1, None), _in_time(deadline), strict=False):
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and int(fields[7]) == AGENT_UID:
                found.append(fields[9])
    return found


def _owner(proc: Path, wanted: set[str], deadline: float) -> str:
    """First by what each main thread holds, which all threads mostly share; then by that of the other threads.

    A thread may have descriptors of its own (unshare(2), CLONE_FILES), and a main thread that has ended has none.
    """
    own: list[Path] = []
    for process, _ in zip(proc.iterdir(), _in_time(deadline), strict=False):
        with contextlib.suppress(OSError):  # it has ended meanwhile
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
    except OSError:  # it has ended meanwhile
        return ""


def _holds(descriptors: Path, wanted: set[str], deadline: float) -> bool:
    with contextlib.suppress(OSError):  # it has ended meanwhile
        for descriptor, _ in zip(descriptors.iterdir(), _in_time(deadline), strict=False):
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) in wanted:
                    return True
    return False
