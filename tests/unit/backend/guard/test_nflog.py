"""Netlink messages of NFLOG."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from backend.guard import nflog
from backend.guard.nflog import Report
from network.firewall.packets import Packet

PACKET = bytes([0x45, 0]) + b"\0" * 7 + b"\x06\0\0" + b"\xcb\x00\x71\x02" + b"\xc6\x33\x64\x09" + struct.pack("!HH", 5000, 443)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def message(*attributes: bytes, kind: int = nflog.NFNL_SUBSYS_ULOG << 8) -> bytes:
    body = struct.pack("=BBH", 2, 0, 0) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


WHOLE = message(
    attribute(nflog.NFULA_PREFIX, b"agent \0"), attribute(nflog.NFULA_UID, struct.pack("!I", 1000)),
    attribute(nflog.NFULA_PAYLOAD, PACKET),
)  # fmt: skip
REPORT = Report(Packet(4, "tcp", "203.0.113.2", "198.51.100.9", 5000, 443), 1000, "agent")


def test_reports_of_a_datagram() -> None:
    assert list(nflog.reports(WHOLE + message(kind=2) + WHOLE)) == [REPORT, REPORT]


def test_without_a_socket_there_is_no_uid() -> None:
    (report,) = nflog.reports(message(attribute(nflog.NFULA_PAYLOAD, PACKET)))
    assert report.uid == -1


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(data: bytes) -> None:
    list(nflog.reports(data))


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=8))
def test_damaged_messages_are_ignored(place: int, damage: bytes) -> None:
    data = bytearray(WHOLE)
    data[place : place + len(damage)] = damage
    list(nflog.reports(bytes(data)))
