"""Text to read in full: details, an explanation, help. It scrolls; any of the usual keys leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from codetainer_tui.words import harmless


class TextScreen(ModalScreen[None]):
    CSS_PATH = "text.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "back"),
        Binding("j", "scroll(1)", "down", show=False),
        Binding("k", "scroll(-1)", "up", show=False),
        Binding("y", "copy", "copy"),
    ]

    def __init__(self, title: str, lines: Sequence[str]) -> None:
        super().__init__()
        self._title, self._lines = harmless(title), tuple(harmless(line) for line in lines)

    def compose(self) -> ComposeResult:
        yield Static(Content.styled(f" {self._title}", "bold"), id="text-title")
        with VerticalScroll(id="text-body"):
            yield Static(Content("\n".join(self._lines)), id="text")
        yield Static(
            Content.assemble(" ", ("esc", "bold"), (" back   ", "dim"), ("y", "bold"), (" copy", "dim")), id="text-keys"
        )

    def on_mount(self) -> None:
        self.query_one("#text-body").focus()

    def action_scroll(self, lines: int) -> None:
        self.query_one("#text-body").scroll_relative(y=lines, animate=False)

    def action_copy(self) -> None:
        self.app.copy_to_clipboard("\n".join(self._lines))
