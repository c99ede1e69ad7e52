"""Messages between the supervisor and a sender: JSON lines on its stdin and stdout, then an exit code. Values only, no I/O.

The order has the service's address, so it travels on stdin alone: never in arguments, an environment or a file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from enum import IntEnum

from backend.contract.immutable import dataclass
from network.destinations import Destination, Library, Tls, is_permitted

MAX_LINE = 64 << 10  # bytes
MAX_ADDRESSES = 8
GO = b"go\n"  # from the supervisor: the firewall is open


class Outcome(IntEnum):
    """The end of a delivery: the sender's exit code. Codes from 60 are the supervisor's own."""

    DELIVERED = 0
    NO_SUCH_NAME = 10
    NO_ADDRESS = 11
    NO_RESOLVER = 12
    NOT_PERMITTED = 13
    REFUSED = 20
    TIMED_OUT = 21
    UNREACHABLE = 22
    CERTIFICATE = 23
    TLS = 24
    REDIRECT = 30
    DENIED = 31
    NOT_FOUND = 32
    TOO_MANY = 33
    CLIENT_ERROR = 34
    SERVER_ERROR = 35
    LOGIN = 36
    MAIL_REFUSED = 37
    NOT_ACCEPTED = 40
    INVALID = 41
    FAILED = 42
    TOO_LONG = 60
    NOT_STARTED = 61
    FIREWALL = 62

    @property
    def words(self) -> str:
        """The outcome in words, without any part of the address."""
        return _WORDS[self]

    @property
    def remedy(self) -> str:
        """What the operator can do, "" if there is nothing particular."""
        return _REMEDIES.get(self, "")


_WORDS = {
    Outcome.DELIVERED: "delivered",
    Outcome.NO_SUCH_NAME: "the host name does not exist (NXDOMAIN)",
    Outcome.NO_ADDRESS: "the host name has no IPv4 address",
    Outcome.NO_RESOLVER: "the upstream resolver did not answer",
    Outcome.NOT_PERMITTED: "the host name resolves to an address that is never opened, such as loopback or link-local",
    Outcome.REFUSED: "the connection was refused",
    Outcome.TIMED_OUT: "the host did not answer in time",
    Outcome.UNREACHABLE: "the host cannot be reached",
    Outcome.CERTIFICATE: "the certificate is not valid for this host, has expired, or has an unknown issuer",
    Outcome.TLS: "the TLS handshake failed",
    Outcome.REDIRECT: "the service answered with a redirect (HTTP 3xx), which is not followed",
    Outcome.DENIED: "the service refused the credentials (HTTP 401 or 403)",
    Outcome.NOT_FOUND: "the service has no such topic, room or webhook (HTTP 404 or 410)",
    Outcome.TOO_MANY: "the service received too many messages (HTTP 429)",
    Outcome.CLIENT_ERROR: "the service rejected the request (HTTP 4xx)",
    Outcome.SERVER_ERROR: "the service failed (HTTP 5xx)",
    Outcome.LOGIN: "the mail server refused the user or password",
    Outcome.MAIL_REFUSED: "the mail server refused the message",
    Outcome.NOT_ACCEPTED: "the service did not accept the message",
    Outcome.INVALID: "the address is not valid for this kind of service",
    Outcome.FAILED: "the sender failed",
    Outcome.TOO_LONG: "the delivery took too long",
    Outcome.NOT_STARTED: "the sender could not be started",
    Outcome.FIREWALL: "the firewall could not be opened for the sender",
}
_REMEDIES = {
    Outcome.NO_SUCH_NAME: "Check the host in CODETAINER_NOTIFY.",
    Outcome.NO_RESOLVER: "Check that the upstream resolvers answer, or name others with CODETAINER_UPSTREAM.",
    Outcome.CERTIFICATE: "Use the name in the service's certificate; a private CA has to be in the image's CA bundle.",
    Outcome.REDIRECT: "Write the address to which it redirects in CODETAINER_NOTIFY.",
    Outcome.DENIED: "Check the token or password in CODETAINER_NOTIFY.",
    Outcome.NOT_FOUND: "Check the topic, room or webhook in CODETAINER_NOTIFY.",
    Outcome.LOGIN: "Check the user and password in CODETAINER_NOTIFY.",
    Outcome.INVALID: "Compare the address with docs/configuration.md.",
}


def of_exit_code(code: int) -> Outcome:
    """The outcome that an exit code means; FAILED for any other, such as the end by a signal (negative)."""
    try:
        return Outcome(code) if code < Outcome.TOO_LONG else Outcome.FAILED
    except ValueError:
        return Outcome.FAILED


@dataclass(frozen=True, slots=True)
class Order:
    """One notification for one service. `priority` is ntfy's, `type` the library's (info, success, warning, failure).

    `upstreams` are the resolvers to query for `host`, as in CODETAINER_UPSTREAM.
    """

    library: str
    url: str
    host: str
    port: int
    tls: str
    upstreams: tuple[str, ...]
    title: str
    body: str
    type: str
    priority: str

    def __repr__(self) -> str:
        return f"Order({self.library}://...)"


def order(
    destination: Destination,
    upstreams: Sequence[str],
    *,
    title: str,
    body: str,
    type: str,  # noqa: A002 (the library's word)
    priority: str,
) -> Order:
    to = destination
    return Order(
        str(to.library), to.url, to.host, to.port, str(to.tls), tuple(upstreams), title, body, type=type, priority=priority
    )


def encode_order(order: Order) -> bytes:
    return json.dumps(dataclasses.asdict(order)).encode() + b"\n"


def decode_order(line: bytes) -> Order:
    """Raises ValueError, TypeError or KeyError if the line is not an order."""
    body = json.loads(line)
    Library(body["library"]), Tls(body["tls"])
    return Order(**{**body, "upstreams": tuple(body["upstreams"])})


def encode_addresses(addresses: Sequence[str]) -> bytes:
    return json.dumps(list(addresses)).encode() + b"\n"


def decode_addresses(line: bytes) -> tuple[str, ...]:
    """The addresses that a sender wants to connect to. Raises ValueError unless the firewall may open each of them."""
    addresses = json.loads(line)
    if not isinstance(addresses, list) or not 0 < len(addresses) <= MAX_ADDRESSES:
        raise ValueError("cannot read the sender's addresses")
    if not all(isinstance(address, str) and is_permitted(address) for address in addresses):
        raise ValueError("an address that is never opened")
    return tuple(addresses)
