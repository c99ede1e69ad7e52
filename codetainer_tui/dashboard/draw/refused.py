"""The one list with a cursor."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content

from codetainer_tui.dashboard.draw.frame import ALARM
from codetainer_tui.dashboard.draw.ink import Ink, cut, fit, line, right
from codetainer_tui.view import RefusedLine, Tone

WIDE, MIDDLE, NARROW = 100, 72, 50
MAX_WHAT = 60


def header(summary: str, spark: str, width: int, ink: Ink, *, wanted: str = "") -> Content:
    filtered = f"   only: {wanted}" if wanted else ""
    said = summary + filtered
    if wanted and cell_len(said) > width - 12:
        said = f"only: {wanted}   {summary}"
    said = cut(said, max(0, width - 12))
    room = width - 11 - cell_len(said) - 2
    bars = spark if spark and room >= cell_len(spark) + 2 else ""
    return line((" Refused   ", "bold"), (fit(said, width - 12 - cell_len(bars)), ""), (bars, ink.style(Tone.DIM)))


def alarm_header(summary: str, width: int, ink: Ink, *, acknowledge: str) -> Content:
    """What is serious, above its rows. `acknowledge` says which key helps, where there is room."""
    said = cut(summary, max(0, width - 12))
    room = width - 12 - cell_len(said) - 2
    says = right(acknowledge, room) if room >= cell_len(acknowledge) + 2 else ""
    return line((" ", ""), ("Serious", ink.style(Tone.BAD)), ("   ", ""), (said, "bold"), (says, ink.style(Tone.DIM)))


def columns(width: int, *, programs: bool) -> tuple[int, int, int, int, int]:
    """Cells for last, times, what, why, by; 0 leaves a column out. Each but the last is followed by two blanks.

    Without `programs` none is known: what is refused by name or on its way out often has none.
    """
    if width >= WIDE:
        last, times, why, by = 7, 6, 36, 14
    elif width >= MIDDLE:
        last, times, why, by = 6, 5, 22 if programs else 32, 8
    elif width >= NARROW:
        last, times, why, by = 6, 0, 19, 0  # "allowed until HH:MM"
    else:
        last, times, why, by = 6, 0, 0, 0
    by = by if programs else 0
    used = 2 + sum(cells + 2 for cells in (last, times, why, by) if cells) + 1
    what = max(8, width - used)
    if what > MAX_WHAT:
        why, what = why + what - MAX_WHAT, MAX_WHAT  # a reason stands near what it is about
    return last, times, what, why, by


def titles(width: int, ink: Ink, *, programs: bool) -> Content:
    last, times, what, why, by = columns(width, programs=programs)
    cells = [right("last", last), right("times", times), fit("what", what), fit("why", why), fit("by", by)]
    widths = (last, times, what, why, by)
    return line(("  " + "  ".join(cell for cell, wide in zip(cells, widths, strict=True) if wide), ink.style(Tone.DIM)))


def row(found: RefusedLine, width: int, ink: Ink, *, selected: bool, programs: bool) -> Content:
    last, times, what, why, by = columns(width, programs=programs)
    dim = ink.style(Tone.DIM)
    body = ink.cursor if selected else "bold" if found.new or found.alarm else ""
    said = ink.style(found.tone) or ("" if found.why.startswith("allowed") else dim)
    if found.alarm and not why:
        what_text = fit(f"{found.why}  {found.what}", what)  # a credential and a missing name must not look alike
    elif found.why.startswith("allowed") or found.tone is not Tone.PLAIN:
        what_text = fit(f"{found.what}  {found.why}", what) if not why else fit(found.what, what)
    else:
        what_text = fit(found.what, what)
    parts = [("> " if selected else "  ", ink.cursor), (right(found.last, last) + "  ", dim)]
    if found.alarm:
        parts[:1] = [(">" if selected else " ", ink.cursor), (ALARM, ink.style(Tone.BAD))]
    if times:
        parts.append((right(found.times, times) + "  ", ""))
    parts.append((what_text, body))
    if why:
        reason = fit(found.why, why)
        if found.alarm:  # what is reversed where there is no colour ends with the text
            text = reason.rstrip()
            parts += [("  ", ""), (text, said), (reason[len(text) :], "")]
        else:
            parts.append(("  " + reason, said))
    if by:
        parts.append(("  " + fit(found.by, by), dim))
    return line(*parts)
