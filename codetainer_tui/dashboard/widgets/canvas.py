"""Lines of text that repaint only where they have changed: a quiet screen sends nothing to the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.events import Click
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget


class Canvas(Widget):
    """Shows what it is handed, one Content a line."""

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
        longest = max(len(before), len(self.lines))
        changed = [
            Region(0, y, self.size.width, 1)
            for y in range(longest)
            if y >= len(before) or y >= len(self.lines) or not _same(before[y], self.lines[y])
        ]
        if changed and self.size.width:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y >= len(self.lines):
            return Strip.blank(width, self.rich_style)
        return Visual.to_strips(self, self.lines[y], width, 1, self.visual_style, pad=True)[0]

    def on_click(self, event: Click) -> None:
        self.post_message(self.Pressed(self, event.y))


def _same(one: Content, other: Content) -> bool:
    """Content compares by text alone."""
    return one.plain == other.plain and one.spans == other.spans
