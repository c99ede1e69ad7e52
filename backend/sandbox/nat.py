"""A way out for `--net nat`: a veth pair to this machine's network, and masquerading that the kernel takes away with us.

The table has the flag `owner` (nft(8)): it belongs to the netlink socket that made it, so a kill -9 leaves no rule. Forwarding
is a setting of the machine's that nobody owns; a keeper process outlives us by the moment it takes to put it back.
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
from backend.sandbox.first_process import ASKING
from backend.sandbox.registry import peer_uid
from backend.system import SystemFailure
from network.dns import resolv_conf

NETWORKS = ipaddress.IPv4Network("10.213.0.0/24")  # private; a /30 of it for each sandbox that runs
LINK = "codetainer"  # how the names of our interfaces begin
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
KEEPER = "\0codetainer-forwarding"
RESOLV_CONF = Path("/etc/resolv.conf")
# Where systemd-resolved listens on loopback, this file names those that it asks (systemd-resolved.service(8)).
RESOLVED = Path("/run/systemd/resolve/resolv.conf")


def resolvers(files: tuple[Path, ...] = (RESOLV_CONF, RESOLVED)) -> tuple[str, ...]:
    """This machine's resolvers that a sandbox can reach too: IPv4, and not on loopback. Raises SystemFailure."""
    for file in files:
        with contextlib.suppress(OSError):
            if found := nameservers(file.read_text(errors="replace")):
                return found
    raise SystemFailure(
        f"cannot find a resolver for the sandbox: {files[0]} names none but on loopback or over IPv6",
        "Set CODETAINER_UPSTREAM to the address of your network's resolver.",
    )


def nameservers(text: str) -> tuple[str, ...]:
    found = resolv_conf.parse(text).nameservers
    return tuple(address for address in found if not ipaddress.IPv4Address(address).is_loopback)


def table(number: int, link: str) -> str:
    return (
        f"add table ip {LINK}_{number} {{ flags owner; }}\n"
        f"add chain ip {LINK}_{number} leaving {{ type nat hook postrouting priority 100; }}\n"
        f'add rule ip {LINK}_{number} leaving ip saddr {address(number, 2)} oifname != "{link}" masquerade\n'
    )


def address(number: int, end: int) -> str:
    """Of one of the /30 networks: end 1 is this machine's, end 2 the sandbox's."""
    return str(NETWORKS.network_address + 4 * number + end)


class Nat:
    """Holds the library's context, and with it the table, for as long as it lives."""

    def __init__(self) -> None:
        self._nft = Nftables()
        self._link = ""
        self.sandbox = ""  # its address
        self._keeper: socket.socket | None = None

    def connect(self, sandbox: int) -> None:
        """Gives the sandbox's network namespace a way out. Raises SystemFailure, NftError and OSError."""
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
                f"codetainer: this machine's firewall drops what it forwards ({closed}): the sandbox may reach nothing\n"
                f"  let {self._link} through there, e.g. iptables -I DOCKER-USER -i {LINK}+ -j ACCEPT\n"
            )

    def end(self) -> None:
        """Takes the link down now: the kernel would do it a little later, with the sandbox's namespace."""
        if self._link:
            system.run(["ip", "link", "delete", self._link], check=False)
        if self._keeper is not None:
            with contextlib.suppress(OSError):
                self._keeper.shutdown(socket.SHUT_WR)
                self._keeper.recv(1)  # forwarding is as it was, unless another sandbox needs it
            self._keeper.close()

    def _make_link(self, sandbox: int) -> int:
        """The name of the link says which network is taken; making it is what takes it."""
        for number in range(NETWORKS.num_addresses // 4):
            link = f"{LINK}{number}"
            peer = ["type", "veth", "peer", "name", "eth0", "netns", str(sandbox)]
            done = system.run(["ip", "link", "add", link, *peer], check=False)
            if done.code == 0:
                self._link = link
                return number
            if "File exists" not in done.err:
                raise SystemFailure(f"cannot connect the sandbox: {done.last_line}")
        raise SystemFailure("cannot connect the sandbox: as many of them run as there are networks for")

    def _closed_chains(self) -> list[str]:
        """Chains of others on the forward hook that drop by default: ours cannot overrule them."""
        return [
            f"{chain['family']} {chain['table']} {chain['name']}"
            for entry in self._nft.query("list chains\n")
            if (chain := entry.get("chain")) and chain.get("hook") == "forward" and chain.get("policy") == "drop"
        ]


def forward() -> socket.socket:
    """Turns forwarding on; returns a connection to the process that puts it back when the last such connection ends.

    Where that process runs already, for another sandbox, it is that one. Raises OSError.
    """
    for _ in range(3):  # a keeper may end just as it is asked
        with contextlib.suppress(OSError):
            return _connected()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(KEEPER)
            listener.listen(64)
        except OSError:
            listener.close()
            continue  # another one was faster
        before = FORWARDING.read_text()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(KEEPER)  # before there is a keeper: so it never waits for one that has died meanwhile
        if os.fork() == 0:
            _keep(listener, before)
        listener.close()
        if _kept(connection):
            FORWARDING.write_text("1\n")
            return connection
    raise OSError("cannot turn forwarding on: nobody is there to turn it off again")


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
    """The keeper: waits until nobody is connected, and puts forwarding back. Does not return."""
    try:
        os.setsid()
        for number in ASKING:
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
        os._exit(0)  # whoever has left and waits sees its connection end
