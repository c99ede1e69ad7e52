"""Text with styles, cut and padded by terminal cells. Foreign text is never read as markup: `Content` is made from parts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from codetainer_tui.view import Tone


class Colours(StrEnum):
    """The terminal's own sixteen, or none (NO_COLOR, https://no-color.org)."""

    SIXTEEN = "sixteen"
    NONE = "none"


_STYLES = {
    Colours.SIXTEEN: {
        Tone.PLAIN: "", Tone.DIM: "dim", Tone.GOOD: "bold ansi_green", Tone.WARN: "bold ansi_yellow", Tone.BAD: "bold ansi_red",
    },
    Colours.NONE: {Tone.PLAIN: "", Tone.DIM: "dim", Tone.GOOD: "bold", Tone.WARN: "bold", Tone.BAD: "bold reverse"},
}  # fmt: skip
Part = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Ink:
    """Says which style a tone has on this terminal."""

    colours: Colours = Colours.SIXTEEN

    def style(self, tone: Tone) -> str:
        return _STYLES[self.colours][tone]

    @property
    def cursor(self) -> str:
        """The one accent there is."""
        return "bold ansi_cyan" if self.colours is Colours.SIXTEEN else "bold"


def fit(text: str, width: int) -> str:
    """The text in exactly `width` cells: padded, or cut with an ellipsis."""
    if width <= 0:
        return ""
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…"
    return set_cell_size(text, width)


def cut(text: str, width: int) -> str:
    """As `fit`, without the padding."""
    return fit(text, width) if cell_len(text) > width else text


def right(text: str, width: int) -> str:
    return " " * max(0, width - cell_len(text)) + cut(text, width)


def line(*parts: Part) -> Content:
    return Content.assemble(*[(text, style) for text, style in parts if text])


def wrap(text: str, width: int, most: int) -> list[str]:
    """Words over several lines, at most so many; the last ends in an ellipsis where that is not all."""
    found: list[str] = []
    rest = text.strip()
    while rest and width > 0:
        if cell_len(rest) <= width:
            found.append(rest)
            break
        if len(found) == most - 1:
            found.append(fit(rest, width))
            break
        head = set_cell_size(rest, width)
        space = head.rfind(" ")
        taken = space if space > width // 3 else len(head.rstrip()) or len(head)
        found.append(rest[:taken].rstrip())
        rest = rest[taken:].lstrip()
    return found
