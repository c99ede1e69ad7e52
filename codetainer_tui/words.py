"""Times, sizes and foreign text in the words of every front end. Pure, but for the local time zone."""

from __future__ import annotations

import time
from collections.abc import Sequence

from backend.contract.durations import DAY, HOUR, MINUTE

NOW_SECONDS = 15.0
LATEST = 253_402_214_400.0  # the last day of the year 9999


def harmless(text: str, most: int = 0) -> str:
    """Foreign text as it may be shown: what a terminal would obey, or nobody would see, is spelled out.

    Control characters, line breaks, direction marks, zero-width characters and lone surrogates become escapes such as
    `\\x1b`. `most` cuts to that many characters, the last of them an ellipsis. Markup means nothing to our screens.
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return shorten(text, most) if most else text


def shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(0, most - 1)] + "…"


def _local(at: float) -> time.struct_time:
    """Local time. A moment beyond the calendar (the agent's report may hold any number) is its end."""
    return time.localtime(min(max(at, 0.0), LATEST) if at == at else 0.0)


def clock(at: float) -> str:
    """`14:02`, local time."""
    return time.strftime("%H:%M", _local(at))


def clock_seconds(at: float) -> str:
    return time.strftime("%H:%M:%S", _local(at))


def date(at: float) -> str:
    """`2026-01-31 UTC`: what stands once above clock times."""
    return time.strftime("%Y-%m-%d %Z", _local(at))


def when(at: float, now: float) -> str:
    """A moment past: relative below an hour, then the clock, then the day. In steps that do not flicker."""
    past = now - at
    if past < NOW_SECONDS:
        return "now"
    if past < MINUTE:
        return "<1 min"
    if past < HOUR:
        return f"{int(past // MINUTE)} min"
    if past < DAY:
        return clock(at)
    return time.strftime("%d %b", _local(at))


def ago(at: float, now: float) -> str:
    found = when(at, now)
    return f"{found} ago" if found.endswith("min") else found


def within(at: float, now: float) -> str:
    """A moment to come, in steps that do not flicker: `in 4 min`, `at 15:02`."""
    left = at - now
    if left < MINUTE:
        return "in <1 min"
    return f"in {int(left // MINUTE)} min" if left < HOUR else f"at {clock(at)}"


def until(at: float, now: float) -> str:
    """`until 15:02`, with the day where that is another; 0 is without an end."""
    if not at:
        return "until revoked"
    return f"until {clock(at)}" if at - now < 12 * HOUR else time.strftime("until %d %b %H:%M", _local(at))


def took(seconds: float) -> str:
    """A short duration: `0.4 s`, `75 s`."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds:.0f} s"


def lasting(seconds: float) -> str:
    """A long duration: `40 s`, `12 min`, `2 h 14 min`, `3 d 4 h`."""
    seconds = min(max(0.0, seconds), LATEST)
    if seconds < MINUTE:
        return f"{int(seconds)} s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min"
    if seconds < DAY:
        return f"{int(seconds // HOUR)} h {int(seconds % HOUR // MINUTE)} min"
    return f"{int(seconds // DAY)} d {int(seconds % DAY // HOUR)} h"


def size(count: float) -> str:
    """Bytes: `512 B`, `120 kB`, `18.2 MB`, `1.2 GB` (binary units, as memory is sold)."""
    if count < 1024:
        return f"{int(count)} B"
    unit = "kB"
    count /= 1024
    for larger in ("MB", "GB"):
        if count < 1000:
            break
        unit, count = larger, count / 1024
    return f"{count:.1f} {unit}" if count < 20 else f"{count:.0f} {unit}"


def many(count: int, one: str, more: str = "") -> str:
    """`1 name`, `23 names`."""
    return f"{grouped(count)} {one if count == 1 else more or one + 's'}"


def columns(rows: Sequence[tuple[str, ...]]) -> str:
    """A table for a pipe: every column as wide as what stands in it, two blanks between."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def grouped(count: int) -> str:
    """`20 000`."""
    return f"{count:,}".replace(",", " ")


def count(number: int) -> str:
    """A count for a narrow column, at most five characters wide up to a billion: `20000`, `492k`, `3.1M`, `250M`."""
    if number < 100_000:
        return str(number)
    if number < 1_000_000:
        return f"{number // 1000}k"
    return f"{number / 1e6:.1f}M" if number < 10_000_000 else f"{number // 1_000_000}M"
