"""The entries that open the ports of a name, as text and as values. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from backend.contract.durations import HOUR
from backend.contract.immutable import dataclass
from network import grant
from network.allowlist import Entry, Port


@dataclass(frozen=True, slots=True)
class Opener:
    """An entry that opens ports of a name. `until` is its end (0: when it is revoked), None for an entry of the list."""

    entry: Entry
    until: float | None = None
    by: str = ""

    @property
    def ports(self) -> str:
        return ", ".join(map(str, self.entry.ports))

    @property
    def grant(self) -> str:
        """`read POST:/v1/track/**`, `open`."""
        return "; ".join(map(grant.text, self.entry.grants))

    def too_deep(self, name: str) -> bool:
        """True if the gate opens TLS for the names directly below a wildcard, and this one is deeper."""
        limited = any(words and words not in (grant.BY_CREDENTIAL, grant.RECORDED) for words in self.entry.grants)
        return limited and self.entry.below and "." in name.removesuffix(f".{self.entry.name}")

    @property
    def limits(self) -> str:
        """The requests that pass, for a sentence; "" for any request."""
        if grant.BY_CREDENTIAL in self.entry.grants:
            return "as the rules for its credential permit"
        return f"only {self.grant}" if any(words not in (grant.ANYTHING, grant.RECORDED) for words in self.entry.grants) else ""

    def source(self, name: str, now: float) -> str:
        """`domains.conf:2`, `*.example.org, domains.conf:3`, `by hand, by root, until 18:17`."""
        pattern = "" if self.entry.pattern == name else f"{self.entry.pattern}, "
        by = f", by {self.by}, {until_words(self.until, now)}" if self.until is not None else ""
        return f"{pattern}{self.entry.source}{by}"


def openers(in_force: Entry | None, candidates: Sequence[Opener]) -> list[Opener]:
    """Assigns each port of the entry in force for a name to the candidate that keeps it open.

    That is an entry of the list, which stays when a grant ends, and among several the narrowest. One with exactly the requests
    that pass comes first.
    """
    narrowest = sorted(candidates, key=lambda one: (one.until is not None, -len(one.entry.pattern)))
    ports: dict[tuple[int, tuple[str, ...]], list[Port]] = {}
    for port in in_force.ports if in_force else ():
        having = [i for i, one in enumerate(narrowest) if port.number in one.entry.numbers]
        same = [i for i in having if port.grant in (p.grant for p in narrowest[i].entry.ports if p.number == port.number)]
        if having:
            ports.setdefault(((same or having)[0], port.grant), []).append(port)
    return [replace(narrowest[i], entry=replace(narrowest[i].entry, ports=tuple(same))) for (i, _), same in ports.items()]


def until_words(until: float, now: float) -> str:
    """`until 18:17`, with the day if it is more than 12 hours away; 0 means no end."""
    if not until:
        return "until it is revoked"
    near = until - now < 12 * HOUR
    return time.strftime("until %H:%M" if near else "until %d %b %H:%M", time.localtime(until))


def in_words(entries: Iterable[Entry], most: int = 3) -> str:
    """`443, 80 by github.com (domains.conf:2)`; "" if there are none."""
    parts = [part for entry in entries for part in entry.by_source()]
    texts = [f"{', '.join(map(str, part.ports))} by {part.pattern} ({part.source}){_limits(part)}" for part in parts]
    return "; ".join([*texts[:most], *([f"and {len(texts) - most} more"] if len(texts) > most else [])])


def _limits(entry: Entry) -> str:
    limits = Opener(entry).limits
    return f", {limits}" if limits else ""
