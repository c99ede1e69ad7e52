"""Problems as blocks, and healthy parts as one line each."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content

from codetainer_tui.dashboard.draw.ink import Ink, cut, line, right, wrap
from codetainer_tui.view import Block, Row, Tone
from codetainer_tui.view.parts import LABEL_CELLS

GLYPHS = {Tone.BAD: "✗", Tone.WARN: "!"}
MAX_LINES = 6  # of a paragraph, if other blocks need room


def block(problem: Block, width: int, ink: Ink, *, most: int, first: int = 0) -> list[Content]:
    """A block with up to `most` lines per paragraph, and up to `first` lines of the first one if that is more."""
    head = f"{GLYPHS.get(problem.tone, '·')}  {problem.title}"
    keys = "   ".join(problem.keys)
    since = f"  {problem.since}" if problem.since else ""
    room = width - 1 - cell_len(head) - cell_len(since) - 1
    lines = [line(
        (" ", ""), (cut(head, width - 2), ink.style(problem.tone)), (since if room >= 0 else "", ink.style(Tone.DIM)),
        (right(keys, room) if keys and room > cell_len(keys) else "", "bold"),
    )]  # fmt: skip
    for index, text in enumerate(problem.lines):
        lines += [line((f"    {part}", "")) for part in wrap(text, width - 5, most if index else max(most, first))]
    return lines


def blocks(problems: tuple[Block, ...], width: int, height: int, ink: Ink) -> list[Content]:
    """As much of all blocks as fits: whole, or shortened to their first lines, or the first ones and a count."""
    for most in range(MAX_LINES, 0, -1):
        drawn = [one for each in problems for one in block(each, width, ink, most=most)]
        if len(drawn) <= height:
            spare = height - len(drawn) + most
            # The first block is the worst problem: it gets the spare lines.
            worst = block(problems[0], width, ink, most=most, first=spare)
            return [*worst, *drawn[len(block(problems[0], width, ink, most=most)) :]]
    heads = [block(each, width, ink, most=1)[0] for each in problems]
    if len(heads) < height:
        first = block(problems[0], width, ink, most=2)
        return [*first[: height - len(heads) + 1], *heads[1:]]
    more = len(heads) - height + 1
    return [*heads[: max(0, height - 1)], line((f"    and {more} more", ink.style(Tone.DIM)))] if height else []


def row(healthy: Row, width: int, ink: Ink) -> Content:
    """The label and as many cells as fit: the first are the most important."""
    room = width - LABEL_CELLS - 3
    cells = healthy.cells
    if healthy.short and cell_len(healthy.text) > room:
        cells = healthy.short
    text = ""
    for cell in cells:
        longer = f"{text}   {cell}" if text else cell
        if text and cell_len(longer) > room:
            break
        text = longer
    return line((f" {healthy.label:<{LABEL_CELLS}} ", ink.style(Tone.DIM)), (cut(text, room), ink.style(healthy.tone)))
