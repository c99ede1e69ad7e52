"""Deletes single entries of the kernel's conntrack table, on a netlink socket (CAP_NET_ADMIN).

Linux gives a port to a new flow as soon as no socket uses it for the same destination. conntrack remembers the old flow for
longer: for 10 s after a reset by the server, for up to two minutes if it was half closed. If the old flow had another owner,
the new one would get its mark. So the rules drop its SYN and report it (network/firewall/ruleset.py, chain `reused`). Once the
entry is gone, the SYN that TCP repeats after a second opens a flow of its own.

Formats: linux/netfilter/nfnetlink_conntrack.h, nfnetlink.h, linux/netlink.h. Headers are native-endian, values big-endian.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import itertools
import socket
import struct
from collections.abc import Callable, Collection, Iterator

from backend.contract.events import Event, Noted
from backend.guard.nflog import Report
from backend.system import AGENT, GATE
from network.firewall.packets import Packet
from network.firewall.ruleset import mark

NETLINK_NETFILTER = 12
NFNL_SUBSYS_CTNETLINK = 1
IPCTNL_MSG_CT_NEW, IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = 0, 1, 2
CTA_TUPLE_ORIG, CTA_MARK, CTA_ID = 1, 8, 12
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_SRC, CTA_IP_V4_DST = 1, 2
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
NLM_F_REQUEST, NLM_F_ACK = 1, 4
NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF
HEADERS = 20  # bytes: nlmsghdr and nfgenmsg
ANSWER_SECONDS = 1.0  # the kernel answers within the call; this only bounds a fault

OWNERS = frozenset({mark(AGENT.uid), mark(GATE.uid)})  # the marks whose flows may be in each other's way


class Conntrack:
    """A netlink socket, for use by one thread. `report` takes events for the journal."""

    def __init__(self, report: Callable[[Event], None]) -> None:
        self._report = report
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        self._socket.settimeout(ANSWER_SECONDS)
        self._numbers = itertools.count(1)

    def add(self, report: Report) -> None:
        """Makes way for the flow whose SYN was dropped because of an entry of another owner."""
        try:
            self.forget(report.packet)
        except OSError as error:
            port = report.packet.source_port
            self._report(Noted("error", f"cannot reuse port {port}, which conntrack remembers: {error}"))

    def forget(self, packet: Packet, marks: Collection[int] = OWNERS) -> bool:
        """Deletes the entry of the TCP flow that a packet would continue, if its mark is one of `marks`.

        Returns True if there was one. The entry's id makes sure that no newer flow is deleted. Raises OSError.
        """
        if packet.version != 4 or packet.protocol != "tcp":
            return False
        flow = _flow(packet)
        found = dict(self._ask(IPCTNL_MSG_CT_GET, flow))
        if CTA_ID not in found or int.from_bytes(found.get(CTA_MARK, b""), "big") not in marks:
            return False
        with contextlib.suppress(FileNotFoundError):  # it has expired meanwhile
            self._ask(IPCTNL_MSG_CT_DELETE, flow + _attribute(CTA_ID, found[CTA_ID]), NLM_F_ACK)
        return True

    def _ask(self, kind: int, attributes: bytes, flags: int = 0) -> list[tuple[int, bytes]]:
        """Sends a request and returns the attributes of the entry in its answer: none if there is no entry. Raises OSError."""
        number = next(self._numbers)
        body = struct.pack("=BBH", socket.AF_INET, 0, 0) + attributes
        self._socket.send(
            struct.pack("=IHHII", 16 + len(body), NFNL_SUBSYS_CTNETLINK << 8 | kind, NLM_F_REQUEST | flags, number, 0) + body
        )
        while True:
            data = self._socket.recv(65536)
            length, answered, _, answer, _ = struct.unpack_from("=IHHII", data)
            if answer != number:
                continue  # to a request whose answer came too late
            if answered == NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW:
                return list(_attributes(data[HEADERS:length]))
            (code,) = struct.unpack_from("=i", data, 16)  # NLMSG_ERROR
            if code and not (kind == IPCTNL_MSG_CT_GET and -code == errno.ENOENT):
                raise OSError(-code, "cannot change the conntrack table")
            return []


def _flow(packet: Packet) -> bytes:
    source, destination = (ipaddress.IPv4Address(address).packed for address in (packet.source, packet.destination))
    addresses = _attribute(CTA_IP_V4_SRC, source) + _attribute(CTA_IP_V4_DST, destination)
    protocol = (
        _attribute(CTA_PROTO_NUM, bytes([socket.IPPROTO_TCP]))
        + _attribute(CTA_PROTO_SRC_PORT, struct.pack("!H", packet.source_port))
        + _attribute(CTA_PROTO_DST_PORT, struct.pack("!H", packet.port))
    )
    nested = _attribute(CTA_TUPLE_IP | NLA_F_NESTED, addresses) + _attribute(CTA_TUPLE_PROTO | NLA_F_NESTED, protocol)
    return _attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, nested)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4 or offset + length > len(data):
            return
        yield kind & NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
