"""Receives refused packets from the kernel, on a netlink socket bound to the ruleset's NFLOG group.

Formats: linux/netfilter/nfnetlink.h, nfnetlink_log.h, linux/netlink.h. Headers are native-endian, values big-endian.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

from backend.contract.immutable import dataclass
from network.firewall.packets import Packet, parse
from network.firewall.ruleset import NFLOG_GROUP

NETLINK_NETFILTER = 12
NFNL_SUBSYS_ULOG = 4
NFULNL_MSG_PACKET, NFULNL_MSG_CONFIG = 0, 1
NFULA_CFG_CMD, NFULA_CFG_MODE = 1, 2
NFULNL_CFG_CMD_BIND = 1
NFULNL_COPY_PACKET = 2
NFULA_PAYLOAD, NFULA_PREFIX, NFULA_UID = 9, 10, 11
NLM_F_REQUEST, NLM_F_ACK = 1, 4
SNAP = 96  # bytes of each packet: both headers
RECEIVE_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Report:
    """A refused packet, the uid of the sending socket (-1: no socket), and the prefix of the rule ("agent", "other")."""

    packet: Packet
    uid: int
    prefix: str


def open_socket() -> socket.socket:
    """Opens a non-blocking socket that receives the group's packets. Raises OSError."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_NETFILTER)
    try:
        sock.bind((0, 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        _configure(sock, struct.pack("=HHB3x", 5, NFULA_CFG_CMD, NFULNL_CFG_CMD_BIND))
        _configure(sock, struct.pack("=HH", 10, NFULA_CFG_MODE) + struct.pack("!IBx", SNAP, NFULNL_COPY_PACKET) + b"\0\0")
    except OSError:
        sock.close()
        raise
    return sock


def _configure(sock: socket.socket, attribute: bytes) -> None:
    body = struct.pack("=BBH", socket.AF_UNSPEC, 0, socket.htons(NFLOG_GROUP)) + attribute
    kind = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG
    sock.send(struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | NLM_F_ACK, 1, 0) + body)
    sock.setblocking(True)
    try:
        answer = sock.recv(65536)
    finally:
        sock.setblocking(False)
    (code,) = struct.unpack_from("=i", answer, 16)
    if code:
        raise OSError(-code, f"cannot read refused packets (NFLOG group {NFLOG_GROUP})")


def receive(sock: socket.socket) -> Iterator[Report]:
    """Yields the reports that have arrived. The kernel's counters cover packets whose reports it had to drop."""
    while True:
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                continue
            raise
        yield from reports(data)


def reports(data: bytes) -> Iterator[Report]:
    """Yields the reports in a datagram of netlink messages, up to the first malformed one."""
    offset = 0
    while offset + 20 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if length < 20 or offset + length > len(data):
            return
        if kind == NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET:
            report = _report(data[offset + 20 : offset + length])
            if report is not None:
                yield report
        offset += (length + 3) & ~3


def _report(attributes: bytes) -> Report | None:
    packet, uid, prefix = None, -1, ""
    offset = 0
    while offset + 4 <= len(attributes):
        length, kind = struct.unpack_from("=HH", attributes, offset)
        if length < 4 or offset + length > len(attributes):
            return None
        value = attributes[offset + 4 : offset + length]
        match kind & 0x7FFF:
            case kind if kind == NFULA_PAYLOAD:
                packet = parse(value)
            case kind if kind == NFULA_UID and len(value) == 4:
                (uid,) = struct.unpack("!I", value)
            case kind if kind == NFULA_PREFIX:
                prefix = value.rstrip(b"\0").decode("ascii", "replace").strip()
        offset += (length + 3) & ~3
    return Report(packet, uid, prefix) if packet is not None else None
