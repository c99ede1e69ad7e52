"""Parses the headers of a refused packet from NFLOG: IPv4 (RFC 791) or IPv6 (RFC 8200), then the ports."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 50: "esp", 58: "icmpv6", 132: "sctp", 136: "udplite"}
WITH_PORTS = frozenset({6, 17, 33, 132, 136})


@dataclass(frozen=True, slots=True)
class Packet:
    """The addresses and ports of a packet. Ports are 0 if the protocol has none or the packet is truncated."""

    version: int
    protocol: str
    source: str
    destination: str
    source_port: int = 0
    port: int = 0


def parse(data: bytes) -> Packet | None:
    """Returns the packet, or None if it is too short to contain a destination."""
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        number, payload = data[9], (data[0] & 0x0F) * 4
        addresses = str(ipaddress.IPv4Address(data[12:16])), str(ipaddress.IPv4Address(data[16:20]))
    elif version == 6 and len(data) >= 40:
        number, payload = data[6], 40
        addresses = str(ipaddress.IPv6Address(data[8:24])), str(ipaddress.IPv6Address(data[24:40]))
    else:
        return None
    ports = (0, 0)
    if number in WITH_PORTS and payload >= 20 and len(data) >= payload + 4:
        ports = struct.unpack_from("!HH", data, payload)
    return Packet(version, PROTOCOLS.get(number, str(number)), *addresses, *ports)
