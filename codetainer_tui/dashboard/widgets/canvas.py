"""A widget that repaints only the changed parts of its lines: an unchanged screen sends nothing to the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len
from textual.content import Content
from textual.events import Click
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget


class Canvas(Widget):
    """Shows lines of text, one Content each."""

    class Pressed(Message):
        """A line was clicked."""

        def __init__(self, canvas: Canvas, line: int) -> None:
            self.canvas, self.line = canvas, line
            super().__init__()

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name for it)
        super().__init__(id=id)
        self.lines: tuple[Content, ...] = ()

    def show(self, lines: Sequence[Content]) -> None:
        before, self.lines = self.lines, tuple(lines)
        width = self.size.width
        pairs = zip_longest(before, self.lines)
        changed = [region for y, (one, other) in enumerate(pairs) if (region := changed_part(one, other, y, width)) is not None]
        if changed and width:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y >= len(self.lines):
            return Strip.blank(width, self.rich_style)
        return Visual.to_strips(self, self.lines[y], width, 1, self.visual_style, pad=True)[0]

    def on_click(self, event: Click) -> None:
        self.post_message(self.Pressed(self, event.y))


def changed_part(one: Content | None, other: Content | None, y: int, width: int) -> Region | None:
    """The part of a line to repaint: from the first to the last changed cell, or all of it if the style has changed."""
    if one is None or other is None or one.spans != other.spans:
        return Region(0, y, width, 1)
    if one.plain == other.plain:
        return None
    start = _shared(one.plain, other.plain)
    begin, end = cell_len(one.plain[:start]), width
    if one.cell_length == other.cell_length:
        same = _shared(one.plain[start:][::-1], other.plain[start:][::-1])
        end = cell_len(other.plain[: len(other.plain) - same])
    return Region(begin, y, max(1, min(end, width) - begin), 1)


def _shared(one: str, other: str) -> int:
    """The length of the common prefix."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
