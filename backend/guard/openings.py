"""The guard's record of the firewall's sets: the open addresses, their names and their expiry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from backend import system
from backend.guard.nftables import Nftables
from network.allowlist import Check, Entry
from network.dns.corefile import CACHE_SECONDS
from network.firewall import elements
from network.firewall.elements import Element

LONGEST_SECONDS = 7 * 24 * 3600
MAX_REMEMBERED = 20_000  # addresses, open or expired, whose names are kept
MAX_NAMES = 32  # per entry and address: the agent can use any number of names below a wildcard
_FLOW = re.compile(r" dst=([0-9.]+) sport=[0-9]+ dport=([0-9]+) ")


@dataclass(slots=True)
class Opening:
    """An open address and port. `until` is in seconds of the clock of Openings.

    `by_entry` has the names last resolved to the address, by the pattern of the entry that opened it. It keeps a few names per
    entry, so names of one entry never displace those of another.
    """

    until: float
    by_entry: dict[str, dict[str, None]] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        return {name for names in self.by_entry.values() for name in names}

    def add(self, pattern: str, name: str) -> None:
        names = self.by_entry.setdefault(pattern, {})
        names.pop(name, None)
        names[name] = None
        if len(names) > MAX_NAMES:
            del names[next(iter(names))]

    def keep(self, needs: Callable[[str], bool]) -> bool:
        """Drops the names for which `needs` is false; returns True if some are left."""
        kept = {pattern: {name: None for name in names if needs(name)} for pattern, names in self.by_entry.items()}
        self.by_entry = {pattern: names for pattern, names in kept.items() if names}
        return bool(self.by_entry)


@dataclass(slots=True)
class Openings:
    """The open addresses. Every change goes to the kernel first and is recorded only if the kernel accepts it."""

    nft: Nftables
    clock: Callable[[], float]
    grace_seconds: float = 60.0
    keep_seconds: float = 4 * 3600.0
    gate: bool = False
    open: dict[tuple[str, str, int], Opening] = field(default_factory=dict)  # (set, address, port)
    last_names: dict[str, str] = field(default_factory=dict)  # address -> the name last resolved to it

    def set_for(self, check: Check) -> str:
        """The set for a port. With a gate, ports that are checked by name are opened for the gate, all others for the agent."""
        if not self.gate:
            return elements.OPEN
        return {Check.ADDRESS: elements.DIRECT, Check.HTTP: elements.HTTP, Check.TLS: elements.OPEN}[check]

    def admit(self, name: str, entry: Entry, addresses: Iterable[str], ttl: int) -> None:
        """Opens the addresses of a name; returns when the kernel has them. Raises NftError if nothing was opened.

        They stay open for the longest of the TTL, CoreDNS's cache time and keep_seconds (clients reconnect without a new
        query), plus the grace time.
        """
        seconds = min(max(ttl, CACHE_SECONDS, self.keep_seconds) + self.grace_seconds, LONGEST_SECONDS)
        addresses = tuple(addresses)
        added: dict[str, list[Element]] = {}
        commands = ""
        for address in addresses:
            for port in entry.ports:
                name_of_set, element = self.set_for(port.check), Element(address, port.number, int(seconds))
                added.setdefault(name_of_set, []).append(element)
                previous = self.open.get((name_of_set, address, port.number))
                # A known element may have expired in the kernel; only the longer form works in both cases.
                commands += (elements.add if previous else elements.add_new)(name_of_set, [element])
        self.nft.run(commands)
        now = self.clock()  # not earlier: the record must not end before the kernel's element does, see `add_new`
        for name_of_set, members in added.items():
            for element in members:
                key = (name_of_set, element.address, element.port)
                self.open.setdefault(key, Opening(0.0)).until = now + seconds
        for address in addresses:
            for port in entry.ports:
                self.open[self.set_for(port.check), address, port.number].add(entry.pattern, name)
            self.last_names.pop(address, None)
            self.last_names[address] = name
        while len(self.last_names) > MAX_REMEMBERED:
            del self.last_names[next(iter(self.last_names))]

    def expire(self) -> None:
        """Drops openings that have expired in the kernel."""
        now = self.clock()
        self.open = {key: opening for key, opening in self.open.items() if opening.until > now}

    def close_unlisted(
        self, find: Callable[[str], Entry | None], concerned: Callable[[Opening], bool] = lambda _: True
    ) -> list[tuple[str, int]]:
        """Closes openings that no listed name needs; returns their addresses and ports. Raises NftError.

        Looks only at those that are `concerned` by a change of the allowlist.
        """
        gone: dict[str, list[Element]] = {}
        for (name_of_set, address, port), opening in self.open.items():
            if not concerned(opening):
                continue
            if not opening.keep(lambda name: _opens(find(name), port, name_of_set, self.set_for)):  # noqa: B023
                gone.setdefault(name_of_set, []).append(Element(address, port))
        self.nft.run("".join(elements.delete(name_of_set, members) for name_of_set, members in gone.items()))
        closed = [(name_of_set, element) for name_of_set, members in gone.items() for element in members]
        for name_of_set, element in closed:
            del self.open[name_of_set, element.address, element.port]
        return [(element.address, element.port) for _, element in closed]

    def empty(self) -> list[tuple[str, int]]:
        """Closes everything; returns the addresses and ports. Raises NftError."""
        self.nft.run(elements.empty())
        closed = [(address, port) for _, address, port in self.open]
        self.open.clear()
        return closed

    def read_back(self) -> None:
        """Loads the open addresses from the kernel after a restart. Their names are unknown until they are resolved again."""
        now = self.clock()
        for name_of_set in elements.SETS:
            for record in self.nft.query(elements.list_set(name_of_set)):
                for item in record.get("set", {}).get("elem", ()):
                    element: Mapping[str, object] = item.get("elem", {}) if isinstance(item, dict) else {}
                    match element.get("val"), element.get("expires"):
                        case {"concat": [str(address), int(port)]}, int(expires):
                            # nft truncates to whole seconds. The record must not end before the kernel's element does.
                            self.open.setdefault((name_of_set, address, port), Opening(now + expires + 1))

    def restore(self) -> None:
        """Restores the kernel's sets after the table was reloaded. Raises NftError."""
        now = self.clock()
        sets: dict[str, list[Element]] = {}
        for (name_of_set, address, port), opening in self.open.items():
            sets.setdefault(name_of_set, []).append(Element(address, port, max(1, int(opening.until - now))))
        self.nft.run("".join(elements.add(name_of_set, members) for name_of_set, members in sets.items()))

    @property
    def addresses(self) -> int:
        return len({address for _, address, _ in self.open})

    def keep_used(self, flows: Iterable[tuple[str, int]]) -> None:
        """Extends the lease of addresses with open flows, so that long-lived clients can reconnect. Raises NftError."""
        now = self.clock()
        used = set(flows)
        for key, opening in self.open.items():
            name_of_set, address, port = key
            if (address, port) in used and opening.until - now < self.keep_seconds / 2:
                self.nft.run(elements.add(name_of_set, [Element(address, port, int(self.keep_seconds))]))
                opening.until = self.clock() + self.keep_seconds


def concerned(entries: Iterable[Entry], *, nameless: bool) -> Callable[[Opening], bool]:
    """Returns a function that is true for openings of names that one of the entries covers; and, with `nameless`, for those
    whose names are unknown.
    """
    entries = tuple(entries)
    exact = {entry.name for entry in entries if not entry.below}
    below = tuple(f".{entry.name}" for entry in entries if entry.below)

    def is_concerned(opening: Opening) -> bool:
        if not opening.by_entry:
            return nameless
        return any(name in exact or name.endswith(below) for names in opening.by_entry.values() for name in names)

    return is_concerned


def _opens(entry: Entry | None, port: int, name_of_set: str, set_for: Callable[[Check], str]) -> bool:
    return entry is not None and any(p.number == port and set_for(p.check) == name_of_set for p in entry.ports)


async def flows() -> list[tuple[str, int]]:
    """Returns the destination and port of every tracked flow (conntrack(8); CAP_NET_ADMIN is enough)."""
    listed = await system.run_async(["conntrack", "-L", "-p", "tcp"], check=False, timeout=10)
    return [(flow[1], int(flow[2])) for line in listed.out.splitlines() if (flow := _FLOW.search(line))]


async def cut(destinations: Iterable[tuple[str, int]]) -> None:
    """Cuts open flows by deleting their conntrack entries: without the mark in the entry, the firewall refuses them."""
    for address, port in destinations:
        await system.run_async(
            ["conntrack", "-D", "-p", "tcp", "--orig-dst", address, "--orig-port-dst", str(port)], check=False, timeout=5
        )
