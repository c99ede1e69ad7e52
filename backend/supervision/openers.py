"""The entries that open the ports of a name, as text and as values. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from backend.contract.durations import HOUR
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

    def source(self, name: str, now: float) -> str:
        """`domains.conf:2`, `*.example.org, domains.conf:3`, `by hand, by root, until 18:17`."""
        pattern = "" if self.entry.pattern == name else f"{self.entry.pattern}, "
        by = f", by {self.by}, {until_words(self.until, now)}" if self.until is not None else ""
        return f"{pattern}{self.entry.source}{by}"


def openers(in_force: Entry | None, candidates: Sequence[Opener]) -> list[Opener]:
    """Assigns each port of the entry in force for a name to the candidate that keeps it open.

    That is an entry of the list, which stays when a grant ends, and among several the narrowest.
    """
    narrowest = sorted(candidates, key=lambda one: (one.until is not None, -len(one.entry.pattern)))
    ports: dict[int, list[Port]] = {}
    for port in in_force.ports if in_force else ():
        index = next((i for i, one in enumerate(narrowest) if port.number in one.entry.numbers), None)
        if index is not None:
            ports.setdefault(index, []).append(port)
    return [replace(narrowest[i], entry=replace(narrowest[i].entry, ports=tuple(same))) for i, same in ports.items()]


def until_words(until: float, now: float) -> str:
    """`until 18:17`, with the day if it is more than 12 hours away; 0 means no end."""
    if not until:
        return "until it is revoked"
    near = until - now < 12 * HOUR
    return time.strftime("until %H:%M" if near else "until %d %b %H:%M", time.localtime(until))


def in_words(entries: Iterable[Entry], most: int = 3) -> str:
    """`443, 80 by github.com (domains.conf:2)`; "" if there are none."""
    parts = [part for entry in entries for part in entry.by_source()]
    texts = [f"{', '.join(map(str, part.ports))} by {part.pattern} ({part.source})" for part in parts]
    return "; ".join([*texts[:most], *([f"and {len(texts) - most} more"] if len(texts) > most else [])])
