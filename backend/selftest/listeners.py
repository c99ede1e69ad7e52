"""Looks for programs outside of the sandbox that listen in its network: the agent could reach them over loopback.

The machine's programs do, if the container's network is made that way: pasta with its defaults listens inside on each port that
is in use on the machine's 127.0.0.1 and connects there; the containers of a pod share one loopback. A process of the sandbox is
one that is in /proc here. Sockets of the agent's uid are not examined, because it may listen, and may hide who holds a socket.

In a container without CAP_DAC_OVERRIDE (docs/image.md), root cannot open the folder with a service's descriptors. A socket of a
service's uid then counts as that service's.

Sources: Documentation/networking/proc_net_tcp.rst; the states are those of include/net/tcp_states.h.
"""

from __future__ import annotations

import contextlib
import ipaddress
import sys
import time
from collections.abc import Collection
from pathlib import Path

from backend import processes
from backend.contract.immutable import dataclass
from backend.contract.paths import AGENT_UID, USERS
from network.firewall.ruleset import DOCKER_ADDRESS

PROC = Path("/proc")
LISTENING = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}  # TCP_LISTEN; for UDP: bound, and not connected
SERVICES = frozenset(USERS.values()) - {AGENT_UID}
PLATFORM_SSH = ("tcp6", 22)  # a platform's SSH, in another pid namespace
TRIES = 3  # a process may end, or pass its sockets on, while it is looked at
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that waits for connections or datagrams."""

    protocol: str
    address: str
    port: int
    uid: int
    inode: str

    def __str__(self) -> str:
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{shown}:{self.port} ({self.protocol}, uid {self.uid})"


def foreign(resolvers: Collection[tuple[str, int]] = (), ssh: int = 0, proc: Path = PROC) -> str:
    """The problem, "" if every listener belongs to a process of the sandbox, or is one of the outside `resolvers`.

    `ssh` is the port of our own sshd, or 0.

    Blocks for up to a few tenths of a second if it finds one.
    """
    found: set[Listener] = set()
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_SECONDS)
        unowned = _unowned(resolvers, ssh, proc)
        found = unowned if attempt == 0 else found & unowned
        if not found:
            return ""
    first, more = min(found, key=str), len(found) - 1
    others = f" and {more} more" if more else ""
    return f"a program outside of the sandbox listens inside on {first}{others}: the agent can reach it"


def _unowned(resolvers: Collection[tuple[str, int]], ssh: int, proc: Path) -> set[Listener]:
    """The listeners that no process holds."""
    wanted = {
        f"socket:[{listener.inode}]": listener
        for protocol in LISTENING
        for listener in listeners(protocol, proc)
        if listener.uid != AGENT_UID and not _refused_to_the_agent(listener, resolvers, ssh)
    }
    hidden: set[int] = set()  # uids of processes whose descriptors root may not read
    for process in proc.iterdir():
        if not wanted:
            break
        if process.name.isdigit():
            for place in processes.places(process):
                if not _cross_off(wanted, place / "fd"):
                    hidden |= _uid(place)
    return {listener for listener in wanted.values() if listener.uid not in hidden & SERVICES}


def _refused_to_the_agent(listener: Listener, resolvers: Collection[tuple[str, int]], ssh: int) -> bool:
    """True for expected listeners to which the firewall does not let the agent connect.

    Docker's resolver listens on changing ports, also if CODETAINER_UPSTREAM replaces it.
    """
    return (
        listener.address == DOCKER_ADDRESS
        or (listener.address, listener.port) in resolvers
        or (listener.protocol, listener.port, listener.uid) == (*PLATFORM_SSH, 0)
        or (listener.protocol in ("tcp", "tcp6") and listener.port == ssh != 0 and listener.uid == 0)
    )


def _cross_off(wanted: dict[str, Listener], descriptors: Path) -> bool:
    """Removes what a process or thread holds from `wanted`. False if its descriptors cannot be read."""
    try:
        for descriptor in descriptors.iterdir():
            try:
                wanted.pop(str(descriptor.readlink()), None)
            except FileNotFoundError:  # closed meanwhile
                continue
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return True
    except OSError:
        return False
    return True


def _uid(place: Path) -> set[int]:
    """The effective uid of a process or thread, none if it has ended. Its folder may belong to root (proc(5), "dumpable")."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        lines = (place / "status").read_text().splitlines()
        return {int(line.split()[2]) for line in lines if line.startswith("Uid:")}
    return set()


def listeners(protocol: str, proc: Path = PROC) -> list[Listener]:
    """The sockets of a protocol ("tcp", "udp6") that listen. Without IPv6, its tables do not exist."""
    try:
        lines = (proc / "net" / protocol).read_text().splitlines()[1:]
    except FileNotFoundError:
        return []
    fields = (line.split() for line in lines)
    return [_listener(protocol, f) for f in fields if len(f) > 9 and f[3] == LISTENING[protocol]]


def _listener(protocol: str, fields: list[str]) -> Listener:
    address, _, port = fields[1].rpartition(":")
    return Listener(protocol, _address(address), int(port, 16), int(fields[7]), fields[9])


def _address(text: str) -> str:
    """The address in words of 32 bits, each in the byte order of the machine: 0100007F is 127.0.0.1."""
    words = (int(text[at : at + 8], 16) for at in range(0, len(text), 8))
    return str(ipaddress.ip_address(b"".join(word.to_bytes(4, sys.byteorder) for word in words)))
