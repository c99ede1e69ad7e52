"""Crowds: groups of related policy refusals, which share one count and a bounded table. Pure.

The names below one domain form a crowd; so do all addresses refused for one reason, and all ports of one name. A very large
crowd indicates a tunnel or a scan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from enum import StrEnum

from backend.contract.events import Reason, Refused, Via
from backend.contract.immutable import dataclass

MANY = 64  # unlisted names below one domain, addresses, or ports of a name; legitimate work needs fewer
BELOW, ADDRESSES, PORTS = "names below ", "addresses ", "ports of "  # prefixes of the keys of crowds
REST = "names of many domains"
_SECOND = frozenset(("ac", "co", "com", "edu", "go", "gob", "gov", "ne", "net", "nom", "or", "org", "sch"))  # as in co.uk


class Suspicion(StrEnum):
    """The attack that a very large crowd resembles."""

    NONE = ""
    TUNNEL = "looks like a tunnel"
    SCAN = "looks like a scan"


@dataclass(frozen=True, slots=True)
class RefusalView:
    """All refusals of one kind: the latest event, the total, the first and the last time (seconds since the epoch).

    `group` names the table of a serious kind; `acknowledged` is the number of refusals that the operator has acknowledged.
    """

    latest: Refused
    count: int
    first_at: float
    last_at: float
    group: str = ""
    acknowledged: int = 0

    def more(self, event: Refused, at: float) -> RefusalView:
        return RefusalView(event, self.count + event.count, self.first_at, at, self.group, self.acknowledged)

    @property
    def alarm(self) -> bool:
        """True if the operator has not acknowledged all refusals of a serious kind."""
        return self.count > self.acknowledged

    def seen(self) -> RefusalView:
        return replace(self, acknowledged=self.count)


@dataclass(frozen=True, slots=True)
class Crowd:
    """Related kinds: the number of kinds and of refusals, and the kinds that are kept individually.

    `members` maps Refused.key to kinds, the least recent first. `below` is the common suffix of their names, "" if none.
    `domains` counts the domains below a top-level domain that are crowds of their own.
    """

    latest: Refused
    first_at: float
    last_at: float
    kinds: int = 0
    count: int = 0
    members: Mapping[str, RefusalView] = field(default_factory=dict)
    below: str = ""
    domains: int = 0
    suspicion: Suspicion = Suspicion.NONE
    acknowledged: int = 0

    @property
    def alarm(self) -> bool:
        """True if the crowd is suspicious and the operator has not acknowledged all of it."""
        return bool(self.suspicion) and self.count > self.acknowledged

    def seen(self) -> Crowd:
        return replace(self, acknowledged=self.count)


class Growing:
    """A mutable crowd, to add many refusals without a copy for each. `key` is the key of the crowd."""

    __slots__ = (
        "_before",
        "below",
        "count",
        "domains",
        "first_at",
        "key",
        "kinds",
        "last_at",
        "latest",
        "members",
        "suspicion",
    )

    def __init__(self, key: str, before: Crowd) -> None:
        self.key, self._before = key, before
        self.latest, self.first_at, self.last_at = before.latest, before.first_at, before.last_at
        self.kinds, self.count, self.members = before.kinds, before.count, dict(before.members)
        self.below, self.domains, self.suspicion = before.below, before.domains, before.suspicion

    def add(self, event: Refused, at: float, *, another: bool) -> None:
        """Adds refusals; `another` if their kind is new to the crowd."""
        self.latest, self.last_at = event, at
        self.count += event.count
        if another:
            self.below = _common(self.below, event.name) if self.kinds else _parent(_plain(event.name))
            self.kinds += 1
            self.suspicion = self.suspicion or _suspicion(self.key, self.kinds, self.below)

    @property
    def alarm(self) -> bool:
        return bool(self.suspicion) and self.count > self._before.acknowledged

    def grown(self) -> Crowd:
        return Crowd(
            self.latest, self.first_at, self.last_at, self.kinds, self.count, self.members, self.below, self.domains,
            self.suspicion, self._before.acknowledged,
        )  # fmt: skip


def domain(name: str) -> str:
    """The registrable domain of a name, guessed from its shape: `example.org`, `example.co.uk`."""
    rest, _, top = _plain(name).rpartition(".")
    return _domain(rest, top) if rest else top


def crowds_of(refused: Refused) -> tuple[str, str]:
    """The crowd of a policy refusal, and the wider one that it joins if there are too many narrow ones."""
    if refused.via is not Via.DNS:
        if refused.via is Via.FIREWALL and not refused.name:
            addresses = f"{ADDRESSES}{refused.reason}"
            return addresses, addresses
        return f"{PORTS}{refused.name}", f"several {refused.reason}"
    rest, dot, top = _plain(refused.name).rpartition(".")
    why = "" if refused.reason is Reason.NOT_LISTED else f" {refused.reason}"
    wide = f"{BELOW}{top}{why}" if dot else f"names of one label{why}"
    return (f"{BELOW}{_domain(rest, top)}{why}", wide) if "." in rest else (wide, wide)


def _plain(name: str) -> str:
    return name.rstrip(".").lower()


def _parent(name: str) -> str:
    return name.partition(".")[2]


def _domain(rest: str, top: str) -> str:
    """The registrable domain of a name, given as its top-level label and the labels before it."""
    before, _, second = rest.rpartition(".")
    if before and len(top) == 2 and second in _SECOND:
        second = f"{before.rpartition('.')[2]}.{second}"
    return f"{second}.{top}"


def _common(below: str, name: str) -> str:
    """The longest suffix that `below` shares with the parent of another name."""
    if name.endswith(f".{below}"):
        return below
    one, other = below.split("."), _parent(_plain(name)).split(".")
    same = 0
    while same < min(len(one), len(other)) and one[-1 - same] == other[-1 - same]:
        same += 1
    return ".".join(one[len(one) - same :])


def _suspicion(key: str, kinds: int, below: str) -> Suspicion:
    """The suspicion that a crowd of this size raises.

    Queries for many names below a domain can carry data to its owner. Top-level domains and reverse names (.arpa) are exempt:
    they belong to no attacker.
    """
    if kinds < MANY:
        return Suspicion.NONE
    if key.startswith(BELOW):
        return Suspicion.TUNNEL if "." in below and not below.endswith(".arpa") else Suspicion.NONE
    return Suspicion.SCAN if key.startswith((ADDRESSES, PORTS)) else Suspicion.NONE
