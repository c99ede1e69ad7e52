"""The table of what was carried. It gives way to everything that may need the operator."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from codetainer_tui.dashboard.draw.ink import Ink, fit, line, right
from codetainer_tui.view import Tone, TrafficLine

WIDE, MIDDLE = 100, 60
COUNT, OPEN, BYTES, LAST, NOTE = 11, 8, 8, 7, 18


def titles(width: int, ink: Ink) -> Content:
    cells = right("connections", COUNT) + (" " * OPEN if width >= WIDE else "") + right("in", BYTES + 2)
    cells += right("out", BYTES + 2) + (right("last", LAST + 2) if width >= MIDDLE else "")
    head = " Traffic"
    return line((head, "bold"), (right(cells, max(0, width - len(head) - 1)), ink.style(Tone.DIM)))


def row(found: TrafficLine, width: int, ink: Ink) -> Content:
    """Columns stand under their titles: both are counted from the right edge."""
    cells = right(found.connections, COUNT)
    if width >= WIDE:
        cells += fit("  " + found.open_now, OPEN)
    cells += right(found.bytes_in, BYTES + 2) + right(found.bytes_out, BYTES + 2)
    if width >= MIDDLE:
        cells += right(found.last, LAST + 2)
    room = max(0, width - len(cells) - 4)
    note = found.marked or found.note
    name = fit(found.name, room - NOTE) + fit(note, NOTE) if room > 2 * NOTE else fit(found.name, room)
    return line(("   ", ""), (name, ""), (cells, ink.style(Tone.WARN) if found.marked else ink.style(Tone.DIM)))


def table(found: Sequence[TrafficLine], width: int, height: int, ink: Ink) -> list[Content]:
    """At most `height` lines, title and rows; none where not even one row fits."""
    if height < 2 or not found:
        return []
    return [titles(width, ink), *(row(one, width, ink) for one in found[: height - 1])]
