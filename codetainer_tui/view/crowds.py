"""Which policy refusals have a row of their own, and which are told together: a crowd as one row, with exact counts. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from backend.contract.crowds import ADDRESSES, BELOW, PORTS, REST, Crowd, Suspicion, crowds_of
from backend.contract.events import Refused
from backend.contract.refusals import UNTOLD, Refusals, RefusalView
from codetainer_tui.words import harmless, many

MAX_ALONE = 8  # of one domain, address list or name: so many have a row each
MAX_CROWDS = 8  # of domains below one top-level domain that are told apart
MAX_SPREAD = 24  # of all domains below one top-level domain
MAX_NAMES = 48  # of all others
MAX_STEADY = 24  # of a crowd that have a row all the same, since they are asked for again and again
STEADY_TIMES, STEADY_SECONDS = 5, 60.0

Kept = tuple[str, RefusalView]  # a key and its view


@dataclass(slots=True)
class Folded:
    """What is told as one row. `members` are those of it that are kept one by one, the latest first."""

    key: str
    noun: tuple[str, str]  # of one, of more
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
    """Crowds that may have to be told together: what is kept of them, and what they are in all."""

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
    """Those that have a row of their own, the latest first, and the crowds. What is `hidden` is in neither."""
    alone: list[Kept] = []
    folded: list[Folded] = []
    narrow: dict[str, list[tuple[str, _Pool]]] = defaultdict(list)  # by what they would be told with
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
    for wide, found in narrow.items():
        for key, pool in found:
            if len(found) <= MAX_CROWDS:
                _fold(key, pool, alone, folded)
            else:  # a flood that is spread over many domains is one
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
    """Whether a crowd is of everything below a top-level domain, or of what has no crowd of its own."""
    return "." not in key[len(BELOW) :].partition(" ")[0] if key.startswith(BELOW) else not key.startswith((ADDRESSES, PORTS))


def _fold(key: str, pool: _Pool, alone: list[Kept], folded: list[Folded]) -> None:
    """One row for a pool, but for what is asked for again and again."""
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
    noun, about = _words(key, crowd if not others else None)
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


def _steady(kept: Iterable[Kept]) -> list[Kept]:
    """Those that came often, or again after a while: a generated name seldom does."""
    found = [one for one in kept if one[1].count >= STEADY_TIMES or one[1].last_at - one[1].first_at >= STEADY_SECONDS]
    return sorted(found, key=lambda one: -one[1].count)[:MAX_STEADY]


def _words(key: str, crowd: Crowd | None) -> tuple[tuple[str, str], str]:
    """What they are, and what they have in common."""
    if key.startswith(ADDRESSES):
        return ("address", "addresses"), ""
    if key.startswith(PORTS):
        return ("port", "ports"), f"of {key[len(PORTS) :]}"
    if key.startswith(BELOW):
        below = crowd.below if crowd is not None and crowd.below else key[len(BELOW) :].partition(" ")[0]
        return ("name", "names"), f"below {below}"
    return ("other name", "other names"), ""
