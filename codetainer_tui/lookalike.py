"""Names that somebody in a hurry takes for a listed one, and names that no person has thought of. Pure."""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass

from backend.contract.crowds import domain

SHORTEST = 4  # letters; below that, too many names are near each other
LONG = 6  # letters; so long a word in front of somebody else's domain is no accident
NOBODYS = frozenset(("example", "test", "invalid", "localhost"))  # RFC 2606: nobody is imitated by these
# What is read as another letter at a glance, also of other alphabets.
_LOOKS = str.maketrans("01345|iаеіјорсухѕԁһӏɡı", "oleasllaeljopcyxsdhlgl")
_PAIRS = (("rn", "m"), ("vv", "w"), ("cl", "d"))
_GENERATED = re.compile(r"(?=.*[0-9].*[0-9].*[0-9].*[0-9])|[0-9a-z]{24}|(?=[0-9a-f]*[0-9])[0-9a-f]{12}")


def looks_generated(name: str) -> bool:
    """Whether a label has so many digits, or is so long, that no person has thought of it."""
    return any(_GENERATED.match(label) for label in name.lower().split(".")[:-1])


@dataclass(frozen=True, slots=True)
class _Listed:
    """A domain of the list, the first pattern below it, and the word that it is known by."""

    domain: str
    pattern: str
    brand: str
    skeleton: str


@functools.lru_cache(maxsize=4)
def _read(listed: tuple[str, ...]) -> dict[str, _Listed]:
    """What can be imitated, by domain."""
    found: dict[str, _Listed] = {}
    for pattern in listed:
        theirs = domain(pattern.removeprefix("*."))
        brand = theirs.partition(".")[0]
        found.setdefault(theirs, _Listed(theirs, pattern, brand, _skeleton(brand)))
    return found


@functools.lru_cache(maxsize=4096)
def resembles(name: str, listed: tuple[str, ...]) -> str:
    """The listed name that another one may be taken for, "" where it is none, or belongs to the same domain."""
    name = name.lower().rstrip(".")
    known, mine = _read(listed), domain(name)
    if mine in known:
        return ""
    label = mine.partition(".")[0]
    skeleton = _skeleton(label)
    return next((one.pattern for one in known.values() if _taken_for(name, label, skeleton, one)), "")


def _taken_for(name: str, label: str, skeleton: str, one: _Listed) -> bool:
    if len(one.brand) < SHORTEST or one.brand in NOBODYS:
        return False
    return (
        skeleton == one.skeleton
        or (len(one.brand) > SHORTEST and _within_one(skeleton, one.skeleton))
        or one.brand in label.split("-")
        or f".{one.domain}." in f".{name}."
        or one.domain.replace(".", "-") in name
        or (len(one.brand) >= LONG and one.brand in name.split("."))
    )


def _skeleton(label: str) -> str:
    """A label as it is read at a glance."""
    if label.startswith("xn--"):
        try:
            label = label.encode("ascii").decode("idna")
        except UnicodeError:
            return label
    text = unicodedata.normalize("NFKD", label).translate(_LOOKS)
    text = "".join(c for c in text if c.isalnum())  # no accents, no dashes
    for pair, looks in _PAIRS:
        text = text.replace(pair, looks)
    return text


def _within_one(one: str, other: str) -> bool:
    """Whether one letter more, less, or another, or two letters in the other order make them the same."""
    if len(one) > len(other):
        one, other = other, one
    if len(other) - len(one) > 1:
        return False
    at = next((index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
    if len(one) < len(other):
        return one[at:] == other[at + 1 :]
    swapped = one[at : at + 2] == other[at : at + 2][::-1] and one[at + 2 :] == other[at + 2 :]
    return swapped or one[at + 1 :] == other[at + 1 :]
