"""What is not well, as blocks; what is well, one line each."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content

from codetainer_tui.dashboard.draw.ink import Ink, cut, line, right, wrap
from codetainer_tui.view import Block, Row, Tone

GLYPHS = {Tone.BAD: "✗", Tone.WARN: "!"}
LABEL = 9
MAX_LINES = 6  # of a paragraph, where the others want room too


def block(found: Block, width: int, ink: Ink, *, most: int, first: int = 0) -> list[Content]:
    """`most` lines of each paragraph, `first` of the first one (where that is more)."""
    head = f"{GLYPHS.get(found.tone, '·')}  {found.title}"
    helps = "   ".join(found.keys)
    since = f"  {found.since}" if found.since else ""
    room = width - 1 - cell_len(head) - cell_len(since) - 1
    lines = [line(
        (" ", ""), (cut(head, width - 2), ink.style(found.tone)), (since if room >= 0 else "", ink.style(Tone.DIM)),
        (right(helps, room) if helps and room > cell_len(helps) else "", "bold"),
    )]  # fmt: skip
    for index, text in enumerate(found.lines):
        lines += [line((f"    {part}", "")) for part in wrap(text, width - 5, most if index else max(most, first))]
    return lines


def blocks(found: tuple[Block, ...], width: int, height: int, ink: Ink) -> list[Content]:
    """As much of all blocks as fits: whole, else shortened to their first lines, else counted."""
    for most in range(MAX_LINES, 0, -1):
        drawn = [one for each in found for one in block(each, width, ink, most=most)]
        if len(drawn) <= height:
            spare = height - len(drawn) + most
            # What is the matter comes first: what room is left is the first block's.
            return [*block(found[0], width, ink, most=most, first=spare), *drawn[len(block(found[0], width, ink, most=most)) :]]
    heads = [block(each, width, ink, most=1)[0] for each in found]
    if len(heads) < height:
        first = block(found[0], width, ink, most=2)
        return [*first[: height - len(heads) + 1], *heads[1:]]
    more = len(heads) - height + 1
    return [*heads[: max(0, height - 1)], line((f"    and {more} more", ink.style(Tone.DIM)))] if height else []


def row(found: Row, width: int, ink: Ink) -> Content:
    """Cells as far as they fit: the first are the most important."""
    room = width - LABEL - 3
    cells = found.cells
    if found.short and cell_len(found.text) > room:
        cells = found.short
    text = ""
    for cell in cells:
        longer = f"{text}   {cell}" if text else cell
        if text and cell_len(longer) > room:
            break
        text = longer
    return line((f" {found.label:<{LABEL}} ", ink.style(Tone.DIM)), (cut(text, room), ink.style(found.tone)))
