"""Sorts policy refusals into rows: one per refusal, or one per crowd of similar refusals, with exact counts. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from backend.contract.crowds import ADDRESSES, BELOW, PORTS, REST, Crowd, Suspicion, crowds_of
from backend.contract.events import Refused, Via
from backend.contract.refusals import UNTOLD, Refusals, RefusalView
from codetainer_tui.lookalike import looks_generated
from codetainer_tui.words import harmless, many

MAX_ALONE = 8  # rows for one domain, address list or name before they become one row
MAX_CROWDS = 8  # crowd rows for domains below one top-level domain
MAX_SPREAD = 24  # rows for all domains below one top-level domain
MAX_NAMES = 48  # rows for all other names
MAX_STEADY = 24  # members of a crowd that keep their own row because they recur
STEADY_TIMES, STEADY_SECONDS = 5, 60.0
AGAIN_SECONDS = 2.0  # between two refusals of an ordinary name that is asked for again, and not twice for one lookup
PAUSE_SECONDS = 10.0  # from a name that was refused before a flood to the flood

Kept = tuple[str, RefusalView]  # the key of a refusal, and the refusal


@dataclass(slots=True)
class Folded:
    """A crowd shown as one row. `members` are its individually stored refusals, the latest first."""

    key: str
    noun: tuple[str, str]  # singular, plural
    about: str
    latest: Refused
    kinds: int = 0
    count: int = 0
    last_at: float = 0.0
    members: list[RefusalView] = field(default_factory=list)
    suspicion: Suspicion = Suspicion.NONE
    alarm: bool = False
    first_at: float = 0.0

    @property
    def title(self) -> str:
        return f"{many(self.kinds, *self.noun)} {harmless(self.about, 200)}".rstrip()


@dataclass(slots=True)
class _Pool:
    """Crowds that might share a row: their individually stored refusals, and their totals."""

    kept: list[Kept] = field(default_factory=list)
    crowds: list[Crowd] = field(default_factory=list)
    hidden_kinds: int = 0
    hidden_count: int = 0

    @property
    def kinds(self) -> int:
        return sum(crowd.kinds for crowd in self.crowds) - self.hidden_kinds

    @property
    def count(self) -> int:
        return sum(crowd.count for crowd in self.crowds) - self.hidden_count

    def take(self, other: _Pool) -> None:
        self.kept += other.kept
        self.crowds += other.crowds
        self.hidden_kinds += other.hidden_kinds
        self.hidden_count += other.hidden_count


def sort_out(refusals: Refusals, hidden: Callable[[RefusalView], bool]) -> tuple[list[Kept], list[Folded]]:
    """Returns refusals with a row of their own, the latest first, and the crowds. Neither contains `hidden` refusals."""
    alone: list[Kept] = []
    folded: list[Folded] = []
    narrow: dict[str, list[tuple[str, _Pool]]] = defaultdict(list)  # by the wider crowd that would absorb them
    wider: dict[str, _Pool] = defaultdict(_Pool)
    for key, crowd in refusals.crowds.items():
        pool = _Pool(crowds=[crowd])
        for one in reversed(list(crowd.members.items())):
            if hidden(one[1]):
                pool.hidden_kinds += 1
                pool.hidden_count += one[1].count
            else:
                pool.kept.append(one)
        if key == UNTOLD:
            alone += pool.kept
        elif _is_wide(key):
            wider[key].take(pool)
        elif crowd.suspicion:
            _fold(key, pool, alone, folded)
        elif pool.kinds > MAX_ALONE:
            narrow[crowds_of(crowd.latest)[1]].append((key, pool))
        else:
            wider[crowds_of(crowd.latest)[1]].take(pool)
    for wide, pools in narrow.items():
        for key, pool in pools:
            if len(pools) <= MAX_CROWDS:
                _fold(key, pool, alone, folded)
            else:  # a flood over many domains is one crowd
                wider[wide].take(pool)
    rest = _Pool()
    for key, pool in wider.items():
        if pool.kinds > MAX_SPREAD:
            _fold(key, pool, alone, folded)
        else:
            rest.take(pool)
    if rest.kinds > MAX_NAMES:
        _fold(REST, rest, alone, folded)
    else:
        alone += rest.kept
    return sorted(alone, key=lambda kept: -kept[1].last_at), folded


def _is_wide(key: str) -> bool:
    """True for the crowd of a top-level domain, and for the crowd of refusals without a crowd of their own."""
    return "." not in key[len(BELOW) :].partition(" ")[0] if key.startswith(BELOW) else not key.startswith((ADDRESSES, PORTS))


def _fold(key: str, pool: _Pool, alone: list[Kept], folded: list[Folded]) -> None:
    """Makes one row of a pool. Recurring refusals keep a row of their own."""
    (crowd, *others) = pool.crowds
    suspicion = crowd.suspicion if not others else Suspicion.NONE
    suspicious = bool(suspicion)
    steady = [] if suspicious else _steady(pool.kept)
    left = [kept for kept in pool.kept if kept not in steady]
    kinds = pool.kinds - len(steady)
    alone += steady
    if kinds == len(left) <= MAX_ALONE and not suspicious:
        alone += left
        return
    if kinds <= 0:
        return
    newest = max(pool.crowds, key=lambda one: one.last_at)
    latest, last_at = (left[0][1].latest, left[0][1].last_at) if left else (newest.latest, newest.last_at)
    noun, about = words_for(key, crowd.below if not others else "")
    folded.append(
        Folded(
            key,
            noun,
            about,
            latest,
            kinds,
            pool.count - sum(view.count for _, view in steady),
            last_at,
            [view for _, view in left],
            suspicion,
            suspicious and crowd.alarm,
            min(one.first_at for one in pool.crowds),
        )
    )


def _steady(kept: Sequence[Kept]) -> list[Kept]:
    """The refusals that a flood must not hide: those that came often, or again after a while, and names from before it."""
    earlier = _before_the_flood(kept)

    def steady(key: str, view: RefusalView) -> bool:
        again = view.last_at - view.first_at
        if view.count >= STEADY_TIMES or again >= STEADY_SECONDS:
            return True
        ordinary = view.latest.via is Via.DNS and not looks_generated(view.latest.name)
        return ordinary and (key in earlier or again >= AGAIN_SECONDS)

    recurring = [one for one in kept if steady(*one)]
    return sorted(recurring, key=lambda one: (one[0] not in earlier, -one[1].count))[:MAX_STEADY]


def _before_the_flood(kept: Sequence[Kept]) -> frozenset[str]:
    """The keys of the first few that came well before the next one: a flood, which is faster, began after them."""
    first = sorted(kept, key=lambda one: one[1].first_at)
    if len(first) <= MAX_ALONE:
        return frozenset()
    flood = first[MAX_ALONE][1].first_at
    return frozenset(key for key, view in first[:MAX_ALONE] if flood - view.first_at >= PAUSE_SECONDS)


def words_for(key: str, below: str = "") -> tuple[tuple[str, str], str]:
    """The noun for the members of a crowd (singular, plural), and what they have in common. `below`: their common suffix."""
    if key.startswith(ADDRESSES):
        return ("address", "addresses"), ""
    if key.startswith(PORTS):
        return ("port", "ports"), f"of {key[len(PORTS) :]}"
    if key.startswith(BELOW):
        return ("name", "names"), f"below {below or key[len(BELOW) :].partition(' ')[0]}"
    return ("other name", "other names"), ""
