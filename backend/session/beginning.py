"""The time between a prompt and the first turn, in which Claude Code may ask something that nobody is there to answer.

The questions about settings files are answered here: Claude Code asks them for every invalid settings file, of the repository's
too, and no setting prevents that (2.1.197 and 2.1.332). Boot's settings answer the other known questions in advance
(backend/boot/steps/claude.py). Any other question is shown to the operator.

Everything on the screen is the agent's words: display it, do not trust it.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.contract.paths import Paths

PATIENCE = 20.0  # seconds without a turn after which the operator is told
LOOK_SECONDS = 10.0  # between two looks at a question that is shown already
MAX_LINES = 12
MAX_COLUMNS = 160
MAX_ANSWERS = 5
MAX_ENTRIES = 100  # of a folder of conversations
# Titles of the questions about settings files, and their answers. The number of an answer differs between questions.
SETTINGS_QUESTION = re.compile(r"Settings (Error|Warning)")
OPTION = re.compile(r"\W*\d\. ")
TREE = re.compile(r"[^\w/]*")  # the lines with which Claude Code draws a tree
CONTINUE = re.compile(r"\W*(\d)\. Continue( without these settings)?")


@dataclass(frozen=True, slots=True)
class Answer:
    """A key that answers a question, with the question's title, and the question itself in Claude's words."""

    title: str
    key: str
    about: str


@dataclass(slots=True)
class Beginning:
    """The wait for a first turn. Times count only while the session runs: a frozen agent cannot begin."""

    waited: float = 0.0
    looked: float = 0.0  # `waited` at the last look that found a question
    screen: tuple[str, ...] = ()
    answered: int = 0

    @property
    def late(self) -> bool:
        return self.waited >= PATIENCE

    @property
    def due(self) -> bool:
        """True if it is time to look at the screen."""
        return not self.screen or self.waited - self.looked >= LOOK_SECONDS

    def saw(self, screen: Sequence[str]) -> Answer | None:
        """Takes a look at the screen's lines. Returns the answer to a known question, None if there is none."""
        answer = known(screen) if self.answered < MAX_ANSWERS else None
        if answer is not None:
            self.answered += 1
            return answer
        if self.late:
            self.screen, self.looked = tuple(screen[-MAX_LINES:]), self.waited
        return None


def cleaned(text: str) -> tuple[str, ...]:
    """The lines of a screen that say something, without control characters and frames."""
    lines = []
    for line in text.splitlines():
        printable = "".join(character if character.isprintable() else " " for character in line).rstrip()
        if any(character.isalnum() for character in printable):
            lines.append(printable[:MAX_COLUMNS])
    return tuple(lines)


def known(screen: Sequence[str]) -> Answer | None:
    """The answer to a question about settings files: Claude is to continue without them."""
    for number, line in enumerate(screen):
        if not (title := SETTINGS_QUESTION.fullmatch(line.strip())):
            continue
        about: list[str] = []
        for text in screen[number + 1 :]:
            if option := CONTINUE.fullmatch(text.strip()):
                return Answer(title[0], option[1], " ".join(about))
            if not OPTION.match(text):
                about.append(TREE.sub("", text, count=1).strip())
    return None


def has_conversation(paths: Paths, folder: Path) -> bool:
    """True if Claude Code has stored a conversation about the folder, which it does when a turn begins.

    Call it with the agent's rights: the agent may have put links there.
    """
    name = re.sub(r"[^A-Za-z0-9]", "-", str(folder))
    try:
        with os.scandir(paths.home / ".claude/projects" / name) as entries:
            return any(entry.name.endswith(".jsonl") for entry in itertools.islice(entries, MAX_ENTRIES))
    except OSError:
        return False
