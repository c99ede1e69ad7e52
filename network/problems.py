"""The error for text from the operator: all problems at once."""

from __future__ import annotations

from collections.abc import Iterable


class Problems(ValueError):
    """All problems of a text, one line each: the place, the problem, and what was expected. No line contains a secret."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("; ".join(self.problems))
