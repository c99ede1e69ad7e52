"""Elements of the firewall's sets: the commands that put an address in, give it new time, and take it out. Source: nft(8)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

TABLE = "inet codetainer"
OPEN = "open4"  # address . port, checked by name at the gate where there is one
HTTP = "http4"  # address . port, checked by Host at the gate; without a gate such ports are in OPEN
DIRECT = "direct4"  # address . port, reached by the agent itself, by address only (with a gate)
SETS = (OPEN, HTTP, DIRECT)
REFUSED = "refused4"  # destinations of refusals, for their totals
SERIOUS = "serious4"  # the same of what no entry could allow: special-purpose addresses and the sandbox's own
REFUSED_SECONDS = 600  # that each is counted, from its first refusal on


@dataclass(frozen=True, slots=True, order=True)
class Element:
    """An address and port in a set, and for how many seconds it stays there (0: the set's own default)."""

    address: str
    port: int
    seconds: int = 0

    @property
    def key(self) -> str:
        """As nft writes it. Raises ValueError where the address is no IPv4 address: nothing else ever reaches nft."""
        if not 0 < self.port < 65536:
            raise ValueError(f"cannot open port {self.port}: no port")
        return f"{ipaddress.IPv4Address(self.address)} . {int(self.port)}"


def add(name: str, elements: Iterable[Element]) -> str:
    """Commands that put elements into a set with a fresh timeout.

    On older kernels adding an element that is there leaves its timeout as it was, and deleting one that is not there fails
    the transaction: add, delete, add is right on all of them and never shows a gap, being one transaction.
    """
    found = list(elements)
    if not found:
        return ""
    keys = ", ".join(element.key for element in found)
    timed = ", ".join(f"{e.key} timeout {int(e.seconds)}s" if e.seconds else e.key for e in found)
    return (
        f"add element {TABLE} {name} {{ {keys} }}\n"
        f"delete element {TABLE} {name} {{ {keys} }}\n"
        f"add element {TABLE} {name} {{ {timed} }}\n"
    )


def add_new(name: str, elements: Iterable[Element]) -> str:
    """Commands that put elements into a set that does not have them: one operation instead of three."""
    timed = ", ".join(f"{e.key} timeout {int(e.seconds)}s" if e.seconds else e.key for e in elements)
    return f"add element {TABLE} {name} {{ {timed} }}\n" if timed else ""


def delete(name: str, elements: Iterable[Element]) -> str:
    """Commands that take elements out of a set, whether they are still in it or not."""
    keys = ", ".join(element.key for element in elements)
    return f"add element {TABLE} {name} {{ {keys} }}\ndelete element {TABLE} {name} {{ {keys} }}\n" if keys else ""


def empty() -> str:
    """Commands that close every address."""
    return "".join(f"flush set {TABLE} {name}\n" for name in SETS)


def list_set(name: str) -> str:
    return f"list set {TABLE} {name}\n"


def list_counters() -> str:
    return f"list counters table {TABLE}\n"
