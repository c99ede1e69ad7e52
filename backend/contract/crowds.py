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

    def more(self, key: str, event: Refused, at: float, *, another: bool) -> Crowd:
        """With refusals more, maybe of `another` kind. `key` is the crowd's own."""
        kinds, below = self.kinds + another, self.below
        if another:
            below = _common(below, event.name) if self.kinds else _parent(_plain(event.name))
        return Crowd(
            event, self.first_at, at, kinds, self.count + event.count, self.members, below, self.domains,
            self.suspicion or _suspicion(key, kinds, below), self.acknowledged,
        )  # fmt: skip

    @property
    def alarm(self) -> bool:
        """Whether it is serious, and the operator has not acknowledged all of it."""
        return bool(self.suspicion) and self.count > self.acknowledged

    def seen(self) -> Crowd:
        return replace(self, acknowledged=self.count)


def domain(name: str) -> str:
    """The domain that somebody has registered, as far as its shape tells: `example.org`, `example.co.uk`."""
    return _domain(_plain(name).split("."))


def crowds_of(refused: Refused) -> tuple[str, str]:
    """The crowd that a policy refusal belongs to, and a wider one where there are too many like it."""
    if refused.via is Via.FIREWALL and not refused.name:
        addresses = f"{ADDRESSES}{refused.reason}"
        return addresses, addresses
    if refused.via is not Via.DNS:
        return f"{PORTS}{refused.name}", f"several {refused.reason}"
    labels = _plain(refused.name).split(".")
    why = "" if refused.reason is Reason.NOT_LISTED else f" {refused.reason}"
    top = f"{BELOW}{labels[-1]}{why}" if len(labels) > 1 else f"names of one label{why}"
    return (f"{BELOW}{_domain(labels)}{why}", top) if len(labels) > 2 else (top, top)


def _plain(name: str) -> str:
    return name.rstrip(".").lower()


def _parent(name: str) -> str:
    return name.partition(".")[2]


def _domain(labels: list[str]) -> str:
    country = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND
    return ".".join(labels[-3 if country else -2 :])


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
