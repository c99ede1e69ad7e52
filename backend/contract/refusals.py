"""Refusals in bounded tables: a flood in one table evicts nothing from another. Pure.

*Serious* refusals are attempts that no allowlist entry could permit: a foreign credential, a write to another repository, a
private or metadata address, a different host on an allowed address, the sandbox's own ports. The first kinds of each reason are
kept until the operator acknowledges them; if the table is full, further kinds are only counted, by reason. *Policy* refusals
are those that an entry could permit. They are grouped in crowds (crowds.py), each of which evicts only its own members; a crowd
that looks like a tunnel or a scan is serious as a whole.

Counts of refusals are always exact. Counts of policy kinds are exact up to MAX_KNOWN kinds; beyond, a kind that was dropped and
comes back is counted twice. Counts of serious kinds are never too high; if they may be too low, `alarms_exact` is False.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from enum import StrEnum

from backend.contract import digests
from backend.contract.crowds import BELOW, REST, Crowd, Growing, RefusalView, crowds_of
from backend.contract.events import Acknowledged, Reason, Refused, Via
from backend.contract.immutable import dataclass

__all__ = ["OTHER_DESTINATIONS", "OTHER_NAMES", "RefusalView", "Refusals", "Rest", "Severity", "added_up", "severity"]

MAX_KEPT = 500  # policy kinds
MAX_OF_A_CROWD = 64
MAX_CROWDS = 256
MAX_BELOW_TLD = 32  # domains below one top-level domain that are crowds of their own
MAX_SERIOUS = 64  # kinds of one protection and reason
MAX_REST = 2048  # further kinds of one protection and reason that are counted by digest: 20 KB in a snapshot
MAX_KNOWN = 65536  # policy kinds whose digests are kept, to count a kind once even if it was dropped and comes back
BUCKET = 2  # hexadecimal digits of a digest that select its bucket
QUIET_SECONDS = 3600.0  # without refusals before a crowd may be evicted
OTHER_NAMES = "other names"  # stands for the names in a flood that were too many to list individually
OTHER_DESTINATIONS = "other destinations"
UNTOLD = "untold"  # the crowd of these two, each of which has a row of its own


class Severity(StrEnum):
    POLICY = "policy"
    SERIOUS = "serious"


# All other reasons are serious, including ones that this version does not know.
_POLICY = frozenset(
    (
        Reason.NOT_LISTED,
        Reason.PORT_NOT_LISTED,
        Reason.REQUEST,
        Reason.NEVER_RESOLVED,
        Reason.NOT_TCP,
        Reason.IPV6,
        Reason.EXPIRED,
        Reason.FROZEN,
        Reason.NO_ADDRESS,
        Reason.BLOCKED,
    )
)


def severity(refused: Refused) -> Severity:
    if refused.reason in _POLICY or _own_list(refused):
        return Severity.POLICY
    return Severity.SERIOUS


def _own_list(refused: Refused) -> bool:
    """True if an allowlisted name resolved to a private address, as with a resolver that blocks names or serves internal ones.

    False for link-local addresses, which clouds use for metadata: those indicate an attack.
    """
    if refused.via is not Via.DNS or refused.reason is not Reason.PRIVATE:
        return False
    try:
        return not ipaddress.ip_address(refused.address).is_link_local
    except ValueError:
        return False


def group(refused: Refused) -> str:
    """The table of a serious refusal: one for each protection and reason."""
    return f"{refused.via} {refused.reason}"


def added_up(refused: Refused) -> bool:
    """True if a refusal sums up several kinds, because they were too many for guard or gate to list individually."""
    return refused.name in (OTHER_NAMES, OTHER_DESTINATIONS)


@dataclass(frozen=True, slots=True)
class Rest(RefusalView):
    """Serious refusals of one group that did not fit into its table, counted together.

    `kinds` is the number of kinds since the last acknowledgement, and `digests` identifies them. If `exact` is false, there
    were more kinds, either beyond MAX_REST or in a refusal that sums up several.
    """

    kinds: int = 0
    digests: str = ""
    exact: bool = True

    def more(self, event: Refused, at: float) -> Rest:
        digest = digests.digest(event.key)
        known = digests.holds(self.digests, digest)
        room = len(self.digests) < MAX_REST * digests.DIGITS
        return Rest(
            event, self.count + event.count, self.first_at, at, self.group, self.acknowledged,
            self.kinds + (not known and room), self.digests if known or not room else self.digests + digest,
            self.exact and (known or room) and not added_up(event),
        )  # fmt: skip

    def seen(self) -> Rest:
        return replace(self, acknowledged=self.count, kinds=0, digests="", exact=True)


@dataclass(frozen=True, slots=True)
class Refusals:
    """All refusals. `serious` maps Refused.key to kinds, the oldest first; `more` counts those that did not fit, by group.

    `crowds` contains the policy kinds. `kinds` counts all policy kinds so far, `kept` those that are kept individually, and
    `known` maps buckets to digests of them.
    """

    serious: Mapping[str, RefusalView] = field(default_factory=dict)
    more: Mapping[str, Rest] = field(default_factory=dict)
    crowds: Mapping[str, Crowd] = field(default_factory=dict)
    kinds: int = 0
    kept: int = 0
    known: Mapping[str, str] = field(default_factory=dict)

    def policy(self) -> Iterator[tuple[str, RefusalView]]:
        """The policy kinds that are kept individually."""
        for crowd in self.crowds.values():
            yield from crowd.members.items()

    def values(self) -> Iterator[RefusalView]:
        """The kinds of both severities that are kept individually."""
        yield from self.serious.values()
        yield from (view for _, view in self.policy())

    @property
    def alarms(self) -> int:
        """The number of unacknowledged serious kinds, tunnels and scans. See `alarms_exact`."""
        kinds = sum(view.alarm for view in self.serious.values()) + sum(rest.kinds for rest in self.more.values() if rest.alarm)
        return kinds + sum(crowd.alarm for crowd in self.crowds.values())

    @property
    def alarms_exact(self) -> bool:
        """False if `alarms` is only a lower bound, because there were too many kinds at once, or of one reason."""
        summed = any(view.alarm and added_up(view.latest) for view in self.serious.values())
        return not summed and all(rest.exact for rest in self.more.values() if rest.alarm)

    @property
    def alarm_keys(self) -> frozenset[str]:
        """The keys of all unacknowledged entries. The tables limit their number, also in a flood."""
        tables = (self.serious, self.more, self.crowds)
        return frozenset(key for table in tables for key, view in table.items() if view.alarm)

    def adding(self, run: Iterable[tuple[Refused, float]]) -> Refusals:
        """A copy with further refusals, each with its time. Copies the tables only once for all of them."""
        book = _Book(self)
        for event, at in run:
            book.add(event, at)
        return book.closed()

    def acknowledged(self, event: Acknowledged) -> Refusals:
        """A copy with entries acknowledged up to the event's time: all entries, or those with its key, group or suspicion."""

        def matches(key: str, common: str, last_at: float) -> bool:
            return last_at <= event.until and event.key in ("", key, common)

        serious = {key: view.seen() if matches(key, view.group, view.last_at) else view for key, view in self.serious.items()}
        more = {key: view.seen() if matches(key, key, view.last_at) else view for key, view in self.more.items()}
        crowds = {
            key: crowd.seen() if crowd.suspicion and matches(key, crowd.suspicion, crowd.last_at) else crowd
            for key, crowd in self.crowds.items()
        }
        return replace(self, serious=serious, more=more, crowds=crowds)


class _Book:
    """A mutable copy of the tables, for adding refusals."""

    def __init__(self, before: Refusals) -> None:
        self.serious, self.more, self.known = dict(before.serious), dict(before.more), dict(before.known)
        self.kinds, self.kept = before.kinds, before.kept
        self.crowds: dict[str, Crowd | Growing] = dict(before.crowds)

    def closed(self) -> Refusals:
        crowds = {key: crowd.grown() if isinstance(crowd, Growing) else crowd for key, crowd in self.crowds.items()}
        return Refusals(self.serious, self.more, crowds, self.kinds, self.kept, self.known)

    def add(self, event: Refused, at: float) -> None:
        if severity(event) is Severity.SERIOUS:
            self._add_serious(event, at)
        else:
            self._add_policy(event, at)

    def _add_serious(self, event: Refused, at: float) -> None:
        key, mine = event.key, group(event)
        view = self.serious.get(key)
        if view is not None:
            self.serious[key] = view.more(event, at)
        elif sum(view.group == mine for view in self.serious.values()) < MAX_SERIOUS or self._forget_acknowledged(mine):
            self.serious[key] = RefusalView(event, event.count, at, at, mine)
        else:
            self.more[mine] = self.more.get(mine, Rest(event, 0, at, at, mine)).more(event, at)

    def _forget_acknowledged(self, mine: str) -> bool:
        """Moves an acknowledged kind of a group to the counts in `more`. False if the group has none."""
        key = next((key for key, view in self.serious.items() if view.group == mine and not view.alarm), None)
        if key is None:
            return False
        gone = self.serious.pop(key)
        rest = self.more.get(mine, Rest(gone.latest, 0, gone.first_at, gone.last_at, mine))
        self.more[mine] = replace(
            rest, count=rest.count + gone.count, acknowledged=rest.acknowledged + gone.count,
            first_at=min(rest.first_at, gone.first_at), last_at=max(rest.last_at, gone.last_at),
        )  # fmt: skip
        return True

    def _add_policy(self, event: Refused, at: float) -> None:
        key, crowd = event.key, self._crowd_for(event, at)
        view = crowd.members.pop(key, None)
        another = view is None and not self._is_known(f"{crowd.key} {crowd.first_at} {key}")
        if view is None:
            self.kinds += another
            self._make_room(crowd)
            self.kept += 1
        crowd.members[key] = RefusalView(event, event.count, at, at) if view is None else view.more(event, at)
        crowd.add(event, at, another=another)

    def _growing(self, key: str) -> Growing:
        """An existing crowd in mutable form."""
        crowd = self.crowds[key]
        if not isinstance(crowd, Growing):
            self.crowds[key] = crowd = Growing(key, crowd)
        return crowd

    def _make_room(self, crowd: Growing) -> None:
        """Drops a member to make room for a new one: of the crowd itself if it is full, else of the largest crowd."""
        if len(crowd.members) < MAX_OF_A_CROWD:
            if self.kept < MAX_KEPT:
                return
            crowd = self._growing(max(self.crowds, key=lambda key: len(self.crowds[key].members)))
        # The least recent one that came only once, as generated names do; else the least recent.
        members = crowd.members
        del members[next((key for key, view in members.items() if view.count == 1), next(iter(members)))]
        self.kept -= 1

    def _is_known(self, text: str) -> bool:
        """True if this kind has come before (and was dropped). Remembers it."""
        digest = digests.digest(text)
        bucket, rest = digest[:BUCKET], digest[BUCKET:]
        known = self.known.get(bucket, "")
        held = digests.holds(known, rest)
        if not held and len(known) < MAX_KNOWN // 16**BUCKET * len(rest):
            self.known[bucket] = known + rest
        return held

    def _crowd_for(self, event: Refused, at: float) -> Growing:
        """The crowd for an event, in mutable form: the wide one if there are too many narrow ones."""
        narrow, wide = (UNTOLD, UNTOLD) if added_up(event) else crowds_of(event)
        if narrow in self.crowds:
            return self._growing(narrow)
        above = self.crowds.get(wide)
        if narrow != wide and (above is None or above.domains < MAX_BELOW_TLD) and self._room(at, 2):
            self.crowds.setdefault(wide, Crowd(event, at, at))
            above = self._growing(wide)
            above.domains += 1
            above.last_at = at
            self.crowds[narrow] = Crowd(event, at, at)
            return self._growing(narrow)
        # Only crowds of names need a bound: the others are no more than there are reasons.
        if wide not in self.crowds and wide.startswith(BELOW) and not self._room(at, 1):
            wide = REST
        self.crowds.setdefault(wide, Crowd(event, at, at))
        return self._growing(wide)

    def _room(self, at: float, wanted: int) -> bool:
        """True if there is room for more crowds. Evicts crowds that have been quiet for long and raise no alarm."""
        while len(self.crowds) + wanted > MAX_CROWDS:
            quiet = [
                (crowd.last_at, key)
                for key, crowd in self.crowds.items()
                if at - crowd.last_at > QUIET_SECONDS and not crowd.alarm
            ]
            if not quiet:
                return False
            gone = self.crowds.pop(min(quiet)[1])
            self.kept -= len(gone.members)
            wide = crowds_of(gone.latest)[1]
            if wide in self.crowds:
                above = self._growing(wide)
                above.domains = max(0, above.domains - 1)
        return True
