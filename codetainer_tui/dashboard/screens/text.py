"""A screen of text that scrolls: details, an explanation, or help."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Key, Resize
from textual.screen import ModalScreen
from textual.widgets import Static

from codetainer_tui.dashboard.draw.ink import wrap
from codetainer_tui.words import harmless

MAX_LINES = 500  # of one wrapped line
FIRST_COLUMN = re.compile(r" *\S+(?: \S+)* {2,}")


def hanging(text: str, width: int) -> list[str]:
    """Wraps a line. Its second column, after a key or a label, keeps its indentation."""
    first = FIRST_COLUMN.match(text)
    column = first.end() if first else len(text) - len(text.lstrip())
    if column > width // 2:
        column = 0
    parts = wrap(text[column:], width - column, MAX_LINES) or [""]
    return [text[:column] + parts[0], *(" " * column + part for part in parts[1:])]


@dataclass(frozen=True, slots=True)
class Offer:
    """An action that can be taken from a text. The screen closes with its `name`."""

    key: str
    label: str
    name: str


class TextScreen(ModalScreen[str | None]):
    CSS_PATH = "text.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "back"),
        Binding("j", "scroll(1)", "down", show=False),
        Binding("k", "scroll(-1)", "up", show=False),
        Binding("g", "edge(-1)", "first", show=False),
        Binding("G", "edge(1)", "last", show=False),
        Binding("y", "copy", "copy"),
    ]

    def __init__(self, title: str, lines: Sequence[str], copy: Callable[[str], str], offers: Sequence[Offer] = ()) -> None:
        """`copy` copies a text and returns the notice about it. The screen's own keys come before those of `offers`."""
        super().__init__()
        own = {key for binding in self.BINDINGS if isinstance(binding, Binding) for key in binding.key.split(",")}
        self._offers = tuple(offer for offer in offers if offer.key not in own)
        self._title, self._lines = harmless(title), tuple(harmless(line) for line in lines)
        self._copy = copy

    def compose(self) -> ComposeResult:
        yield Static(Content.styled(f" {self._title}", "bold"), id="text-title")
        with VerticalScroll(id="text-body"):
            yield Static(Content("\n".join(self._lines)), id="text")
        yield Static(keys_line("↑↓", *((offer.key, offer.label) for offer in self._offers)), id="text-keys")

    def on_mount(self) -> None:
        self.query_one("#text-body").focus()

    def on_resize(self, event: Resize) -> None:
        width = max(10, event.size.width - 6)  # padding and scrollbar
        shown = "\n".join(part for line in self._lines for part in hanging(line, width))
        self.query_one("#text", Static).update(Content(shown))

    def on_key(self, event: Key) -> None:
        for offer in self._offers if self.is_current else ():  # not for a key that came with the one that closed it
            if offer.key in (event.key, event.character):
                event.stop()
                self.dismiss(offer.name)
                return

    def action_scroll(self, lines: int) -> None:
        self.query_one("#text-body").scroll_relative(y=lines, animate=False)

    def action_edge(self, to: int) -> None:
        body = self.query_one("#text-body")
        body.scroll_end(animate=False) if to > 0 else body.scroll_home(animate=False)

    def action_copy(self) -> None:
        notice = self._copy("\n".join(self._lines))
        self.query_one("#text-keys", Static).update(Content(f" {harmless(notice)}"))


def keys_line(arrows: str, *more: tuple[str, str]) -> Content:
    """The footer. `arrows`: the keys that scroll; `more`: other keys and their labels, which come first."""
    keys = (*more, ("esc", "back"), ("y", "copy"), (arrows, "scroll"))
    return Content.assemble(*(part for key, label in keys for part in (" ", (key, "bold"), (f" {label}  ", "dim")))).rstrip()
