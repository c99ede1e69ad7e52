"""Parses durations such as `90`, `90s`, `5m`, `4h` and `1d`, for the command line and the settings."""

from __future__ import annotations

import re

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
LONGEST = 366 * DAY
EXPECTED = "90s, 5m, 4h or 1d"
_DURATION = re.compile(r"([0-9]+)([smhd]?)\Z")
_UNITS = {"": 1.0, "s": 1.0, "m": MINUTE, "h": HOUR, "d": DAY}


def read(text: str) -> float:
    """A duration in seconds, from 1 s to 366 days. Raises ValueError with a message for the operator.

    Zero is refused because it could mean "not at all" or "forever".
    """
    match = _DURATION.match(text)
    if not match:
        raise ValueError(f"cannot read {text[:40]!a} as a duration: expected {EXPECTED}")
    digits = match[1].lstrip("0")
    if not digits:
        raise ValueError(f"cannot use {text[:40]!a} as a duration: the shortest is 1s")
    if len(digits) > 9 or int(digits) * _UNITS[match[2]] > LONGEST:
        raise ValueError(f"cannot use {text[:40]!a} as a duration: the longest is {LONGEST / DAY:.0f}d")
    return int(digits) * _UNITS[match[2]]


def written(seconds: float) -> str:
    """A duration as an operator would type it; `read` is the inverse for whole seconds."""
    unit = next((unit for unit in "dhm" if seconds % _UNITS[unit] == 0), "s")
    return f"{seconds / _UNITS[unit]:.0f}{unit}"
