"""Notification services: their kinds, and the one host and port that each of them has. Pure.

Only the kinds in KINDS exist, so the sending library's other plugins, some of which run programs or write files, are never
loaded. `service_addresses.py` reads the operator's addresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from network.firewall.ruleset import SPECIAL_PURPOSE

# A service in the operator's own network may have one of these addresses (RFC 1918, RFC 6598). Loopback, link-local (with the
# metadata service), multicast and reserved addresses are never opened.
PRIVATE = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
_SPECIAL = tuple(ipaddress.ip_network(text) for text in SPECIAL_PURPOSE)


class Tls(StrEnum):
    NONE = "none"
    IMPLICIT = "implicit"
    STARTTLS = "starttls"


class Library(StrEnum):
    """The plugin of the library that sends."""

    NTFY = "ntfy"
    SLACK = "slack"
    DISCORD = "discord"
    MATRIX = "matrix"
    MAIL = "email"
    JSON = "json"
    XML = "xml"


@dataclass(frozen=True, slots=True)
class Destination:
    """One notification service: the only host and port that a sender may connect to. `kind` is as the operator wrote it.

    `url` is for the library, `secrets` are the parts of the address that must stay out of logs.
    """

    kind: str
    library: Library
    host: str  # a name, or an IPv4 address
    port: int
    tls: Tls
    url: str
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Destination({self.kind}://...)"

    @property
    def address(self) -> str:
        """The host if it is an IPv4 address, otherwise ""."""
        try:
            return str(ipaddress.IPv4Address(self.host))
        except ValueError:
            return ""


@dataclass(frozen=True, slots=True)
class KindOfService:
    library: Library
    tls: Tls
    options: frozenset[str] = frozenset()
    headers: bool = False  # options that begin with + (headers) or - (parameters)


_MAIL_OPTIONS = frozenset(("to", "from", "smtp", "mode"))
KINDS: Mapping[str, KindOfService] = {
    "ntfy": KindOfService(Library.NTFY, Tls.NONE),
    "ntfys": KindOfService(Library.NTFY, Tls.IMPLICIT),
    "slack": KindOfService(Library.SLACK, Tls.IMPLICIT),
    "discord": KindOfService(Library.DISCORD, Tls.IMPLICIT, frozenset(("thread",))),
    "matrix": KindOfService(Library.MATRIX, Tls.NONE),
    "matrixs": KindOfService(Library.MATRIX, Tls.IMPLICIT),
    "mailto": KindOfService(Library.MAIL, Tls.NONE, _MAIL_OPTIONS),
    "mailtos": KindOfService(Library.MAIL, Tls.STARTTLS, _MAIL_OPTIONS),
    "json": KindOfService(Library.JSON, Tls.NONE, headers=True),
    "jsons": KindOfService(Library.JSON, Tls.IMPLICIT, headers=True),
    "xml": KindOfService(Library.XML, Tls.NONE, headers=True),
    "xmls": KindOfService(Library.XML, Tls.IMPLICIT, headers=True),
}


def is_permitted(address: str) -> bool:
    """True if the firewall may open an IPv4 address for the sender: a public one, or one of a private network."""
    number = ipaddress.IPv4Address(address)
    return any(number in network for network in PRIVATE) or not any(number in network for network in _SPECIAL)
