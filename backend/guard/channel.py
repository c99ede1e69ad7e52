"""Messages between supervisor and guard: JSON lines over a socket pair that the guard inherits. Values only, no I/O.

Supervisor to guard: Configure (everything), Amend (the entries that differ from the last configuration) and requests. Guard to
supervisor: Configured and Done, each with the id of the message that it answers; Happened, an event for the journal; and Found,
a name that a learning run could open.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from backend.contract import events
from backend.contract.immutable import dataclass

MESSAGE_BYTES = 1 << 24  # the longest line: an allowlist of 100,000 names
MAX_AMENDED = 100  # entries; if more differ, the whole allowlist is sent


@dataclass(frozen=True, slots=True)
class Message:
    name: ClassVar[str]


@dataclass(frozen=True, slots=True)
class ListedName:
    """An entry of the allowlist. `below` is True for `*.name`; each port has its check (`tls`, `http`, `address`)."""

    name: str
    below: bool
    ports: tuple[tuple[int, str], ...]
    source: str

    @property
    def pattern(self) -> str:
        return f"*.{self.name}" if self.below else self.name


@dataclass(frozen=True, slots=True)
class Configure(Message):
    """A new configuration. The guard answers with Configured when DNS, sets and flows match it."""

    name: ClassVar[str] = "configure"
    entries: tuple[ListedName, ...]
    upstreams: tuple[str, ...]  # "203.0.113.53", "203.0.113.53:5353", "tls://203.0.113.53"
    grace_seconds: float = 60.0  # added to the longest of lease, TTL and CoreDNS's cache time
    keep_seconds: float = 4 * 3600.0  # the lease: how long an address stays open after DNS last returned it
    refresh_seconds: float = 300.0
    answer_addresses: int = 64  # maximum in one answer
    gate: bool = False  # open ports that are checked by name for the gate, not for the agent
    paused: bool = False  # close every address, cut all flows, answer every query with SERVFAIL
    learning: bool = False  # report names that are public and not listed with Found, and hold their answers until they are
    never: tuple[str, ...] = ()  # names that a learning run must not open
    id: int = 0


@dataclass(frozen=True, slots=True)
class Amend(Message):
    """Changes some entries of configuration `base`, so that a grant does not depend on the length of the allowlist.

    `removed` has patterns. The guard answers with Configured; with an error if `base` is not the configuration in force.
    """

    name: ClassVar[str] = "amend"
    base: int
    entries: tuple[ListedName, ...] = ()
    removed: tuple[str, ...] = ()
    id: int = 0


@dataclass(frozen=True, slots=True)
class Configured(Message):
    """The answer to Configure and Amend. `error` is the reason why the configuration is not in force, or ""."""

    name: ClassVar[str] = "configured"
    id: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Request(Message):
    """A request that is answered by Done. The sender sets `id`."""

    name: ClassVar[str]
    id: int = field(default=0, kw_only=True)


@dataclass(frozen=True, slots=True)
class Ping(Request):
    """Checks that the guard answers."""

    name: ClassVar[str] = "ping"


@dataclass(frozen=True, slots=True)
class Refresh(Request):
    """Resolves every entry without a wildcard now. Done.data: resolved, failed, left (counts).

    With `most` > 0 it resolves only so many, and the others (`left`) after its answer, more slowly.
    """

    name: ClassVar[str] = "refresh"
    most: int = 0


@dataclass(frozen=True, slots=True)
class Resolve(Request):
    """Resolves a listed name now and opens its addresses. Done.text: the addresses, or the reason why there are none."""

    name: ClassVar[str] = "resolve"
    host: str


@dataclass(frozen=True, slots=True)
class Explain(Request):
    """Asks what is open of a name or an IPv4 address, and a port (0: any). Done.data as in process.py; changes nothing."""

    name: ClassVar[str] = "explain"
    host: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class Unresolved(Request):
    """Asks which entries have no open address. Done.data: name -> the reason, for entries without a wildcard."""

    name: ClassVar[str] = "unresolved"


@dataclass(frozen=True, slots=True)
class Done(Message):
    """The result of a request: `text` for people, `data` for programs."""

    name: ClassVar[str] = "done"
    id: int
    ok: bool
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Happened(Message):
    """An event, encoded by `events.encode` (with `seq` 0: the journal numbers it)."""

    name: ClassVar[str] = "happened"
    line: str


@dataclass(frozen=True, slots=True)
class Found(Message):
    """In a learning run: a program waits for the address of a name that has a public one and is not listed."""

    name: ClassVar[str] = "found"
    host: str


MESSAGES: dict[str, type[Message]] = {
    m.name: m for m in (Configure, Amend, Ping, Refresh, Resolve, Explain, Unresolved, Configured, Done, Happened, Found)
}


def amendment(before: Configure, now: Configure) -> Amend | None:
    """Returns the message that turns one configuration into another. None if more than some entries differ, or nothing."""
    if dataclasses.replace(before, entries=(), id=0) != dataclasses.replace(now, entries=(), id=0):
        return None
    old = {entry.pattern: entry for entry in before.entries}
    entries = tuple(entry for entry in now.entries if old.pop(entry.pattern, None) != entry)
    if not 0 < len(entries) + len(old) <= MAX_AMENDED:
        return None
    return Amend(before.id, entries, tuple(old))


def encode(message: Message) -> bytes:
    return json.dumps({"message": message.name, **dataclasses.asdict(message)}, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes | str) -> Message:
    """Parses a line. Raises ValueError if it is not a message."""
    body = json.loads(line)
    try:
        cls = MESSAGES[body.pop("message")]
        message: Message = events.build(cls, body)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"cannot read message: {error!r}") from error
    return message
