"""What is wrong with a text of the operator's: all of it at once."""

from __future__ import annotations

from collections.abc import Iterable


class Problems(ValueError):
    """Everything that is wrong, a line each: what, where, and what was expected. No line holds a secret."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("; ".join(self.problems))
