"""Formats times, sizes and untrusted text for all front ends. Pure, except for the local time zone."""

from __future__ import annotations

import time
from collections.abc import Sequence

from backend.contract.durations import DAY, HOUR, LATEST, MINUTE, lasting

__all__ = [
    "ago", "at_least", "clock", "clock_seconds", "columns", "count", "date", "grouped", "harmless", "lasting", "many", "moment",
    "shorten", "size", "took", "until", "when", "within",
]  # fmt: skip
NOW_SECONDS = 15.0


def harmless(text: str, most: int = 0) -> str:
    """Untrusted text made safe for display: escapes characters that a terminal would obey or that are invisible.

    Control characters, line breaks, direction marks, zero-width characters and lone surrogates become escapes such as
    `\\x1b`. `most` limits the length; cut text ends in an ellipsis. Markup needs no escape, because our screens ignore it.
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return shorten(text, most) if most else text


def shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(0, most - 1)] + "…"


def _local(at: float) -> time.struct_time:
    """Local time, limited to the calendar's range, because the agent's report may contain any number."""
    return time.localtime(min(max(at, 0.0), LATEST) if at == at else 0.0)


def clock(at: float) -> str:
    """`14:02`, local time."""
    return time.strftime("%H:%M", _local(at))


def clock_seconds(at: float) -> str:
    return time.strftime("%H:%M:%S", _local(at))


def date(at: float) -> str:
    """`2026-01-31 UTC`, the heading of lines with clock times."""
    return time.strftime("%Y-%m-%d %Z", _local(at))


def moment(at: float) -> str:
    """`2026-01-31 14:02 UTC`."""
    return time.strftime("%Y-%m-%d %H:%M %Z", _local(at))


def when(at: float, now: float) -> str:
    """A past time: relative within an hour, then the clock time, then the day. In coarse steps, to prevent flicker."""
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
    """A past time like `when`, but as `4 min ago`."""
    text = when(at, now)
    return f"{text} ago" if text.endswith("min") else text


def within(at: float, now: float) -> str:
    """A future time: `in 4 min`, `at 15:02`. In coarse steps, to prevent flicker."""
    left = at - now
    if left < MINUTE:
        return "in <1 min"
    return f"in {int(left // MINUTE)} min" if left < HOUR else f"at {clock(at)}"


def until(at: float, now: float) -> str:
    """`until 15:02`, with the day if it is more than 12 hours away; 0 means no time limit."""
    if not at:
        return "until you close it"
    return f"until {clock(at)}" if at - now < 12 * HOUR else time.strftime("until %d %b %H:%M", _local(at))


def took(seconds: float) -> str:
    """A short duration: `0.4 s`, `75 s`."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds:.0f} s"


def size(count: float) -> str:
    """A number of bytes: `512 B`, `120 kB`, `18.2 MB`, `1.2 GB` (multiples of 1024, as for memory)."""
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
    """A count with its noun: `1 name`, `23 names`."""
    return f"{grouped(count)} {one if count == 1 else more or one + 's'}"


def columns(rows: Sequence[tuple[str, ...]]) -> str:
    """A text table: columns as wide as their widest cell, separated by two spaces."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def grouped(count: int) -> str:
    """A number with spaces between groups of three digits: `20 000`."""
    return f"{count:,}".replace(",", " ")


def at_least(number: int, *, exact: bool) -> str:
    """A number that may be a lower bound."""
    return grouped(number) if exact else f"at least {grouped(number)}"


def count(number: int) -> str:
    """A count of at most five characters (below 10 billion) for a narrow column: `20000`, `492k`, `3.1M`, `250M`."""
    if number < 100_000:
        return str(number)
    if number < 1_000_000:
        return f"{number // 1000}k"
    return f"{number / 1e6:.1f}M" if number < 10_000_000 else f"{number // 1_000_000}M"
