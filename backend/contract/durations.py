"""Durations as they are typed: `90`, `90s`, `5m`, `4h`, `1d`. One reader for the command line and for the settings."""

from __future__ import annotations

import re

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
LONGEST = 366 * DAY
EXPECTED = "90s, 5m, 4h or 1d"
_DURATION = re.compile(r"([0-9]+)([smhd]?)\Z")
_UNITS = {"": 1.0, "s": 1.0, "m": MINUTE, "h": HOUR, "d": DAY}


def read(text: str) -> float:
    """Seconds, from one second to a year. Raises ValueError with a sentence that says what is wrong.

    Zero is refused: it can be read as "not at all" and as "without an end".
    """
    found = _DURATION.match(text)
    if not found:
        raise ValueError(f"cannot read {text[:40]!a} as a duration: expected {EXPECTED}")
    digits = found[1].lstrip("0")
    if not digits:
        raise ValueError(f"cannot use {text[:40]!a} as a duration: the shortest is 1s")
    if len(digits) > 9 or int(digits) * _UNITS[found[2]] > LONGEST:
        raise ValueError(f"cannot use {text[:40]!a} as a duration: the longest is {LONGEST / DAY:.0f}d")
    return int(digits) * _UNITS[found[2]]
