"""The journal as text. It follows new lines until the operator scrolls up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Log, Static

from codetainer_tui.dashboard.screens.text import keys_line
from codetainer_tui.words import harmless

MAX_LINES = 5000
DRAIN_SECONDS = 0.25


class LogScreen(ModalScreen[None]):
    """Shows `lines`, then every line that is appended to `coming`."""

    CSS_PATH = "log.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,l", "dismiss", "back"),
        Binding("j", "scroll(1)", "down", show=False),
        Binding("k", "scroll(-1)", "up", show=False),
        Binding("g", "edge(-1)", "first", show=False),
        Binding("G", "edge(1)", "last", show=False),
        Binding("y", "copy", "copy"),
    ]

    def __init__(self, lines: list[str], coming: deque[str], copy: Callable[[str], str]) -> None:
        """`copy` copies a text and returns the notice about it."""
        super().__init__()
        self._first, self._coming, self._copy = lines, coming, copy

    def compose(self) -> ComposeResult:
        yield Static(Content.styled(" Log", "bold"), id="log-title")
        yield Log(max_lines=MAX_LINES, auto_scroll=True, id="log")
        yield Static(keys_line("↑↓←→"), id="log-keys")

    def on_mount(self) -> None:
        log = self.query_one(Log)
        log.write_lines(self._first)
        log.focus()
        # One write for many lines: a write per line takes a whole core at a thousand lines a second.
        self.set_interval(DRAIN_SECONDS, self._drain)

    def action_scroll(self, lines: int) -> None:
        self.query_one(Log).scroll_relative(y=lines, animate=False)

    def action_edge(self, to: int) -> None:
        log = self.query_one(Log)
        log.scroll_end(animate=False) if to > 0 else log.scroll_home(animate=False)

    def action_copy(self) -> None:
        notice = self._copy("\n".join(self.query_one(Log).lines))
        self.query_one("#log-keys", Static).update(Content(f" {harmless(notice)}"))

    def _drain(self) -> None:
        if self._coming:
            lines = list(self._coming)
            self._coming.clear()
            self.query_one(Log).write_lines(lines)
