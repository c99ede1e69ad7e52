"""Reports that are not repeated."""

from __future__ import annotations


class Once:
    """Suppresses reports that were made recently. Remembers at most MAX, because the agent can write their text."""

    MAX = 32

    def __init__(self) -> None:
        self._recent: dict[str, None] = {}

    def is_new(self, text: str) -> bool:
        is_known = text in self._recent
        self._recent.pop(text, None)
        self._recent[text] = None  # the latest last
        if len(self._recent) > self.MAX:
            del self._recent[next(iter(self._recent))]
        return not is_known

    def clear(self) -> None:
        self._recent.clear()
