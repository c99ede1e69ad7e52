"""Refused packets, counted and named: at most one event per second and destination."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from backend.contract.events import Reason, Refused, Via
from backend.contract.refusals import OTHER_DESTINATIONS, Severity, severity
from backend.guard.nflog import Report
from network.allowlist import Entry
from network.dns.dns_message import is_special
from network.firewall.elements import REFUSED_SECONDS
from network.firewall.packets import Packet

MAX_ROWS = 256  # different destinations in one second; the others are added up in one row
MAX_SERIOUS_ROWS = 64  # separate limit for serious ones; the others are added up in one row per reason
MAX_SEEN = 4096  # the size of each of the kernel's two sets
Place = tuple[str, str, int]  # address, protocol, port


@dataclass(slots=True)
class Refusals:
    """Collects reports until `take`. `name_of` returns the name last resolved to an address, `entry_of` the entry of a name.
    `frozen` returns true while everything is closed.

    Remembers the reported count of a destination as long as the kernel counts it, so that both restart at the same packet.
    Serious refusals have separate limits, as in the kernel.
    """

    name_of: Callable[[str], str]
    entry_of: Callable[[str], Entry | None]
    clock: Callable[[], float] = time.monotonic
    frozen: Callable[[], bool] = lambda: False
    rows: dict[tuple[str, str, int, int], Refused] = field(default_factory=dict)
    reported: int = 0  # the agent's packets that NFLOG brought since the last `take`
    # The reported count of each destination, and its expiry.
    _seen: dict[Severity, dict[Place, tuple[int, float]]] = field(default_factory=lambda: {each: {} for each in Severity})
    _kept: dict[Severity, int] = field(default_factory=lambda: dict.fromkeys(Severity, 0))  # number of rows

    def add(self, report: Report) -> None:
        """Counts a packet from the agent. Ignores packets from the sandbox's own services."""
        if report.prefix != "agent":
            return
        packet = report.packet
        self.reported += 1
        row = self._count(packet, report.uid, 1)
        counts = self._seen[severity(row)]
        place = packet.destination, packet.protocol, packet.port
        now = self.clock()
        seen, until = counts.get(place, (0, 0.0))
        if until <= now:
            seen, until = 0, now + REFUSED_SECONDS
        if place in counts or len(counts) < MAX_SEEN:
            counts[place] = seen + 1, until

    def _count(self, packet: Packet, uid: int, count: int) -> Refused:
        """Counts packets and returns their row."""
        key = packet.protocol, packet.destination, packet.port, uid
        row = self.rows.get(key)
        if row is None:
            row = self._row(packet, uid)
            kind = severity(row)
            if self._kept[kind] < (MAX_ROWS if kind is Severity.POLICY else MAX_SERIOUS_ROWS):
                self._kept[kind] += 1
            else:
                reason = row.reason if kind is Severity.SERIOUS else Reason.NOT_LISTED
                key = "", reason, 0, -1
                row = self.rows.get(key, Refused(Via.FIREWALL, reason, 0, "", OTHER_DESTINATIONS))
        self.rows[key] = row = replace(row, count=row.count + count)
        return row

    def _row(self, packet: Packet, uid: int) -> Refused:
        name = self.name_of(packet.destination)
        return Refused(Via.FIREWALL, self.reason(packet, name), 0, packet.protocol, name, packet.destination, packet.port, uid)

    def reason(self, packet: Packet, name: str) -> Reason:
        """Returns the reason why the rules refused a packet. `name` is the name of its destination, or ""."""
        if packet.source == packet.destination or ipaddress.ip_address(packet.destination).is_loopback:
            return Reason.OWN
        if is_special(packet.destination):
            return Reason.PRIVATE
        if packet.version == 6:
            return Reason.IPV6
        if packet.protocol != "tcp":
            return Reason.NOT_TCP
        if self.frozen():
            return Reason.FROZEN
        if not name:
            return Reason.NEVER_RESOLVED
        entry = self.entry_of(name)
        if entry is None:
            return Reason.NOT_LISTED
        if all(port.number != packet.port for port in entry.ports):
            return Reason.PORT_NOT_LISTED
        return Reason.EXPIRED

    def add_totals(self, totals: Mapping[Place, int], kind: Severity = Severity.POLICY) -> None:
        """Corrects the rows with the kernel's counters for a severity, by destination.

        A counter expires some time after its first packet. It then restarts from zero at the next one.
        """
        fresh = self.clock() + REFUSED_SECONDS
        before, self._seen[kind] = self._seen[kind], {}  # drops the counts that have expired in the kernel
        for place, total in totals.items():
            seen, until = before.get(place, (0, fresh))
            missing = total - seen if total >= seen else 0
            address, protocol, port = place
            if missing:
                # A serious destination that is not a special address is the sandbox's own address, so it is also the source.
                own = kind is Severity.SERIOUS and not is_special(address)
                self._count(Packet(4, protocol, address if own else "", address, 0, port), -1, missing)
            self._seen[kind][place] = total, until

    def begin(self, totals: Mapping[Place, int], kind: Severity) -> None:
        """Sets the kernel's counts at the start of this guard, which an earlier one has reported."""
        until = self.clock() + REFUSED_SECONDS
        self._seen[kind] = {place: (total, until) for place, total in totals.items()}

    def take(self) -> list[Refused]:
        """Returns the refusals since the last call."""
        rows, self.rows, self.reported = self.rows, {}, 0
        self._kept = dict.fromkeys(Severity, 0)
        now = self.clock()
        for kind, counts in self._seen.items():
            self._seen[kind] = {place: seen for place, seen in counts.items() if seen[1] > now}
        merged: dict[str, Refused] = {}
        for row in rows.values():
            previous = merged.get(row.key)
            merged[row.key] = row if previous is None else replace(previous, count=previous.count + row.count)
        return list(merged.values())


def destination_totals(objects: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, int], int]:
    """Returns the packet count of each refused destination, from the JSON of a set with counters (network/firewall)."""
    totals: dict[tuple[str, str, int], int] = {}
    for record in objects:
        for item in record.get("set", {}).get("elem", ()):
            element = item.get("elem", {})
            match element.get("val"), element.get("counter"):
                case {"concat": [str(address), str() | int() as protocol, int(port)]}, {"packets": int(packets)}:
                    ipaddress.ip_address(address)
                    totals[address, str(protocol), port] = packets
    return totals
