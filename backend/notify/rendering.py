"""The text of a notification: title and body for one or several messages. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from backend.contract.immutable import dataclass
from backend.notify.messages import Message, Urgency

MAX_TITLE = 150  # characters
MAX_BODY = 1800  # characters; Discord accepts 2000, ntfy 4096 bytes
TYPES = {Urgency.LOW: "info", Urgency.NORMAL: "info", Urgency.HIGH: "warning", Urgency.URGENT: "failure"}
PRIORITIES = {Urgency.LOW: "low", Urgency.NORMAL: "normal", Urgency.HIGH: "high", Urgency.URGENT: "max"}
NO_NAME = "codetainer"


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification. `type` and `priority` are words of the library, and of ntfy."""

    title: str
    body: str
    type: str
    priority: str


def notification(
    messages: Sequence[Message], name: str, redact: Callable[[str], str], *, head: str = "", lost: int = 0
) -> Notification:
    """One notification for all messages, the most urgent in its title.

    `head` is the hash of the journal's last line: kept outside, it shows whether the journal was changed afterwards. `lost`
    counts messages that were given up.
    """
    first = max(messages, key=lambda message: (message.urgency, message.at))
    more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    dropped = [f"{lost} older messages were dropped while this service could not be reached."] if lost else []
    lines = [*(line for message in messages for line in _lines(message)), *dropped]
    footer = f"sandbox {name or NO_NAME}" + (f", journal {head}" if head else "")
    most = MAX_BODY - len(footer) - 2
    text = redact("\n".join(lines))
    if len(text) > most and len(messages) > 1:
        text = redact("\n".join([*dropped, *_urgent_first(messages)]))
    body = _cut(text, most)
    title = _cut(redact(f"{name or NO_NAME}: {first.text}"), MAX_TITLE - len(more)) + more
    return Notification(title, f"{body}\n\n{redact(footer)}", TYPES[first.urgency], PRIORITIES[first.urgency])


def clock(at: float) -> str:
    """A time in UTC, because the reader may be anywhere."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def _lines(message: Message) -> list[str]:
    return [f"{clock(message.at)}  {message.words}", *(f"  {detail}" for detail in message.details)]


def _urgent_first(messages: Sequence[Message]) -> list[str]:
    """The lines of messages that are too long together. Details come last: the agent's text must not displace a message."""
    each = [_lines(message) for message in sorted(messages, key=lambda message: (-message.urgency, -message.at))]
    return [*(lines[0] for lines in each), *(line for lines in each for line in lines[1:])]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
