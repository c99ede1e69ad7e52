"""A question with a few answers, each with a key; escape is always no."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.content import Content
from textual.events import Key, Resize
from textual.screen import ModalScreen
from textual.widgets import Static

from codetainer_tui.dashboard.draw.ink import wrap

INDENT = 5  # what an answer says begins behind the cursor and its key, on each of its lines
MOST_LINES = 4


@dataclass(frozen=True, slots=True)
class Answer:
    key: str
    says: str
    value: str


class ChoiceScreen(ModalScreen[str]):
    """Its result is the value of the answer, `nothing` for none."""

    CSS_PATH = "choice.tcss"

    def __init__(self, question: str, answers: tuple[Answer, ...], first: int = 0, nothing: str = "") -> None:
        super().__init__()
        self._question, self._answers, self._at, self._nothing = question, answers, first, nothing

    def compose(self) -> ComposeResult:
        yield Static(self._text(), id="choice")

    def _text(self) -> Content:
        question = "\n".join(wrap(self._question, max(1, self.app.size.width - 2), MOST_LINES))
        parts: list[str | tuple[str, str]] = [(question, "bold"), "\n\n"]
        for index, answer in enumerate(self._answers):
            mark = ("> ", "bold") if index == self._at else "  "
            said = f"\n{' ' * INDENT}".join(wrap(answer.says, max(1, self.app.size.width - INDENT - 2), MOST_LINES))
            parts += [mark, (answer.key, "bold"), "  ", (said, "bold" if index == self._at else ""), "\n"]
        parts.append(("\n  enter does it, esc does nothing", "dim"))
        return Content.assemble(*parts)

    def on_resize(self, _: Resize) -> None:
        self.query_one("#choice", Static).update(self._text())

    def on_key(self, event: Key) -> None:
        event.stop()
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
