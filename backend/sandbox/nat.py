"""The network of `--net nat`: a veth pair to this machine's network, and masquerading that the kernel removes when `up` ends.

The table has the flag `owner` (nft(8)): the kernel deletes it with the netlink socket that created it, so kill -9 leaves no
rule. IP forwarding is a global setting of the machine. A keeper process restores it, and for that outlives `up` by a moment.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import signal
import socket
import sys
from pathlib import Path

from backend import system
from backend.guard.nftables import Nftables
from backend.sandbox.first_process import STOP_SIGNALS
from backend.sandbox.registry import peer_uid
from backend.system import SystemFailure
from network.dns import resolv_conf

NETWORKS = ipaddress.IPv4Network("10.213.0.0/24")  # private; each running sandbox has a /30 of it
LINK = "codetainer"  # prefix of our interface names
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
KEEPER = "\0codetainer-forwarding"
RESOLV_CONF = Path("/etc/resolv.conf")
# If resolv.conf points to systemd-resolved on loopback, this file lists its upstream resolvers (systemd-resolved.service(8)).
RESOLVED = Path("/run/systemd/resolve/resolv.conf")


def resolvers(files: tuple[Path, ...] = (RESOLV_CONF, RESOLVED)) -> tuple[str, ...]:
    """This machine's resolvers that a sandbox can reach, too: IPv4 addresses outside of loopback. Raises SystemFailure."""
    for file in files:
        with contextlib.suppress(OSError):
            if addresses := nameservers(file.read_text(errors="replace")):
                return addresses
    raise SystemFailure(
        f"cannot find a resolver for the sandbox: {files[0]} lists no IPv4 address outside of loopback",
        "Set CODETAINER_UPSTREAM to the address of your network's resolver.",
    )


def nameservers(text: str) -> tuple[str, ...]:
    addresses = resolv_conf.parse(text).nameservers
    return tuple(address for address in addresses if not ipaddress.IPv4Address(address).is_loopback)


def table(number: int, link: str) -> str:
    return (
        f"add table ip {LINK}_{number} {{ flags owner; }}\n"
        f"add chain ip {LINK}_{number} leaving {{ type nat hook postrouting priority 100; }}\n"
        f'add rule ip {LINK}_{number} leaving ip saddr {address(number, 2)} oifname != "{link}" masquerade\n'
    )


def address(number: int, end: int) -> str:
    """An address in the /30 network `number`: end 1 is this machine's, end 2 the sandbox's."""
    return str(NETWORKS.network_address + 4 * number + end)


class Nat:
    """One sandbox's link and table. The table exists as long as this object, which holds its netlink socket."""

    def __init__(self) -> None:
        self._nft = Nftables()
        self._link = ""
        self.sandbox = ""  # its address
        self._keeper: socket.socket | None = None

    def connect(self, sandbox: int) -> None:
        """Connects the sandbox's network namespace to this machine's network. Raises SystemFailure, NftError and OSError."""
        number = self._make_link(sandbox)
        here, there = address(number, 1), address(number, 2)
        self.sandbox = there
        self._nft.run(table(number, self._link))
        system.run(["ip", "address", "add", f"{here}/30", "dev", self._link])
        system.run(["ip", "link", "set", self._link, "up"])
        within = ["nsenter", f"--net=/proc/{sandbox}/ns/net", "--", "ip"]
        system.run([*within, "link", "set", "lo", "up"])
        system.run([*within, "address", "add", f"{there}/30", "dev", "eth0"])
        system.run([*within, "link", "set", "eth0", "up"])
        system.run([*within, "route", "add", "default", "via", here])
        self._keeper = forward()
        for closed in self._closed_chains():
            sys.stderr.write(
                f"codetainer: this machine's firewall drops forwarded traffic ({closed}); the sandbox may have no network\n"
                f"  Allow {self._link} there, for example with iptables -I DOCKER-USER -i {LINK}+ -j ACCEPT.\n"
            )

    def end(self) -> None:
        """Deletes the link and restores IP forwarding. The kernel would delete the link only later, with the namespace."""
        if self._link:
            system.run(["ip", "link", "delete", self._link], check=False)
        if self._keeper is not None:
            with contextlib.suppress(OSError):
                self._keeper.shutdown(socket.SHUT_WR)
                self._keeper.recv(1)  # returns when forwarding is restored, or another sandbox still needs it
            self._keeper.close()

    def _make_link(self, sandbox: int) -> int:
        """Creates the veth pair with the first free number and returns the number. The link's name reserves its network."""
        for number in range(NETWORKS.num_addresses // 4):
            link = f"{LINK}{number}"
            peer = ["type", "veth", "peer", "name", "eth0", "netns", str(sandbox)]
            done = system.run(["ip", "link", "add", link, *peer], check=False)
            if done.code == 0:
                self._link = link
                return number
            if "File exists" not in done.err:
                raise SystemFailure(f"cannot connect the sandbox: {done.last_line}")
        raise SystemFailure(f"cannot connect the sandbox: all {NETWORKS.num_addresses // 4} networks are in use")

    def _closed_chains(self) -> list[str]:
        """Other programs' chains on the forward hook with policy drop, which ours cannot override."""
        return [
            f"{chain['family']} {chain['table']} {chain['name']}"
            for entry in self._nft.query("list chains\n")
            if (chain := entry.get("chain")) and chain.get("hook") == "forward" and chain.get("policy") == "drop"
        ]


def forward() -> socket.socket:
    """Turns IP forwarding on. Returns a connection to the keeper, which restores it when the last connection is closed.

    All sandboxes of this machine share one keeper. Raises OSError.
    """
    for _ in range(3):  # a keeper may end while we connect
        with contextlib.suppress(OSError):
            return _connected()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(KEEPER)
            listener.listen(64)
        except OSError:
            listener.close()
            continue  # another process was faster
        before = FORWARDING.read_text()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(KEEPER)  # before the fork, so that a keeper that dies early cannot block us
        if os.fork() == 0:
            _keep(listener, before)
        listener.close()
        if _kept(connection):
            FORWARDING.write_text("1\n")
            return connection
    raise OSError("cannot turn on IP forwarding: the process that would turn it off again does not start")


def _connected() -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(KEEPER)
        if peer_uid(connection) != os.geteuid() or not _kept(connection):
            raise ConnectionRefusedError(KEEPER)
    except OSError:
        connection.close()
        raise
    return connection


def _kept(connection: socket.socket) -> bool:
    return connection.recv(1) == b"k"


def _keep(listener: socket.socket, before: str) -> None:
    """Runs the keeper: waits until the last connection is closed, then restores IP forwarding. Does not return."""
    try:
        os.setsid()
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        descriptor = os.dup2(listener.fileno(), 3)
        os.closerange(0, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        waiting = socket.socket(fileno=descriptor)
        held: list[socket.socket] = []
        leaving: list[socket.socket] = []
        while held or not leaving:
            for ready in select.select([waiting, *held], [], [])[0]:
                if ready is waiting:
                    peer, _ = waiting.accept()
                    if peer_uid(peer) != os.geteuid():
                        peer.close()
                        continue
                    peer.send(b"k")
                    held.append(peer)
                else:
                    held.remove(ready)
                    leaving.append(ready)
        FORWARDING.write_text(before)
        waiting.close()
    finally:
        os._exit(0)  # closes the connections, which `Nat.end` waits for
