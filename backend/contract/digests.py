"""Sets of digests, each stored as one text, to count kinds that are too many to keep individually. Pure."""

from __future__ import annotations

from hashlib import blake2b

DIGITS = 10  # hexadecimal digits of a digest


def digest(text: str) -> str:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=DIGITS // 2).hexdigest()


def holds(digests: str, wanted: str) -> bool:
    """True if a set, which is a concatenation of digests of equal length, contains this digest."""
    at = digests.find(wanted)
    while at >= 0 and at % len(wanted):  # a match across two digests
        at = digests.find(wanted, at + 1)
    return at >= 0
