"""Which addresses are open, for which names and for how long: the guard's side of the firewall's sets."""

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
MAX_REMEMBERED = 20_000  # addresses, open or expired, whose names are known
MAX_NAMES = 32  # of one entry, for one address: below a wildcard there are as many as the agent likes
_FLOW = re.compile(r" dst=([0-9.]+) sport=[0-9]+ dport=([0-9]+) ")


@dataclass(slots=True)
class Opening:
    """An open address and port. `until` is in seconds of the clock given to Openings.

    `by_entry` has the names last resolved to it, by the pattern of the entry that opened it for them: of one entry a few stand
    for all, and those of one never push out those of another.
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
        """Forgets the names that do not need it any more; whether any still does."""
        kept = {pattern: {name: None for name in names if needs(name)} for pattern, names in self.by_entry.items()}
        self.by_entry = {pattern: names for pattern, names in kept.items() if names}
        return bool(self.by_entry)


@dataclass(slots=True)
class Openings:
    """What is open. Every change goes to the kernel first; the books follow only where it was taken."""

    nft: Nftables
    clock: Callable[[], float]
    grace_seconds: float = 60.0
    keep_seconds: float = 4 * 3600.0
    gate: bool = False
    open: dict[tuple[str, str, int], Opening] = field(default_factory=dict)  # (set, address, port)
    last_names: dict[str, str] = field(default_factory=dict)  # address -> the name last resolved to it

    def set_for(self, check: Check) -> str:
        """Ports checked by name are the gate's where there is one; everything else the agent reaches by itself."""
        if not self.gate:
            return elements.OPEN
        return {Check.ADDRESS: elements.DIRECT, Check.HTTP: elements.HTTP, Check.TLS: elements.OPEN}[check]

    def admit(self, name: str, entry: Entry, addresses: Iterable[str], ttl: int) -> None:
        """Opens the addresses of a name and returns once the kernel has them. Raises NftError: then nothing was opened.

        They stay for as long as anybody may still hold the answer: its TTL or CoreDNS's cache, and for keep_seconds, since
        clients reconnect without asking again.
        """
        seconds = min(max(ttl, CACHE_SECONDS, self.keep_seconds) + self.grace_seconds, LONGEST_SECONDS)
        now = self.clock()
        addresses = tuple(addresses)
        added: dict[str, list[Element]] = {}
        commands = ""
        for address in addresses:
            for port in entry.ports:
                name_of_set, element = self.set_for(port.check), Element(address, port.number, int(seconds))
                added.setdefault(name_of_set, []).append(element)
                known = self.open.get((name_of_set, address, port.number))
                # One that may have run out meanwhile is there or not: only the longer form is right for both.
                commands += (elements.add if known else elements.add_new)(name_of_set, [element])
        self.nft.run(commands)
        for name_of_set, found in added.items():
            for element in found:
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
        """Forgets what the kernel has let go of by itself."""
        now = self.clock()
        self.open = {key: opening for key, opening in self.open.items() if opening.until > now}

    def close_unlisted(self, find: Callable[[str], Entry | None]) -> list[tuple[str, int]]:
        """Closes what no listed name needs any more; returns the addresses and ports. Raises NftError."""
        gone: dict[str, list[Element]] = {}
        for (name_of_set, address, port), opening in self.open.items():
            if not opening.keep(lambda name: _opens(find(name), port, name_of_set, self.set_for)):  # noqa: B023
                gone.setdefault(name_of_set, []).append(Element(address, port))
        self.nft.run("".join(elements.delete(name_of_set, found) for name_of_set, found in gone.items()))
        closed = [(name_of_set, element) for name_of_set, found in gone.items() for element in found]
        for name_of_set, element in closed:
            del self.open[name_of_set, element.address, element.port]
        return [(element.address, element.port) for _, element in closed]

    def empty(self) -> list[tuple[str, int]]:
        """Closes everything. Raises NftError."""
        self.nft.run(elements.empty())
        closed = [(address, port) for _, address, port in self.open]
        self.open.clear()
        return closed

    def read_back(self) -> None:
        """Learns from the kernel what is open, after a restart. Names come back as they are resolved again."""
        now = self.clock()
        for name_of_set in elements.SETS:
            for found in self.nft.query(elements.list_set(name_of_set)):
                for item in found.get("set", {}).get("elem", ()):
                    element: Mapping[str, object] = item.get("elem", {}) if isinstance(item, dict) else {}
                    match element.get("val"), element.get("expires"):
                        case {"concat": [str(address), int(port)]}, int(expires):
                            self.open.setdefault((name_of_set, address, port), Opening(now + expires))

    def restore(self) -> None:
        """Puts into the kernel's sets what is open here, after the table was loaded anew. Raises NftError."""
        now = self.clock()
        sets: dict[str, list[Element]] = {}
        for (name_of_set, address, port), opening in self.open.items():
            sets.setdefault(name_of_set, []).append(Element(address, port, max(1, int(opening.until - now))))
        self.nft.run("".join(elements.add(name_of_set, found) for name_of_set, found in sets.items()))

    @property
    def addresses(self) -> int:
        return len({address for _, address, _ in self.open})

    def keep_used(self, flows: Iterable[tuple[str, int]]) -> None:
        """Gives new time to what open flows use: a client that has talked for hours may reconnect. Raises NftError."""
        now = self.clock()
        used = set(flows)
        for key, opening in self.open.items():
            name_of_set, address, port = key
            if (address, port) in used and opening.until - now < self.keep_seconds / 2:
                self.nft.run(elements.add(name_of_set, [Element(address, port, int(self.keep_seconds))]))
                opening.until = now + self.keep_seconds


def _opens(entry: Entry | None, port: int, name_of_set: str, set_for: Callable[[Check], str]) -> bool:
    return entry is not None and any(p.number == port and set_for(p.check) == name_of_set for p in entry.ports)


async def flows() -> list[tuple[str, int]]:
    """Destination and port of every tracked flow (conntrack(8); the guard's capability is enough)."""
    listed = await system.run_async(["conntrack", "-L", "-p", "tcp"], check=False, timeout=10)
    return [(found[1], int(found[2])) for line in listed.out.splitlines() if (found := _FLOW.search(line))]


async def cut(destinations: Iterable[tuple[str, int]]) -> None:
    """Ends flows that are under way: without their entry they have no mark, and what has none is refused."""
    for address, port in destinations:
        await system.run_async(
            ["conntrack", "-D", "-p", "tcp", "--orig-dst", address, "--orig-port-dst", str(port)], check=False, timeout=5
        )
