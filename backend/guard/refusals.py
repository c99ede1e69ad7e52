"""Refused packets, counted and named: one event a second for each destination, whatever the flood."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from backend.contract.events import Reason, Refused, Via
from backend.guard.nflog import Report
from network.allowlist import Entry
from network.answers import is_special
from network.packets import Packet

MOST_ROWS = 256  # different destinations in one second; the rest are added up in one row
REST = "other destinations"


@dataclass(slots=True)
class Refusals:
    """Gathers reports until `take`. `name_of` gives the name last resolved to an address, `entry_of` what opens a name."""

    name_of: Callable[[str], str]
    entry_of: Callable[[str], Entry | None]
    program_of: Callable[[Packet], str] = field(default=lambda packet: "")
    rows: dict[tuple[str, str, int, int], Refused] = field(default_factory=dict)
    reported: int = 0  # the agent's packets that NFLOG brought since the last `take`
    _totals: dict[tuple[str, str, int], int] = field(default_factory=dict)
    _agent_total: int | None = None

    def add(self, report: Report) -> None:
        """Counts a packet of the agent's. The sandbox's own traffic is no refusal of the agent's."""
        if report.prefix != "agent":
            return
        packet = report.packet
        self.reported += 1
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
        return Refused(
            Via.FIREWALL, self.reason(packet, name), 0, packet.protocol, name, packet.destination, packet.port, uid,
            self.program_of(packet),
        )  # fmt: skip

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

    def lost(self, agent_total: int) -> int:
        """How many of the agent's refusals NFLOG did not bring, by the kernel's counter of all since the table was loaded."""
        before, self._agent_total = self._agent_total, agent_total
        # The counter begins anew with the table; the first reading after a start belongs to nobody.
        missing = 0 if before is None or agent_total < before else agent_total - before - self.reported
        self.reported = 0
        return max(0, missing)

    def add_totals(self, totals: Mapping[tuple[str, str, int], int]) -> None:
        """Makes the rows exact from the kernel's counter of each destination (address, protocol, port)."""
        counted: dict[tuple[str, str, int], int] = {}
        for (protocol, address, port, _), row in self.rows.items():
            counted[address, protocol, port] = counted.get((address, protocol, port), 0) + row.count
        for (address, protocol, port), total in totals.items():
            before = self._totals.get((address, protocol, port), 0)
            missing = (total - before if total >= before else total) - counted.get((address, protocol, port), 0)
            if missing > 0:
                packet = Packet(4, protocol, "", address, 0, port)
                self._count((protocol, address, port, -1), packet, missing)
        self._totals = dict(totals)

    def take(self) -> list[Refused]:
        """What was gathered since the last time."""
        rows, self.rows = self.rows, {}
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


def counter(objects: Iterable[Mapping[str, Any]], name: str) -> int:
    """Packets of a named counter, 0 where it is not there."""
    for found in objects:
        item = found.get("counter", {})
        if item.get("name") == name:
            return int(item.get("packets", 0))
    return 0
