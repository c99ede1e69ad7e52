"""Requests to a running sandbox, as they cross the control socket: one JSON object a line each way.

Only root may ask (the server looks at the peer's credentials). A request is answered by one Reply, when its effect is there.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from backend.contract.events import RepositoryWork, build


@dataclass(frozen=True, slots=True)
class Request:
    verb: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Allow(Request):
    """Open a name now, beside what is open already. `ports` as in domains.conf ("443,8443/tls"), "" for the default.

    `seconds` None: until it is revoked; 0 is refused. `yes` says that a broad wildcard, or a name without an address, is meant.
    """

    verb: ClassVar[str] = "allow"
    name: str
    ports: str = ""
    seconds: float | None = None
    yes: bool = False


@dataclass(frozen=True, slots=True)
class Revoke(Request):
    """Close at once what was allowed by hand of a name (`ports` "": all of it), and cut the flows it carries.

    `data["open"]` of the reply says what stays open of the name all the same: objects with name, ports, source.
    """

    verb: ClassVar[str] = "revoke"
    name: str
    ports: str = ""


@dataclass(frozen=True, slots=True)
class ListAllowed(Request):
    """Every open name and where it comes from: `data["entries"]`, objects with name, ports, source, until.

    `until` is None for an entry of the list, else seconds since the epoch, 0 for "until it is revoked".
    """

    verb: ClassVar[str] = "allowed"


@dataclass(frozen=True, slots=True)
class Refresh(Request):
    """Resolve every listed name again, now."""

    verb: ClassVar[str] = "refresh"


@dataclass(frozen=True, slots=True)
class Explain(Request):
    """What would happen to NAME or ADDRESS[:PORT], and which line of which file decides."""

    verb: ClassVar[str] = "explain"
    target: str


@dataclass(frozen=True, slots=True)
class Mute(Request):
    """Count refusals of a name without showing them. Serious ones are shown all the same.

    `seconds` None: until `off`, which shows them again.
    """

    verb: ClassVar[str] = "mute"
    name: str
    seconds: float | None = None
    off: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledge(Request):
    """Serious refusals that had come `until` then (seconds since the epoch) have been seen by the operator.

    `key` as in events.Acknowledged: one kind, those of one reason, or "" for all.
    """

    verb: ClassVar[str] = "acknowledge"
    until: float
    key: str = ""


@dataclass(frozen=True, slots=True)
class Freeze(Request):
    verb: ClassVar[str] = "freeze"


@dataclass(frozen=True, slots=True)
class Thaw(Request):
    verb: ClassVar[str] = "thaw"


@dataclass(frozen=True, slots=True)
class Retry(Request):
    """Boot again after a HALT: the steps that did not end well, and all that need them."""

    verb: ClassVar[str] = "retry"


@dataclass(frozen=True, slots=True)
class RestartSession(Request):
    verb: ClassVar[str] = "restart-session"


@dataclass(frozen=True, slots=True)
class CountWork(Request):
    """Count what exists only here, now. The reply's data is a WorkAtStake; also when it could not be counted."""

    verb: ClassVar[str] = "work"


@dataclass(frozen=True, slots=True)
class SaveWork(Request):
    """Push it to `wip/` now, and once more when the sandbox stops. `data`: branch, left_out."""

    verb: ClassVar[str] = "save"


@dataclass(frozen=True, slots=True)
class DropWork(Request):
    """Do not save when the sandbox stops, whatever CODETAINER_AUTOSAVE says."""

    verb: ClassVar[str] = "drop"


VERBS: dict[str, type[Request]] = {
    request.verb: request
    for request in (
        Allow,
        Revoke,
        ListAllowed,
        Refresh,
        Explain,
        Mute,
        Acknowledge,
        Freeze,
        Thaw,
        Retry,
        RestartSession,
        CountWork,
        SaveWork,
        DropWork,
    )
}


@dataclass(frozen=True, slots=True)
class Reply:
    """`text` is for the operator, `hint` what to do where it was refused, `data` for programs."""

    ok: bool
    text: str = ""
    hint: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkAtStake:
    """What a stop of the sandbox would lose. Everything in `repositories` is the agent's word: shown, never trusted.

    `at`: when it was counted (seconds since the epoch), 0 for never; `problem`: why it was not counted now. `cannot_save`: why
    it cannot be pushed to `branch`. `saves`: whether a stop pushes it.
    """

    repositories: tuple[RepositoryWork, ...] = ()
    at: float = 0.0
    problem: str = ""
    branch: str = ""
    cannot_save: str = ""
    saves: bool = False

    @property
    def anything(self) -> bool:
        return any(work.anything for work in self.repositories)


def encode_request(request: Request) -> str:
    return json.dumps({"verb": request.verb, **dataclasses.asdict(request)}, separators=(",", ":"))


def decode_request(line: str) -> Request:
    """Raises ValueError, with a sentence for the asker, where the line is no request."""
    try:
        body = json.loads(line)
        cls = VERBS[body["verb"]]
        request: Request = build(cls, body)
    except KeyError as error:
        raise ValueError(f"cannot do {error}: known are {', '.join(VERBS)}") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot read request: {error}") from error
    return request


def encode_reply(reply: Reply) -> str:
    return json.dumps(dataclasses.asdict(reply), separators=(",", ":"))


def decode_reply(line: str) -> Reply:
    reply: Reply = build(Reply, json.loads(line))
    return reply
