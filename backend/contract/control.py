"""Requests to a running sandbox over its control socket: one JSON object per line in each direction. Only root may ask.

Each request class describes its verb in full: the command line with its help, the overview, the documentation and the command
that the dashboard names are made from it; the server has one function for each (backend/supervision/control.py).

Length: a class for each request.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from backend.contract import durations, shell
from backend.contract.arguments import ARGUMENT, Argument, duration, option, optional, positional, switch
from backend.contract.events import RepositoryWork, SinceSave, WorkSaved, build
from backend.contract.immutable import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """The base of all requests. The docstring of each is its help: the first sentence is the summary."""

    verb: ClassVar[str]  # as typed after `codetainer`
    opens: ClassVar[bool] = False  # opens or starts something, so it is refused while the sandbox is frozen
    internal: ClassVar[bool] = False  # sent by a verb of the backend (command_line.BACKEND_VERBS), which has the description
    client_switches: ClassVar[Mapping[str, str]] = {}  # switches that only change what the command line does, with their help

    @classmethod
    def description(cls) -> str:
        return " ".join(inspect.cleandoc(cls.__doc__ or "").split())

    @classmethod
    def arguments(cls) -> dict[str, Argument]:
        """The fields that the command line fills, with their arguments."""
        return {each.name: each.metadata[ARGUMENT] for each in dataclasses.fields(cls) if ARGUMENT in each.metadata}

    @classmethod
    def usage(cls) -> str:
        own = (argument.usage for argument in cls.arguments().values())
        return " ".join(("codetainer", cls.verb, *own, *(f"[{flag}]" for flag in cls.client_switches)))

    def typed(self) -> str:
        """The command that asks for the same, quoted for a shell."""
        words = ["codetainer", *self.verb.split()]
        for name, argument in self.arguments().items():
            value = getattr(self, name)
            if not argument.flag:
                words += [value] if value or not argument.optional else []
            elif value:
                text = durations.written(value) if isinstance(value, float) else value
                words += [argument.flag] if value is True else [argument.flag, text]
        return shell.command(*words)


@dataclass(frozen=True, slots=True)
class Allow(Request):
    """Open a name now, for a time or until you close it.

    Any request passes, or with --read or --grant only some: then the gate opens TLS, and programs that are already running do
    not trust its certificate. Open ports of the name stay open; each port has its own expiry. The time is from 1s to 366d and
    counts elapsed time, even if the clock is set or the machine sleeps. Without --yes, a name without an address, or a wildcard
    as broad as a public suffix, is refused with the reason.
    """

    verb: ClassVar[str] = "allow"
    opens: ClassVar[bool] = True
    name: str = positional("NAME", "a name, or *.NAME for all names below it")
    ports: str = option("--port", "PORTS", "as in domains.conf: 443,8443/tls (default: 443 and 80)")
    seconds: float | None = option("--for", "TIME", "90s, 5m, 1h, 2d (default: until you close it)", None, duration)
    yes: bool = switch("--yes", "allow a wildcard below a public suffix, or a name without an address")
    read: bool = switch("--read", "only reading: GET, HEAD and OPTIONS without a body")
    grant: str = option("--grant", "GRANT", "only these requests, as in domains.conf: 'read POST:/v1/track/**'")


@dataclass(frozen=True, slots=True)
class Revoke(Request):
    """Close a name that was opened with allow, and cut its connections.

    It then lists the ports that the allowlist or a wildcard keeps open, and how to close them.
    """

    # data["open"] of the reply: what stays open of the name, as objects with name, ports, source.
    verb: ClassVar[str] = "revoke"
    name: str = positional("NAME")
    ports: str = option("--port", "PORTS", "only these ports (default: all that allow opened)")


@dataclass(frozen=True, slots=True)
class ListAllowed(Request):
    """List every open name, its ports, and the entry that opens them.

    A name without an address has a reason. If everything is closed now, the first line reports this.
    """

    # data["entries"] of the reply: objects with name, ports, grant, source, until, lack. `grant` is "open" for any request, or
    # "credentials.toml" if the rules for a credential decide. `until` is None for an entry of domains.conf,
    # else seconds since the epoch, 0 for "until you close it". `lack` is the reason why the name has no address, or "".
    # data["closed"]: the reason why everything is closed now, or "".
    verb: ClassVar[str] = "allowed"
    client_switches: ClassVar[Mapping[str, str]] = {"--json": "print JSON"}


@dataclass(frozen=True, slots=True)
class Explain(Request):
    """Show whether a connection or request would pass now, and what decides.

    Without a port it checks all ports. For a URL it checks host, port and, if the gate sees the requests to this host, the
    request with METHOD (default: GET). It names what a request depends on beside its URL, such as the body. It resolves an
    allowed name that has no address. For a host with a credential it also lists what the gate lets through: the credential,
    reads, and permitted writes.
    Exit code 0: open; 1: refused, frozen, or a name without an address; 2: not a name, address or URL, or no answer.
    """

    # data["open"] of a reply that is ok: true if the connection or request would be carried. data["grants"]: the requests that
    # pass, by ports. data["depends"]: what decides about the request, one sentence each. data["answer"]: the gate's refusal.
    verb: ClassVar[str] = "explain"
    target: str = positional("NAME|ADDRESS[:PORT]|[METHOD] URL")
    url: str = optional("URL", "the URL, after a METHOD such as POST")


@dataclass(frozen=True, slots=True)
class CountWork(Request):
    """Count unsaved work now: unpushed commits, uncommitted files, stashes. Exit code 1 if it cannot be counted."""

    # The reply's data is a WorkAtStake, even if the work could not be counted.
    verb: ClassVar[str] = "work"
    client_switches: ClassVar[Mapping[str, str]] = {"--json": "print JSON"}


@dataclass(frozen=True, slots=True)
class SaveWork(Request):
    """Push unsaved work in /workspace/repo to wip/... now and when the sandbox stops.

    Other repositories need an export. With --off nothing is saved when it stops, regardless of CODETAINER_AUTOSAVE.
    """

    # data of the reply: branch, left_out, not_saved (paths of repositories).
    verb: ClassVar[str] = "save"
    off: bool = switch("--off", "instead: save nothing when the sandbox stops")


@dataclass(frozen=True, slots=True)
class Mute(Request):
    """Hide the refusals of a name or address, but still count them. Serious refusals stay visible."""

    verb: ClassVar[str] = "mute"
    name: str = positional("NAME")
    seconds: float | None = option("--for", "TIME", "90s, 5m, 1h, 2d (default: until --off)", None, duration)
    off: bool = switch("--off", "show them again")


@dataclass(frozen=True, slots=True)
class Acknowledge(Request):
    """Print the unacknowledged serious refusals, and acknowledge them. Refusals not kept by name are only counted."""

    verb: ClassVar[str] = "acknowledge"
    until: float  # seconds since the epoch: later ones stay unacknowledged
    key: str = ""  # as in events.Acknowledged: one kind, those of one reason, or "" for all


@dataclass(frozen=True, slots=True)
class Budget(Request):
    """Show what the model has used, or add to its budget.

    It adds +20 (US dollars), +calls=100 or +tokens=1M to that limit (or several, as in +20,+calls=100), and the agent can
    continue. An addition counts for good for a limit of the total, and for an hour for a limit per hour.
    """

    # data of the reply: calls, input, output, cached (tokens), cost (US dollars), limits (in words), share, estimated, unknown,
    # and offer: what to add next, as `more` (to be typed, "" without limits) and `words`; its limits `before` and `after`.
    verb: ClassVar[str] = "budget"
    more: str = optional("+AMOUNT", "what to add")
    client_switches: ClassVar[Mapping[str, str]] = {"--json": "print JSON"}


@dataclass(frozen=True, slots=True)
class Notify(Request):
    """Show whether notifications are delivered, or send a test message now.

    With --test it prints for every address of CODETAINER_NOTIFY whether the message was delivered, or why not (exit code 1).
    """

    verb: ClassVar[str] = "notify"  # data["addresses"] of the reply: objects with address, delivered, reason
    test: bool = switch("--test", "send a test message now")
    report: str = ""  # `codetainer report --notify`: the text to send instead


@dataclass(frozen=True, slots=True)
class ShowLearned(Request):
    """Print the allowlist that permits what a learning run has used so far.

    It contains the run's own allowlist, and the smallest grants for the names that answered. With --output it is written to a
    new file.
    """

    # data of the reply: text. The client writes the file.
    verb: ClassVar[str] = "learned"
    output: str = option("--output", "FILE", "write it to this file, which must not exist yet")


@dataclass(frozen=True, slots=True)
class Refresh(Request):
    """Resolve every allowed name now."""

    verb: ClassVar[str] = "refresh"
    opens: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Freeze(Request):
    """Stop the agent's processes, close every address and cut all connections.

    It uses a cgroup of version 2 or 1, or signals if boot may mount neither.
    """

    verb: ClassVar[str] = "freeze"


@dataclass(frozen=True, slots=True)
class Thaw(Request):
    """Undo freeze."""

    verb: ClassVar[str] = "thaw"


@dataclass(frozen=True, slots=True)
class Retry(Request):
    """Boot again after a halt or a failed protection, or repeat the steps that failed.

    After a halted boot or a failed protection, it builds all protections again and repeats the steps that did not succeed.
    After a degraded boot, it repeats the failed steps while the agent continues. Names opened with allow are open again
    afterwards.
    """

    verb: ClassVar[str] = "retry"
    opens: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class RestartSession(Request):
    """Restart Claude in its session. While the agent is working, it asks first; a script then needs --yes."""

    verb: ClassVar[str] = "session restart"
    opens: ClassVar[bool] = True
    client_switches: ClassVar[Mapping[str, str]] = {"--yes": "do not ask, whatever the agent is doing"}


@dataclass(frozen=True, slots=True)
class Suspend(Request):
    """Write all of the sandbox's work to a file, or to an open descriptor of the client (/proc/PID/fd/N)."""

    verb: ClassVar[str] = "suspend"
    internal: ClassVar[bool] = True
    file: str = positional("FILE")


VERBS: dict[str, type[Request]] = {
    request.verb: request
    for request in (
        Allow, Revoke, ListAllowed, Explain, CountWork, SaveWork, Mute, Acknowledge, Budget, Notify, ShowLearned, Refresh,
        Freeze, Thaw, Retry, RestartSession, Suspend,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reply:
    """`text` is for the operator, `hint` is what to do after a refusal, `data` is for programs."""

    ok: bool
    text: str = ""
    hint: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkAtStake:
    """Work that a stop of the sandbox would lose. Everything in `repositories` comes from the agent: shown, never trusted.

    `at`: when it was counted (seconds since the epoch), 0 for never; `problem`: why it was not counted now. `cannot_save`: why
    it cannot be pushed to `branch`. `saves`: whether a stop pushes it.
    Only /workspace/repo is ever pushed. `saved` is its last save, made at `saved_at`, `since` its work since then, None if not
    known. `pretend`: the save goes to a pretend internet and ends with the sandbox.
    """

    repositories: tuple[RepositoryWork, ...] = ()
    at: float = 0.0
    problem: str = ""
    branch: str = ""
    cannot_save: str = ""
    saves: bool = False
    saved: WorkSaved | None = None
    saved_at: float = 0.0
    since: SinceSave | None = None
    pretend: bool = False

    @property
    def anything(self) -> bool:
        return any(work.anything for work in self.repositories)


def encode_request(request: Request) -> str:
    return json.dumps({"verb": request.verb, **dataclasses.asdict(request)}, separators=(",", ":"))


def decode_request(line: str) -> Request:
    """Raises ValueError, with a message for the client, if the line is not a request."""
    try:
        body = json.loads(line)
        request: Request = build(VERBS[body["verb"]], body)
    except KeyError as error:
        raise ValueError(f"cannot do {error}: expected one of {', '.join(VERBS)}") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot read request: {error}") from error
    return request


def encode_reply(reply: Reply) -> str:
    return json.dumps(dataclasses.asdict(reply), separators=(",", ":"))


def decode_reply(line: str) -> Reply:
    reply: Reply = build(Reply, json.loads(line))
    return reply
