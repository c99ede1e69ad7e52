"""The journal as text, as it grows. Follows its end until the operator scrolls up."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Log, Static

MOST_LINES = 5000
DRAIN_SECONDS = 0.25


class LogScreen(ModalScreen[None]):
    """`lines` is what has been said so far; whoever appends to `coming` says more."""

    CSS_PATH = "log.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,l", "dismiss", "back")]

    def __init__(self, lines: list[str], coming: deque[str]) -> None:
        super().__init__()
        self._first, self._coming = lines, coming

    def compose(self) -> ComposeResult:
        yield Static(Content.styled(" Log", "bold"), id="log-title")
        yield Log(max_lines=MOST_LINES, auto_scroll=True, id="log")
        yield Static(Content.assemble(" ", ("esc", "bold"), (" back", "dim")), id="log-keys")

    def on_mount(self) -> None:
        log = self.query_one(Log)
        log.write_lines(self._first)
        log.focus()
        # Many lines in one write: a thousand messages a second would take a whole core.
        self.set_interval(DRAIN_SECONDS, self._drain)

    def _drain(self) -> None:
        if self._coming:
            lines = list(self._coming)
            self._coming.clear()
            self.query_one(Log).write_lines(lines)
