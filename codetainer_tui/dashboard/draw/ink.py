"""Styled text, cut and padded by terminal cells. `Content` is assembled from parts, so no text is parsed as markup."""

from __future__ import annotations

from enum import StrEnum

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from backend.contract.immutable import dataclass
from codetainer_tui.view import Tone


class Colours(StrEnum):
    """The terminal's sixteen colours, or none (NO_COLOR, https://no-color.org)."""

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
    """Maps tones to styles for this terminal."""

    colours: Colours = Colours.SIXTEEN

    def style(self, tone: Tone) -> str:
        return _STYLES[self.colours][tone]

    @property
    def cursor(self) -> str:
        """The style of the cursor, the only accent."""
        return "bold ansi_cyan" if self.colours is Colours.SIXTEEN else "bold"


def fit(text: str, width: int) -> str:
    """Returns the text in exactly `width` cells: padded, or cut with an ellipsis."""
    if width <= 0:
        return ""
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…"
    return set_cell_size(text, width)


def cut(text: str, width: int) -> str:
    """Returns the text in at most `width` cells."""
    return fit(text, width) if cell_len(text) > width else text


def right(text: str, width: int) -> str:
    return " " * max(0, width - cell_len(text)) + cut(text, width)


def line(*parts: Part) -> Content:
    return Content.assemble(*[(text, style) for text, style in parts if text])


def wrap(text: str, width: int, most: int) -> list[str]:
    """Wraps text at spaces into at most `most` lines. If it is cut, the last line ends in an ellipsis."""
    lines: list[str] = []
    rest = text.strip()
    while rest and width > 0:
        if cell_len(rest) <= width:
            lines.append(rest)
            break
        if len(lines) == most - 1:
            lines.append(fit(rest, width))
            break
        head = set_cell_size(rest, width)
        space = head.rfind(" ")
        taken = space if space > width // 3 else len(head.rstrip()) or len(head)
        lines.append(rest[:taken].rstrip())
        rest = rest[taken:].lstrip()
    return lines
