"""The known problems with Claude Code's settings files, each for as long as its file stays as it is.

Two sources: the repository's settings that stand in the way (repository_settings.py), and Claude Code's own words about invalid
files (beginning.py). All files and words are the agent's: display them, do not trust them.
"""

from __future__ import annotations

from pathlib import Path

from backend.contract.paths import Paths
from backend.session import repository_settings
from backend.session.reports import read_report
from backend.session.repository_settings import FILES, MAX_BYTES
from backend.settings.values import Override
from backend.system import AGENT

MAX_ABOUT = 600  # characters of Claude's words about invalid settings


class Problems:
    """The problems of one sandbox. `changed` is true after `add`, until `lines` is called."""

    def __init__(self, paths: Paths, override: Override) -> None:
        self._paths, self._override = paths, override
        self._invalid: dict[str, dict[Path, str]] = {}  # Claude's words, and the files that they are about with their texts
        self.changed = False

    def add(self, about: str) -> None:
        """Takes Claude's words about invalid files, which it ignores. Words that name no known file are about any of them."""
        files = (*(self._paths.repository / name for name in FILES), self._paths.home / ".claude/settings.json")
        named = [file for file in files if str(file) in about] or files
        self._invalid[about[:MAX_ABOUT]] = {file: _text(file) for file in named}
        self.changed = True

    def lines(self) -> tuple[str, ...]:
        """The lines for the operator. Leaves out words about files that have changed since."""
        self.changed = False
        for about, files in list(self._invalid.items()):
            if any(_text(file) != text for file, text in files.items()):
                del self._invalid[about]
        found = repository_settings.hindrances(repository_settings.read(self._paths))
        words = (f"Claude Code continues without invalid settings; in its words: {about}" for about in self._invalid)
        return (*repository_settings.described(found, self._override), *words)


def _text(file: Path) -> str:
    return read_report(file, AGENT, MAX_BYTES)
