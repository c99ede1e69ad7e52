"""Durations: `90s`, `5m`, `4h` and `1d` on the command line and in settings; `2 h 14 min` on screen."""

from __future__ import annotations

import re

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
LONGEST = 366 * DAY
LATEST = 253_402_214_400.0  # the last day of the year 9999, in seconds since the epoch
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
    if not match[2]:  # read as seconds, `--for 10` would end in a moment what is meant to last for minutes
        raise ValueError(f"cannot read {text[:40]!a} as a duration: its unit is missing, expected {EXPECTED}")
    if len(digits) > 9 or int(digits) * _UNITS[match[2]] > LONGEST:
        raise ValueError(f"cannot use {text[:40]!a} as a duration: the longest is {LONGEST / DAY:.0f}d")
    return int(digits) * _UNITS[match[2]]


def written(seconds: float) -> str:
    """A duration as an operator would type it; `read` is the inverse for whole seconds."""
    unit = next((unit for unit in "dhm" if seconds % _UNITS[unit] == 0), "s")
    return f"{seconds / _UNITS[unit]:.0f}{unit}"


def lasting(seconds: float) -> str:
    """A long duration: `40 s`, `12 min`, `2 h 14 min`, `4 h`, `3 d 4 h`."""
    seconds = min(max(0.0, seconds), LATEST)
    if seconds < MINUTE:
        return f"{int(seconds)} s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min"
    if seconds < DAY:
        return _two(int(seconds // HOUR), "h", int(seconds % HOUR // MINUTE), "min")
    return _two(int(seconds // DAY), "d", int(seconds % DAY // HOUR), "h")


def _two(large: int, unit: str, small: int, smaller: str) -> str:
    return f"{large} {unit} {small} {smaller}" if small else f"{large} {unit}"
