"""Refusals, gathered in bounded tables of which none can push anything out of another. Pure.

*Serious* ones are attempts at what no entry of the list is about: somebody else's credential, a write elsewhere, a private or
metadata address, another site on a listed address, the sandbox's own ports. The first of each reason are kept until the
operator has acknowledged them; what does not fit is counted by its reason. *Policy* ones are matters of the list. They are
gathered in crowds (crowds.py), each of which may only push out its own; one that is a tunnel or a scan is serious as a whole.

Counts of refusals are exact whatever comes. Counts of kinds are up to MAX_KNOWN; beyond, one that was dropped and comes again
counts as another.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b

from backend.contract.crowds import BELOW, REST, Crowd, Growing, RefusalView, crowds_of
from backend.contract.events import Acknowledged, Reason, Refused, Via

__all__ = ["OTHER_DESTINATIONS", "OTHER_NAMES", "RefusalView", "Refusals", "Severity", "severity"]

MAX_KEPT = 500  # policy kinds
MAX_OF_A_CROWD = 64
MAX_CROWDS = 256
MAX_BELOW_TLD = 32  # domains below one top-level domain that are crowds of their own
MAX_SERIOUS = 64  # kinds of one wall and reason
MAX_KNOWN = 65536  # policy kinds whose digests are kept, so that one that was dropped and comes again counts once
DIGITS, BUCKET = 10, 2  # hexadecimal ones of a digest; those of them that say where it is kept
QUIET_SECONDS = 3600.0  # after which a crowd makes room for another
OTHER_NAMES = "other names"  # in place of those that were too many to be told apart
OTHER_DESTINATIONS = "other destinations"
UNTOLD = "untold"  # the crowd of those two, which are rows of their own


class Severity(StrEnum):
    POLICY = "policy"
    SERIOUS = "serious"


# Whatever is not known to be a matter of the list is serious, also a reason that is new.
_POLICY = frozenset(
    (
        Reason.NOT_LISTED,
        Reason.PORT_NOT_LISTED,
        Reason.NEVER_RESOLVED,
        Reason.NOT_TCP,
        Reason.IPV6,
        Reason.EXPIRED,
        Reason.STOPPED,
    )
)


def severity(refused: Refused) -> Severity:
    if refused.reason in _POLICY or _own_list(refused):
        return Severity.POLICY
    return Severity.SERIOUS


def _own_list(refused: Refused) -> bool:
    """Whether the sandbox's own look at its list found a private address: its resolver blocks names, or has inner ones.

    Where the address is a link-local one, such as clouds have for their metadata, somebody means harm.
    """
    if refused.via is not Via.DNS or refused.reason is not Reason.PRIVATE:
        return False
    try:
        return not ipaddress.ip_address(refused.address).is_link_local
    except ValueError:
        return False


def group(refused: Refused) -> str:
    """Of a serious refusal: those with the same reason from the same wall share a table."""
    return f"{refused.via} {refused.reason}"


@dataclass(frozen=True, slots=True)
class Refusals:
    """`serious` by Refused.key, the first one first; `more` has what of them did not fit, by group.

    `crowds` have the policy ones; `kinds` is how many kinds of them there were, `kept` how many are kept one by one, and
    `known` has digests of them, by how these begin.
    """

    serious: Mapping[str, RefusalView] = field(default_factory=dict)
    more: Mapping[str, RefusalView] = field(default_factory=dict)
    crowds: Mapping[str, Crowd] = field(default_factory=dict)
    kinds: int = 0
    kept: int = 0
    known: Mapping[str, str] = field(default_factory=dict)

    def policy(self) -> Iterator[tuple[str, RefusalView]]:
        """The policy kinds that are kept one by one."""
        for crowd in self.crowds.values():
            yield from crowd.members.items()

    def values(self) -> Iterator[RefusalView]:
        """What is kept one by one, of both severities."""
        yield from self.serious.values()
        yield from (view for _, view in self.policy())

    @property
    def alarms(self) -> int:
        """Serious ones that nobody has acknowledged: kinds, reasons of which not all did fit, tunnels and scans."""
        kinds = sum(view.alarm for views in (self.serious, self.more) for view in views.values())
        return kinds + sum(crowd.alarm for crowd in self.crowds.values())

    def adding(self, run: Iterable[tuple[Refused, float]]) -> Refusals:
        """With refusals one after another: the tables are copied once for all of them."""
        book = _Book(self)
        for event, at in run:
            book.add(event, at)
        return book.closed()

    def acknowledged(self, event: Acknowledged) -> Refusals:
        """What had come by then is acknowledged: all of it, or what has this key, or is of this group, crowd or suspicion."""

        def meant(key: str, common: str, last_at: float) -> bool:
            return last_at <= event.until and event.key in ("", key, common)

        serious = {key: view.seen() if meant(key, view.group, view.last_at) else view for key, view in self.serious.items()}
        more = {key: view.seen() if meant(key, key, view.last_at) else view for key, view in self.more.items()}
        crowds = {
            key: crowd.seen() if crowd.suspicion and meant(key, crowd.suspicion, crowd.last_at) else crowd
            for key, crowd in self.crowds.items()
        }
        return replace(self, serious=serious, more=more, crowds=crowds)


class _Book:
    """The tables while refusals are written into them."""

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
        known = self.serious.get(key)
        if known is not None:
            self.serious[key] = known.more(event, at)
        elif sum(view.group == mine for view in self.serious.values()) < MAX_SERIOUS or self._forget_acknowledged(mine):
            self.serious[key] = RefusalView(event, event.count, at, at, mine)
        else:
            rest = self.more.get(mine)
            self.more[mine] = RefusalView(event, event.count, at, at, mine) if rest is None else rest.more(event, at)

    def _forget_acknowledged(self, mine: str) -> bool:
        """Whether one could make room that the operator has seen: it is counted on, among those that did not fit."""
        key = next((key for key, view in self.serious.items() if view.group == mine and not view.alarm), None)
        if key is None:
            return False
        gone = self.serious.pop(key)
        rest = self.more.get(mine, RefusalView(gone.latest, 0, gone.first_at, gone.last_at, mine))
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
        """A crowd that is there, to be written to."""
        crowd = self.crowds[key]
        if not isinstance(crowd, Growing):
            self.crowds[key] = crowd = Growing(key, crowd)
        return crowd

    def _make_room(self, crowd: Growing) -> None:
        """For another member of a crowd: of its own where it has many, else of the crowd that has the most."""
        if len(crowd.members) < MAX_OF_A_CROWD:
            if self.kept < MAX_KEPT:
                return
            crowd = self._growing(max(self.crowds, key=lambda key: len(self.crowds[key].members)))
        # The least recent that came once only, as generated names do; else the least recent.
        members = crowd.members
        del members[next((key for key, view in members.items() if view.count == 1), next(iter(members)))]
        self.kept -= 1

    def _is_known(self, text: str) -> bool:
        """Whether a kind has come before, and was dropped; from now on it has."""
        digest = blake2b(text.encode(errors="surrogatepass"), digest_size=DIGITS // 2).hexdigest()
        bucket, rest = digest[:BUCKET], digest[BUCKET:]
        known = self.known.get(bucket, "")
        at = known.find(rest)
        while at >= 0 and at % len(rest):  # a part of one and a part of the next
            at = known.find(rest, at + 1)
        if at < 0 and len(known) < MAX_KNOWN // 16**BUCKET * len(rest):
            self.known[bucket] = known + rest
        return at >= 0

    def _crowd_for(self, event: Refused, at: float) -> Growing:
        """An event's crowd, to be written to: of too many narrow ones it is the wide one."""
        narrow, wide = (UNTOLD, UNTOLD) if event.name in (OTHER_NAMES, OTHER_DESTINATIONS) else crowds_of(event)
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
        # Other crowds than those of names are as few as there are reasons.
        if wide not in self.crowds and wide.startswith(BELOW) and not self._room(at, 1):
            wide = REST
        self.crowds.setdefault(wide, Crowd(event, at, at))
        return self._growing(wide)

    def _room(self, at: float, wanted: int) -> bool:
        """Whether there is room for more crowds; one that has been quiet for long, and is no alarm, makes room."""
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
