"""What Claude Code's screen shows where it takes input: its prompt, empty or not, or a question about a limit. Pure.

Seen with 2.1.197 and 2.1.332. The prompt is a line that begins with `❯` and a no-break space, between two rules; the
terminal's cursor stays behind the two. Text that Claude suggests there is dim. Messages and choices begin with `❯` and a space.
At a limit, 2.1.197 asks what to do. 2.1.332 continues by itself one or two minutes after its end, three times at most, and then
asks.

Everything on the screen is the agent's words: what is read here only decides whether something is typed, as the agent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from backend.contract.immutable import dataclass

PROMPT = "❯\N{NO-BREAK SPACE}"
PROMPT_CELLS = 2
RULE = re.compile(r"[─━╌]{10,}")
SEQUENCE = re.compile(r"\x1b\[([0-9;:]*)([A-Za-z])|\x1b[\]P_^X][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.")
LIMIT_QUESTION = "What do you want to do?"
WAIT_OPTION = re.compile(r"\W*(\d)\. Stop and wait for limit to reset")
CONTINUES = re.compile(r"Continuing (automatically|shortly)\b.*\bEsc to cancel")
# Lines that change although nothing happens: the time that Claude has worked, and tips.
RESTLESS = re.compile(r"…|esc to interrupt|\bTip: ")
BUSY = re.compile(r"[·✢✳✶✻✽*] [^\W\d]+(-[^\W\d]+)?…")
BUSY_LINES = 12  # from the bottom, without empty ones
DIM, BRIGHT = "2", ("", "0", "22")


class Shown(StrEnum):
    EMPTY = "an empty prompt"
    TYPED = "text is typed at Claude's prompt"
    LIMIT = "Claude's question about the limit"
    OTHER = "Claude's pane does not show its prompt"


@dataclass(frozen=True, slots=True)
class Look:
    """A look at the agent's pane. `lines` has the screen with its colours.

    `activity` is when an operator last pressed a key (seconds since the epoch), 0 if none is there. `scrolled`: the pane shows
    its history, and keys would go there. `numbers` is tmux's answer, which changes when somebody types.
    """

    lines: tuple[str, ...]
    cursor: tuple[int, int] = (0, 0)  # column, row
    activity: int = 0
    scrolled: bool = False
    numbers: str = ""

    @property
    def plain(self) -> tuple[str, ...]:
        """The lines without colours."""
        return tuple(SEQUENCE.sub("", line) for line in self.lines)

    @property
    def shown(self) -> Shown:
        plain = self.plain
        if any(LIMIT_QUESTION in line for line in plain) and wait_option(plain):
            return Shown.LIMIT
        column, row = self.cursor
        if not 0 < row < len(plain) - 1 or not plain[row].startswith(PROMPT) or self.scrolled:
            return Shown.OTHER
        if not RULE.search(plain[row - 1]):
            return Shown.OTHER
        empty = column == PROMPT_CELLS and RULE.search(plain[row + 1]) and not typed(self.lines[row])
        return Shown.EMPTY if empty else Shown.TYPED

    @property
    def continues(self) -> bool:
        """True if Claude says that it continues by itself."""
        return any(CONTINUES.search(line) for line in self.plain)


def wait_option(lines: Sequence[str]) -> str:
    """The key that answers Claude's question about a limit with waiting, "" if the question is not asked."""
    return next((match[1] for line in lines if (match := WAIT_OPTION.match(line))), "")


def typed(line: str) -> str:
    """The text at the prompt that somebody has typed: what is not dim. `line` is the prompt's, with its colours.

    The first cell is drawn as a cursor, so it is not dim even if the text is a suggestion. It counts if no dim text follows.
    """
    cells: list[tuple[str, bool]] = []
    dim, end = False, 0
    for match in SEQUENCE.finditer(line):
        cells += ((character, dim) for character in line[end : match.start()])
        end = match.end()
        if match[2] == "m":
            for code in re.sub(r"[34]8[;:](2([;:]\d+){3}|5[;:]\d+)", "39", match[1]).replace(":", ";").split(";"):
                dim = True if code == DIM else False if code in BRIGHT else dim
    cells += ((character, dim) for character in line[end:])
    text = cells[PROMPT_CELLS:]
    first, rest = text[:1], text[1:]
    loud = "".join(character for character, is_dim in rest if not is_dim).strip()
    suggests = any(is_dim and not character.isspace() for character, is_dim in rest)
    return loud if suggests else "".join(character for character, _ in first).strip() + loud


def is_busy(lines: Sequence[str]) -> bool:
    """True if the screen says that a turn goes on: by a line with a star and a verb, and by the key that interrupts it."""
    last = [line for line in lines if line.strip()][-BUSY_LINES:]
    return any(BUSY.match(line) or "· esc to interrupt" in line for line in last)


def restful(lines: Sequence[str]) -> str:
    """The screen without what changes although nothing happens, to be compared with a later look."""
    return "\n".join(re.sub(r"\d+", "", line) for line in lines if not RESTLESS.search(line))
