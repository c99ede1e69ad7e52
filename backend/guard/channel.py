"""What supervisor and guard say to each other: JSON lines over a socket pair that the guard inherits. Values only, no I/O.

Supervisor to guard: Configure (the whole allowlist, whenever it changes: the guard finds out what is new and what has gone) and
requests. Guard to supervisor: Configured and Done, each with the id of what it answers, and Happened, an event for the journal.
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


@dataclass(frozen=True, slots=True)
class Configure(Message):
    """Answered by Configured once names, sets and flows are as `entries` says."""

    name: ClassVar[str] = "configure"
    entries: tuple[ListedName, ...]
    upstreams: tuple[str, ...]  # "203.0.113.53", "203.0.113.53:5353", "tls://203.0.113.53"
    grace_seconds: float = 60.0  # beyond the TTL, and beyond what CoreDNS may serve from its cache
    keep_seconds: float = 4 * 3600.0  # how long an address stays open after it was last handed out
    refresh_seconds: float = 300.0
    answer_addresses: int = 64  # of one answer
    gate: bool = False  # ports checked by name are opened for the gate, not for the agent
    paused: bool = False  # every address is closed, all flows are cut, and every query gets SERVFAIL
    id: int = 0


@dataclass(frozen=True, slots=True)
class Configured(Message):
    """`error`: why the configuration is not in force; "" if it is."""

    name: ClassVar[str] = "configured"
    id: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Request(Message):
    """Answered by Done. Whoever sends it sets `id`."""

    name: ClassVar[str]
    id: int = field(default=0, kw_only=True)


@dataclass(frozen=True, slots=True)
class Ping(Request):
    """Are you there?"""

    name: ClassVar[str] = "ping"


@dataclass(frozen=True, slots=True)
class Refresh(Request):
    """Resolve every plain entry now. Done.data: resolved, failed."""

    name: ClassVar[str] = "refresh"


@dataclass(frozen=True, slots=True)
class Resolve(Request):
    """Resolve a listed name now and open its addresses."""

    name: ClassVar[str] = "resolve"
    host: str


@dataclass(frozen=True, slots=True)
class Explain(Request):
    """What would happen to NAME or ADDRESS[:PORT], and which entry decides."""

    name: ClassVar[str] = "explain"
    target: str


@dataclass(frozen=True, slots=True)
class Done(Message):
    """`text` says what came of a request, `data` the same for programs."""

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


MESSAGES: dict[str, type[Message]] = {
    m.name: m for m in (Configure, Ping, Refresh, Resolve, Explain, Configured, Done, Happened)
}


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
