"""A question with a few answers, each with a key; escape is always no."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.content import Content
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Static


@dataclass(frozen=True, slots=True)
class Answer:
    key: str
    says: str
    value: str


class ChoiceScreen(ModalScreen[str]):
    """Its result is the value of the answer, "" for none."""

    CSS_PATH = "choice.tcss"

    def __init__(self, question: str, answers: tuple[Answer, ...], first: int = 0) -> None:
        super().__init__()
        self._question, self._answers, self._at = question, answers, first

    def compose(self) -> ComposeResult:
        yield Static(self._text(), id="choice")

    def _text(self) -> Content:
        parts: list[str | tuple[str, str]] = [(self._question, "bold"), "\n\n"]
        for index, answer in enumerate(self._answers):
            mark = ("> ", "bold") if index == self._at else "  "
            parts += [mark, (answer.key, "bold"), "  ", (answer.says, "bold" if index == self._at else ""), "\n"]
        parts.append(("\n  enter does it, esc does nothing", "dim"))
        return Content.assemble(*parts)

    def on_key(self, event: Key) -> None:
        event.stop()
        if event.key in ("escape", "q", "ctrl+c"):
            self.dismiss("")
        elif event.key == "enter":
            self.dismiss(self._answers[self._at].value)
        elif event.key in ("up", "k", "down", "j"):
            self._at = (self._at + (1 if event.key in ("down", "j") else -1)) % len(self._answers)
            self.query_one("#choice", Static).update(self._text())
        for answer in self._answers:
            if event.character == answer.key:
                self.dismiss(answer.value)
