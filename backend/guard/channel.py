"""What supervisor and guard say to each other: JSON lines over a socket pair that the guard inherits. Values only, no I/O.

Supervisor to guard: Configure (the whole list, as often as it changes: the guard finds out what is new and what has gone) and
Do. Guard to supervisor: Configured, Done, and Happened, which carries an event for the journal.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from backend.contract import events

MESSAGE_BYTES = 1 << 24  # the longest line: a list of a hundred thousand names


@dataclass(frozen=True, slots=True)
class Message:
    name: ClassVar[str]


@dataclass(frozen=True, slots=True)
class ListedName:
    """One entry as the guard needs it: `below` for `*.name`; ports with how they are checked (`tls`, `http`, `address`)."""

    name: str
    below: bool
    ports: tuple[tuple[int, str], ...]
    source: str
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Configure(Message):
    """`generation` counts up and comes back in Configured once names, sets and flows are as `entries` says."""

    name: ClassVar[str] = "configure"
    generation: int
    entries: tuple[ListedName, ...]
    upstreams: tuple[str, ...]  # "203.0.113.53", "203.0.113.53:5353", "tls://203.0.113.53"
    grace_seconds: float = 60.0  # beyond the TTL, and beyond what CoreDNS may serve from its cache
    keep_seconds: float = 4 * 3600.0  # how long an address stays open after it was last handed out
    refresh_seconds: float = 300.0
    answer_addresses: int = 64  # of one answer
    gate: bool = False  # ports checked by name are opened for the gate, not for the agent
    paused: bool = False  # as after `empty`: a guard that is started anew has not heard of it


@dataclass(frozen=True, slots=True)
class Do(Message):
    """`verb`: refresh (all plain entries now), resolve (argument: a listed name), explain (NAME or ADDRESS[:PORT]), empty
    (close every address, cut all flows, answer SERVFAIL), fill (undo empty)."""

    name: ClassVar[str] = "do"
    id: int
    verb: str
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Configured(Message):
    name: ClassVar[str] = "configured"
    generation: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Done(Message):
    name: ClassVar[str] = "done"
    id: int
    ok: bool
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Happened(Message):
    """An event, as `events.encode` writes it (its `seq` is 0: the journal numbers it)."""

    name: ClassVar[str] = "happened"
    line: str


MESSAGES: dict[str, type[Message]] = {m.name: m for m in (Configure, Do, Configured, Done, Happened)}


def encode(message: Message) -> bytes:
    return json.dumps({"message": message.name, **dataclasses.asdict(message)}, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes | str) -> Message:
    """Raises ValueError where the line is no message."""
    body = json.loads(line)
    try:
        cls = MESSAGES[body.pop("message")]
        message: Message = events.build(cls, body)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"cannot read message: {error!r}") from error
    return message
