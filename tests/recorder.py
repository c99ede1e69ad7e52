"""An observer of commands that records its calls."""

from __future__ import annotations

from backend.commands import Command, Outcome


class Recorder:
    def __init__(self) -> None:
        self.began: list[Command] = []
        self.done: list[tuple[Command, Outcome, float]] = []
        self.lines: list[tuple[str, str]] = []

    def started(self, command: Command) -> None:
        self.began.append(command)

    def ended(self, command: Command, outcome: Outcome, seconds: float) -> None:
        self.done.append((command, outcome, seconds))

    def relay(self, line: str, source: str) -> None:
        self.lines.append((line, source))

    @property
    def last(self) -> tuple[Command, Outcome]:
        """The last command and its outcome. Fails if a command that began has not ended."""
        assert [id(command) for command, _, _ in self.done] == [id(command) for command in self.began]
        return self.done[-1][0], self.done[-1][1]
