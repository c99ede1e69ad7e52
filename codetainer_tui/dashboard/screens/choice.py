"""A question with a few answers, each with a key. Escape always declines."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.content import Content
from textual.events import Key, Resize
from textual.screen import ModalScreen
from textual.widgets import Static

from backend.contract.immutable import dataclass
from codetainer_tui.dashboard.draw.ink import wrap
from codetainer_tui.dashboard.screens.text import hanging
from codetainer_tui.words import harmless

INDENT = 5  # cells before the text of an answer: the cursor and the key
MAX_LINES = 4


@dataclass(frozen=True, slots=True)
class Answer:
    key: str
    says: str
    value: str


class ChoiceScreen(ModalScreen[str]):
    """A question at the bottom of the screen. Its result is the value of the answer, or `nothing` if declined."""

    CSS_PATH = "choice.tcss"

    def __init__(
        self, question: str, answers: tuple[Answer, ...], first: int = 0, nothing: str = "", *, lines: Sequence[str] = ()
    ) -> None:
        """`lines` explain the question; a low screen shows only the first of them."""
        super().__init__()
        self._question, self._answers, self._at, self._nothing = question, answers, first, nothing
        self._lines = lines

    def compose(self) -> ComposeResult:
        yield Static(self._text(), id="choice")

    def _text(self) -> Content:
        width, height = self.app.size
        question = wrap(self._question, max(1, width - 2), MAX_LINES)
        texts = [wrap(answer.says, max(1, width - INDENT - 2), MAX_LINES) for answer in self._answers]
        about = [part for line in self._lines for part in hanging(harmless(line), max(1, width - 2))]
        room = height - 1 - len(question) - sum(map(len, texts))  # 1: the border
        roomy = not about or len(about) + 4 <= room  # three empty lines, and the help line
        between = "\n\n" if roomy else "\n"
        if len(about) > room:
            about = [*about[: room - 1], "…"] if room > 0 else []
        parts: list[str | tuple[str, str]] = [("\n".join(question), "bold"), between]
        if about:
            parts += ["\n".join(about), between]
        for index, (answer, lines) in enumerate(zip(self._answers, texts, strict=True)):
            mark = ("> ", "bold") if index == self._at else "  "
            text = f"\n{' ' * INDENT}".join(lines)
            parts += [mark, (answer.key, "bold"), "  ", (text, "bold" if index == self._at else ""), "\n"]
        if roomy:
            parts.append(("\n  enter confirms, esc cancels", "dim"))
        return Content.assemble(*parts).rstrip()

    def on_resize(self, _: Resize) -> None:
        self.query_one("#choice", Static).update(self._text())

    def on_key(self, event: Key) -> None:
        event.stop()
        if not self.is_current:
            return  # a key that came with the one that answered
        if event.key in ("escape", "q", "ctrl+c"):
            self.dismiss(self._nothing)
        elif event.key == "enter":
            self.dismiss(self._answers[self._at].value)
        elif event.key in ("up", "k", "down", "j"):
            self._at = (self._at + (1 if event.key in ("down", "j") else -1)) % len(self._answers)
            self.query_one("#choice", Static).update(self._text())
        for answer in self._answers:
            if event.character == answer.key:
                self.dismiss(answer.value)
