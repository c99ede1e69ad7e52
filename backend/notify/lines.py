"""Lines of text for a notification: bounded, printable, and without what a service takes for a mention or a tag. Pure."""

from __future__ import annotations

from collections.abc import Iterable

MAX_REASON = 300  # characters
MAX_LINES, MAX_COLUMNS = 12, 160  # of the agent's text


def agents_text(lines: Iterable[str]) -> tuple[str, ...]:
    """The last lines of the agent's text, bounded. Services cannot take any part of them for a mention or a tag."""
    return tuple(cleaned for line in [*lines][-MAX_LINES:] if (cleaned := clean(line, MAX_COLUMNS)))


def short(text: str) -> str:
    return clean(text).rstrip(". ")


def clean(text: str, most: int = MAX_REASON) -> str:
    """One line without control characters. `<`, `>` and `@` have a meaning at Slack and Discord."""
    printable = "".join(character if character.isprintable() else " " for character in text[: 4 * most]).strip()
    shortened = printable if len(printable) <= most else printable[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return shortened.replace("<", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}").replace(
        ">", "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"
    ).replace("@", "@\N{ZERO WIDTH SPACE}")  # fmt: skip
