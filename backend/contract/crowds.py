"""Crowds: policy refusals that have something in common, counted together however many they are. Pure.

Names below one domain are a crowd, and so are the addresses that were refused for one reason, and the ports of one name. One of
very many is a tunnel or a scan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from backend.contract.events import Reason, Refused, Via

MANY = 64  # names below one domain, addresses, ports of a name: nobody needs so many that are not listed
BELOW, ADDRESSES, PORTS = "names below ", "addresses ", "ports of "  # how the keys of crowds begin
REST = "names of many domains"
_SECOND = frozenset(("ac", "co", "com", "edu", "go", "gob", "gov", "ne", "net", "nom", "or", "org", "sch"))  # as in co.uk


class Suspicion(StrEnum):
    """What a crowd of very many looks like."""

    NONE = ""
    TUNNEL = "looks like a tunnel"
    SCAN = "looks like a scan"


@dataclass(frozen=True, slots=True)
class RefusalView:
    """All refusals of one kind: the latest event, the total, first and last time.

    `group` is what a serious one shares a table with; `acknowledged` how many of them the operator has acknowledged.
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
        """Of a serious one: whether the operator has not acknowledged all of it."""
        return self.count > self.acknowledged

    def seen(self) -> RefusalView:
        return replace(self, acknowledged=self.count)


@dataclass(frozen=True, slots=True)
class Crowd:
    """Kinds that have something in common: how many there were, how many refusals, and those that are kept one by one.

    `members` by Refused.key, the least recent first. `below` is what their names end in, "" where they are no names. `domains`
    is, of a top-level domain, how many domains below it are crowds of their own.
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
        """Whether it is serious, and the operator has not acknowledged all of it."""
        return bool(self.suspicion) and self.count > self.acknowledged

    def seen(self) -> Crowd:
        return replace(self, acknowledged=self.count)


class Growing:
    """A crowd while refusals are added to it, of which there may be very many. `key` is the crowd's own."""

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
        """Refusals, maybe of `another` kind."""
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
    """The domain that somebody has registered, as far as its shape tells: `example.org`, `example.co.uk`."""
    rest, _, top = _plain(name).rpartition(".")
    return _domain(rest, top) if rest else top


def crowds_of(refused: Refused) -> tuple[str, str]:
    """The crowd that a policy refusal belongs to, and a wider one where there are too many like it."""
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
    """Of a name without its last label, and that."""
    before, _, second = rest.rpartition(".")
    if before and len(top) == 2 and second in _SECOND:
        second = f"{before.rpartition('.')[2]}.{second}"
    return f"{second}.{top}"


def _common(below: str, name: str) -> str:
    """What names below a domain and another one have in common at their end."""
    if name.endswith(f".{below}"):
        return below
    one, other = below.split("."), _parent(_plain(name)).split(".")
    same = 0
    while same < min(len(one), len(other)) and one[-1 - same] == other[-1 - same]:
        same += 1
    return ".".join(one[len(one) - same :])


def _suspicion(key: str, kinds: int, below: str) -> Suspicion:
    """Many names below a domain would tell its owner something; nobody owns a top-level one, nor names of addresses (.arpa)."""
    if kinds < MANY:
        return Suspicion.NONE
    if key.startswith(BELOW):
        return Suspicion.TUNNEL if "." in below and not below.endswith(".arpa") else Suspicion.NONE
    return Suspicion.SCAN if key.startswith((ADDRESSES, PORTS)) else Suspicion.NONE
