"""Reports that are not repeated."""

from __future__ import annotations


class Once:
    """What was said lately is not said again. Only so much is remembered: what there is to say is the agent's text."""

    MAX = 32

    def __init__(self) -> None:
        self._said: dict[str, None] = {}

    def is_new(self, text: str) -> bool:
        known = text in self._said
        self._said.pop(text, None)
        self._said[text] = None  # the latest last
        if len(self._said) > self.MAX:
            del self._said[next(iter(self._said))]
        return not known

    def clear(self) -> None:
        self._said.clear()
