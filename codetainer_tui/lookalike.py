"""Detects names that resemble an allowlisted one, and names that a program generated. Pure."""

from __future__ import annotations

import functools
import re
import unicodedata

from backend.contract.crowds import domain
from backend.contract.immutable import dataclass

SHORTEST = 4  # letters; too many shorter names are similar by chance
LONG = 6  # letters; a word this long before another domain is no coincidence
RESERVED = frozenset(("example", "test", "invalid", "localhost"))  # RFC 2606: they imitate no real brand
# Characters that look like a letter, also from other alphabets.
_LOOKS = str.maketrans("01345|iаеіјорсухѕԁһӏɡı", "oleasllaeljopcyxsdhlgl")
_PAIRS = (("rn", "m"), ("vv", "w"), ("cl", "d"))
_GENERATED = re.compile(r"(?=.*[0-9].*[0-9].*[0-9].*[0-9])|[0-9a-z]{24}|(?=[0-9a-f]*[0-9])[0-9a-f]{12}")


def looks_generated(name: str) -> bool:
    """True if a label has so many digits, or is so long, that a program must have generated it."""
    return any(_GENERATED.match(label) for label in name.lower().split(".")[:-1])


@dataclass(frozen=True, slots=True)
class _Listed:
    """A domain of the allowlist, the first pattern below it, its best-known word, and how that word looks."""

    domain: str
    pattern: str
    brand: str
    skeleton: str


@functools.lru_cache(maxsize=4)
def _read(listed: tuple[str, ...]) -> dict[str, _Listed]:
    """The domains of the allowlist, which a name could imitate."""
    domains: dict[str, _Listed] = {}
    for pattern in listed:
        name = domain(pattern.removeprefix("*."))
        brand = name.partition(".")[0]
        domains.setdefault(name, _Listed(name, pattern, brand, _skeleton(brand)))
    return domains


@functools.lru_cache(maxsize=4096)
def resembles(name: str, listed: tuple[str, ...]) -> str:
    """The allowlist entry that a name may be mistaken for; "" if none, or if both belong to the same domain."""
    name = name.lower().rstrip(".")
    domains, own = _read(listed), domain(name)
    if own in domains:
        return ""
    label = own.partition(".")[0]
    skeleton = _skeleton(label)
    return next((one.pattern for one in domains.values() if _taken_for(name, label, skeleton, one)), "")


def _taken_for(name: str, label: str, skeleton: str, one: _Listed) -> bool:
    if len(one.brand) < SHORTEST or one.brand in RESERVED:
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
    """A label in which each character is replaced by the plain letter that it resembles."""
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
    """True if the words differ by at most one inserted, removed or replaced letter, or two swapped ones."""
    if len(one) > len(other):
        one, other = other, one
    if len(other) - len(one) > 1:
        return False
    at = next((index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
    if len(one) < len(other):
        return one[at:] == other[at + 1 :]
    swapped = one[at : at + 2] == other[at : at + 2][::-1] and one[at + 2 :] == other[at + 2 :]
    return swapped or one[at + 1 :] == other[at + 1 :]
