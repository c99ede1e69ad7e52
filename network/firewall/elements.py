"""Elements of the firewall's sets: nft commands that add, renew and delete addresses. Source: nft(8)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

TABLE = "inet codetainer"
OPEN = "open4"  # address . port, checked by name at the gate (if the gate is on)
HTTP = "http4"  # address . port, checked by Host at the gate; without a gate these ports are in OPEN
DIRECT = "direct4"  # address . port, reached by the agent directly, checked by address only (with a gate)
SETS = (OPEN, HTTP, DIRECT)
NOTIFY = "notify4"  # address . port of the notification service that a sender is connecting to; for its uid only
REFUSED = "refused4"  # refused destinations, with counters
SERIOUS = "serious4"  # refused destinations that no entry can allow: special-purpose addresses and the sandbox's own
REFUSED_SECONDS = 600  # lifetime of a counter, from the first refusal


@dataclass(frozen=True, slots=True, order=True)
class Element:
    """An address and port in a set. `seconds` is its timeout (0: the set's default)."""

    address: str
    port: int
    seconds: int = 0

    @property
    def key(self) -> str:
        """The element in nft's syntax. Raises ValueError unless it is an IPv4 address and a port: no other text reaches nft."""
        if not 0 < self.port < 65536:
            raise ValueError(f"cannot open port {self.port}: expected a number from 1 to 65535")
        return f"{ipaddress.IPv4Address(self.address)} . {int(self.port)}"


def add(name: str, elements: Iterable[Element]) -> str:
    """Returns commands that add elements to a set, or renew their timeout.

    On older kernels, adding an existing element does not renew its timeout, and deleting a missing one fails the transaction.
    The sequence add, delete, add works on all kernels; it is one transaction, so there is no gap.
    """
    items = list(elements)
    if not items:
        return ""
    keys = ", ".join(element.key for element in items)
    timed = ", ".join(f"{e.key} timeout {int(e.seconds)}s" if e.seconds else e.key for e in items)
    return (
        f"add element {TABLE} {name} {{ {keys} }}\n"
        f"delete element {TABLE} {name} {{ {keys} }}\n"
        f"add element {TABLE} {name} {{ {timed} }}\n"
    )


def add_new(name: str, elements: Iterable[Element]) -> str:
    """Returns commands that add elements which the set does not contain: one operation instead of three.

    An element that is about to expire would, on older kernels, keep its timeout.
    """
    timed = ", ".join(f"{e.key} timeout {int(e.seconds)}s" if e.seconds else e.key for e in elements)
    return f"add element {TABLE} {name} {{ {timed} }}\n" if timed else ""


def delete(name: str, elements: Iterable[Element]) -> str:
    """Returns commands that delete elements from a set, even if they have expired."""
    keys = ", ".join(element.key for element in elements)
    return f"add element {TABLE} {name} {{ {keys} }}\ndelete element {TABLE} {name} {{ {keys} }}\n" if keys else ""


def empty() -> str:
    """Returns commands that close every address."""
    return "".join(f"flush set {TABLE} {name}\n" for name in SETS)


def list_set(name: str) -> str:
    return f"list set {TABLE} {name}\n"
