"""Refused packets, counted and named: one event a second for each destination, whatever the flood."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from backend.contract.events import Reason, Refused, Via
from backend.guard.nflog import Report
from network.allowlist import Entry
from network.dns.dns_message import is_special
from network.firewall.elements import REFUSED_SECONDS
from network.firewall.packets import Packet

MOST_ROWS = 256  # different destinations in one second; the rest are added up in one row
MOST_SEEN = 4096  # as many as the kernel's set has room for
REST = "other destinations"


@dataclass(slots=True)
class Refusals:
    """Gathers reports until `take`. `name_of` gives the name last resolved to an address, `entry_of` what opens a name.

    What was reported of a destination is known for as long as the kernel counts it: both begin anew at the same packet.
    """

    name_of: Callable[[str], str]
    entry_of: Callable[[str], Entry | None]
    clock: Callable[[], float] = time.monotonic
    rows: dict[tuple[str, str, int, int], Refused] = field(default_factory=dict)
    reported: int = 0  # the agent's packets that NFLOG brought since the last `take`
    # Reported so far, and until when: by address, protocol, port.
    _seen: dict[tuple[str, str, int], tuple[int, float]] = field(default_factory=dict)

    def add(self, report: Report) -> None:
        """Counts a packet of the agent's. The sandbox's own traffic is no refusal of the agent's."""
        if report.prefix != "agent":
            return
        packet = report.packet
        self.reported += 1
        place = packet.destination, packet.protocol, packet.port
        now = self.clock()
        seen, until = self._seen.get(place, (0, 0.0))
        if until <= now:
            seen, until = 0, now + REFUSED_SECONDS
        if place in self._seen or len(self._seen) < MOST_SEEN:
            self._seen[place] = seen + 1, until
        self._count((packet.protocol, packet.destination, packet.port, report.uid), packet, 1)

    def _count(self, key: tuple[str, str, int, int], packet: Packet, count: int) -> None:
        known = self.rows.get(key)
        if known is None and len(self.rows) >= MOST_ROWS:
            key, packet = ("", REST, 0, -1), replace(packet, destination="")
            known = self.rows.get(key)
        if known is None:
            known = self._row(packet, key[3])
            if not packet.destination:
                known = replace(known, name=REST, reason=Reason.NOT_LISTED, protocol="", port=0)
        self.rows[key] = replace(known, count=known.count + count)

    def _row(self, packet: Packet, uid: int) -> Refused:
        name = self.name_of(packet.destination) if packet.destination else ""
        return Refused(Via.FIREWALL, self.reason(packet, name), 0, packet.protocol, name, packet.destination, packet.port, uid)

    def reason(self, packet: Packet, name: str) -> Reason:
        """Why the rules refused it, in the words that every screen uses."""
        if packet.version == 6:
            return Reason.IPV6
        if packet.destination and is_special(packet.destination):
            return Reason.PRIVATE
        if packet.protocol != "tcp":
            return Reason.NOT_TCP
        if not name:
            return Reason.NEVER_RESOLVED
        entry = self.entry_of(name)
        if entry is None:
            return Reason.NOT_LISTED
        if all(port.number != packet.port for port in entry.ports):
            return Reason.PORT_NOT_LISTED
        return Reason.EXPIRED

    def add_totals(self, totals: Mapping[tuple[str, str, int], int]) -> None:
        """Makes the rows exact from the kernel's counter of each destination (address, protocol, port).

        The kernel forgets a destination that was left alone for a while, and counts from nothing when it is tried again.
        """
        for (address, protocol, port), total in totals.items():
            seen, until = self._seen.get((address, protocol, port), (0, self.clock() + REFUSED_SECONDS))
            missing = total - seen if total >= seen else 0
            if missing:
                packet = Packet(4, protocol, "", address, 0, port)
                self._count((protocol, address, port, -1), packet, missing)
            self._seen[address, protocol, port] = total, until
        # What the kernel no longer counts is forgotten here too, which bounds this by the size of its set.
        self._seen = {key: seen for key, seen in self._seen.items() if key in totals}

    def take(self) -> list[Refused]:
        """What was gathered since the last time."""
        rows, self.rows, self.reported = self.rows, {}, 0
        now = self.clock()
        self._seen = {place: seen for place, seen in self._seen.items() if seen[1] > now}
        merged: dict[str, Refused] = {}
        for row in rows.values():
            known = merged.get(row.key)
            merged[row.key] = row if known is None else replace(known, count=known.count + row.count)
        return list(merged.values())


def destination_totals(objects: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, int], int]:
    """Packets of each refused destination, from the JSON of the set `refused4` (its elements carry counters)."""
    totals: dict[tuple[str, str, int], int] = {}
    for found in objects:
        for item in found.get("set", {}).get("elem", ()):
            element = item.get("elem", {})
            match element.get("val"), element.get("counter"):
                case {"concat": [str(address), str() | int() as protocol, int(port)]}, {"packets": int(packets)}:
                    ipaddress.ip_address(address)
                    totals[address, str(protocol), port] = packets
    return totals
