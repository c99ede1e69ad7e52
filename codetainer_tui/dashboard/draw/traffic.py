"""The table of carried traffic, which has the lowest priority on the screen."""

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


def row(carried: TrafficLine, width: int, ink: Ink) -> Content:
    """A row whose columns are aligned with the titles, counted from the right edge."""
    cells = right(carried.connections, COUNT)
    if width >= WIDE:
        cells += fit("  " + carried.open_now, OPEN)
    cells += right(carried.bytes_in, BYTES + 2) + right(carried.bytes_out, BYTES + 2)
    if width >= MIDDLE:
        cells += right(carried.last, LAST + 2)
    room = max(0, width - len(cells) - 4)
    note = carried.marked or carried.note
    name = fit(carried.name, room - NOTE) + fit(note, NOTE) if room > 2 * NOTE else fit(carried.name, room)
    return line(("   ", ""), (name, ""), (cells, ink.style(Tone.WARN) if carried.marked else ink.style(Tone.DIM)))


def table(rows: Sequence[TrafficLine], width: int, height: int, ink: Ink) -> list[Content]:
    """The titles and as many rows as fit into `height` lines; nothing if no row fits."""
    if height < 2 or not rows:
        return []
    return [titles(width, ink), *(row(one, width, ink) for one in rows[: height - 1])]
