"""Sets of digests, each kept as one text: how kinds are counted that are too many to be kept. Pure."""

from __future__ import annotations

from hashlib import blake2b

DIGITS = 10  # of a digest, hexadecimal


def digest(text: str) -> str:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=DIGITS // 2).hexdigest()


def holds(digests: str, wanted: str) -> bool:
    """True if a digest is among others of its length, which are written one after another."""
    at = digests.find(wanted)
    while at >= 0 and at % len(wanted):  # the end of one and the beginning of the next
        at = digests.find(wanted, at + 1)
    return at >= 0
