"""Headers of refused packets."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network.firewall import packets
from network.firewall.packets import Packet


def ipv4(protocol: int, payload: bytes, options: bytes = b"") -> bytes:
    first = 0x40 | (20 + len(options)) // 4
    return (
        bytes([first, 0])
        + b"\0" * 7
        + bytes([protocol])
        + b"\0\0"
        + b"\xcb\x00\x71\x02"
        + b"\xc6\x33\x64\x09"
        + options
        + payload
    )


@pytest.mark.parametrize(
    ("data", "packet"),
    [
        (ipv4(6, struct.pack("!HH", 5000, 443)), Packet(4, "tcp", "203.0.113.2", "198.51.100.9", 5000, 443)),
        (ipv4(17, struct.pack("!HH", 5000, 53), b"\x01" * 8), Packet(4, "udp", "203.0.113.2", "198.51.100.9", 5000, 53)),
        (ipv4(1, b"\x08\x00\x00\x00"), Packet(4, "icmp", "203.0.113.2", "198.51.100.9")),
        (ipv4(6, b"\x01"), Packet(4, "tcp", "203.0.113.2", "198.51.100.9")),
        (ipv4(99, b""), Packet(4, "99", "203.0.113.2", "198.51.100.9")),
        (b"\x60" + b"\0" * 5 + b"\x06" + b"\0" + b"\0" * 15 + b"\x01" + b"\0" * 15 + b"\x02" + struct.pack("!HH", 1, 22),
         Packet(6, "tcp", "::1", "::2", 1, 22)),
        (b"", None),
        (b"\x45\x00", None),
        (b"\xff" * 40, None),
    ],
)  # fmt: skip
def test_headers(data: bytes, packet: Packet | None) -> None:
    assert packets.parse(data) == packet


@given(st.binary(max_size=120))
def test_any_bytes_are_parsed_or_ignored(data: bytes) -> None:
    packet = packets.parse(data)
    assert packet is None or 0 <= packet.port < 65536
