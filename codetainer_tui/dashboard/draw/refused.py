"""The list of refusals, which has a cursor."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content

from codetainer_tui.dashboard.draw.frame import ALARM
from codetainer_tui.dashboard.draw.ink import Ink, cut, fit, line, right
from codetainer_tui.view import RefusedLine, Tone

WIDE, MIDDLE, NARROW = 100, 72, 50  # columns
MAX_WHAT = 60


def position(shown: range, count: int) -> str:
    """The position in a list of which not all rows are shown: `4-9 of 12`; "" if all are."""
    if len(shown) == count:
        return ""
    rows = f"{shown.start + 1}-{shown.stop}" if len(shown) > 1 else str(shown.start + 1) if shown else "none"
    return f"{rows} of {count}"


def header(summary: str, spark: str, width: int, ink: Ink, *, position: str = "", wanted: str = "") -> Content:
    """The title line. `wanted`: the filter. What is shown of the list comes first: it must not be cut."""
    only = f"filter: {wanted}" if wanted else ""
    text = _joined(position, summary, only)
    if cell_len(text) > width - 12:
        text = _joined(position, only, summary)
    text = cut(text, max(0, width - 12))
    room = width - 11 - cell_len(text) - 2
    bars = spark if spark and room >= cell_len(spark) + 2 else ""
    return line((" Refused   ", "bold"), (fit(text, width - 12 - cell_len(bars)), ""), (bars, ink.style(Tone.DIM)))


def _joined(*parts: str) -> str:
    return "   ".join(part for part in parts if part)


def alarm_header(summary: str, width: int, ink: Ink, *, acknowledge: str, position: str = "") -> Content:
    """The title line of the serious refusals. `acknowledge`: the hint at its end, if there is room."""
    text = cut(_joined(position, summary), max(0, width - 12))
    room = width - 12 - cell_len(text) - 2
    hint = right(acknowledge, room) if room >= cell_len(acknowledge) + 2 else ""
    return line((" ", ""), ("Serious", ink.style(Tone.BAD)), ("   ", ""), (text, "bold"), (hint, ink.style(Tone.DIM)))


def columns(width: int, *, programs: bool) -> tuple[int, int, int, int, int]:
    """Widths in cells of the columns last, times, what, why and by; 0 omits a column. Two spaces separate columns.

    `programs`: at least one row has a program. Many refusals have none.
    """
    if width >= WIDE:
        last, times, why, by = 7, 6, 36, 14
    elif width >= MIDDLE:
        last, times, why, by = 6, 5, 22 if programs else 32, 8
    elif width >= NARROW:
        last, times, why, by = 6, 0, 20, 0  # "not on the allowlist"
    else:
        last, times, why, by = 6, 0, 0, 0
    by = by if programs else 0
    used = 2 + sum(cells + 2 for cells in (last, times, why, by) if cells) + 1
    what = max(8, width - used)
    if what > MAX_WHAT:
        why, what = why + what - MAX_WHAT, MAX_WHAT  # keeps the reason close to the name
    return last, times, what, why, by


def titles(width: int, ink: Ink, *, programs: bool) -> Content:
    last, times, what, why, by = columns(width, programs=programs)
    cells = [right("last", last), right("times", times), fit("what", what), fit("why", why), fit("by", by)]
    widths = (last, times, what, why, by)
    return line(("  " + "  ".join(cell for cell, wide in zip(cells, widths, strict=True) if wide), ink.style(Tone.DIM)))


def row(refusal: RefusedLine, width: int, ink: Ink, *, selected: bool, programs: bool) -> Content:
    last, times, what, why, by = columns(width, programs=programs)
    dim = ink.style(Tone.DIM)
    body = ink.cursor if selected else "bold" if refusal.new or refusal.alarm else ""
    style = ink.style(refusal.tone) or ("" if refusal.why.startswith("allowed") else dim)
    if refusal.why.startswith("allowed") or refusal.tone is not Tone.PLAIN:
        what_text = fit(f"{refusal.what}  {refusal.why}", what) if not why else fit(refusal.what, what)
    else:
        what_text = fit(refusal.what, what)
    parts = [("> " if selected else "  ", ink.cursor), (right(refusal.last, last) + "  ", dim)]
    if refusal.alarm:
        parts[:1] = [(">" if selected else " ", ink.cursor), (ALARM, ink.style(Tone.BAD))]
    if times:
        parts.append((right(refusal.times, times) + "  ", ""))
    parts.append((what_text, body))
    if by and not refusal.by:
        why, by = why + 2 + by, 0  # room that nobody needs
    if why:
        reason = fit(refusal.why, why)
        if refusal.alarm:  # without colour the style is reverse video: it ends with the text
            text = reason.rstrip()
            parts += [("  ", ""), (text, style), (reason[len(text) :], "")]
        else:
            parts.append(("  " + reason, style))
    if by:
        parts.append(("  " + fit(refusal.by, by), dim))
    return line(*parts)
