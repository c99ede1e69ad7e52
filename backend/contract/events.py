"""What the journal holds: one event a line, as JSON. The vocabulary that backend and front ends share.

A line is an object with `at` (seconds since the epoch), `seq` (counts up by one within a sandbox's life), `kind` (the event's
name, see KINDS) and the event's own fields. Text that the agent can influence (names, programs, branches) may hold any
character: whoever shows it makes it harmless.

Length: one vocabulary, read and kept as a whole.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar


class Outcome(StrEnum):
    """How a boot step ended."""

    DONE = "done"
    WARNED = "warned"  # failed, and boot goes on: the sandbox is degraded
    FAILED = "failed"  # failed, and boot halts
    SKIPPED = "skipped"  # not needed by these settings
    CANCELLED = "cancelled"  # another step halted boot first


class BootState(StrEnum):
    BOOTING = "booting"
    READY = "ready"
    DEGRADED = "degraded"
    HALTED = "halted"


class ServiceState(StrEnum):
    STARTING = "starting"
    UP = "up"
    UNRESPONSIVE = "unresponsive"  # the process lives and does not answer
    DOWN = "down"  # ended; will be started again after a pause
    STOPPED = "stopped"  # ended on purpose


class SessionState(StrEnum):
    """What the agent does, as far as can be told."""

    NONE = "none"
    WORKS = "works"
    WAITS = "waits"
    IDLE = "idle"
    ENDED = "ended"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why something was refused: these words and no others stand on every screen."""

    NOT_LISTED = "not on the list"
    PORT_NOT_LISTED = "port not listed"
    NEVER_RESOLVED = "never resolved"
    ANOTHER_SITE = "another site on a listed address"
    PUSH_SCOPE = "pushes go to OWNER/REPO only"
    NOT_OURS = "not the operator's credential"
    NOT_GRANTED = "not granted to the agent"  # at a host with the operator's credential, of which it may use a part
    PRIVATE = "private range"
    NOT_TCP = "not TCP"
    IPV6 = "IPv6"
    EXPIRED = "expired"
    STOPPED = "stopped by you"
    OWN = "a port of the sandbox's own"
    UNREAD = "too many at once to be read"


class Via(StrEnum):
    """Which wall refused."""

    DNS = "dns"
    FIREWALL = "firewall"
    GATE = "gate"


@dataclass(frozen=True, slots=True)
class Event:
    kind: ClassVar[str]


@dataclass(frozen=True, slots=True)
class PlannedStep:
    name: str
    title: str
    needs: tuple[str, ...] = ()


# --- boot ---


@dataclass(frozen=True, slots=True)
class BootStarted(Event):
    """`repository` is `owner/repo` or a URL without credentials; `credentials` is `outside` or `inside`."""

    kind: ClassVar[str] = "boot.started"
    version: str
    plan: tuple[PlannedStep, ...]
    repository: str = ""
    credentials: str = "outside"
    gate: bool = False
    pid: int = 0


@dataclass(frozen=True, slots=True)
class StepStarted(Event):
    kind: ClassVar[str] = "step.started"
    step: str


@dataclass(frozen=True, slots=True)
class StepOutput(Event):
    """One line a step has to say while it runs (progress, a tool's output). Never a secret."""

    kind: ClassVar[str] = "step.output"
    step: str
    line: str


@dataclass(frozen=True, slots=True)
class StepFinished(Event):
    """`detail` says what came of it ("23 names") or, where it failed, why; `remedy` what to do about it."""

    kind: ClassVar[str] = "step.finished"
    step: str
    outcome: Outcome
    seconds: float
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class BootFinished(Event):
    kind: ClassVar[str] = "boot.finished"
    state: BootState
    seconds: float
    step: str = ""  # the step that halted boot
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class LockReleased(Event):
    """Init is over: the session exists (`session`), or init has failed."""

    kind: ClassVar[str] = "lock.released"
    session: bool


@dataclass(frozen=True, slots=True)
class Stopping(Event):
    """The sandbox is going down (`reason`: a signal's name or a verb)."""

    kind: ClassVar[str] = "stopping"
    reason: str


# --- machinery ---


@dataclass(frozen=True, slots=True)
class ServiceChanged(Event):
    kind: ClassVar[str] = "service.changed"
    service: str  # coredns, guard, gate, sshd
    state: ServiceState
    pid: int = 0
    restarts: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SshOpened(Event):
    """sshd listens: its TCP port, how many keys may log in, its public host key (`TYPE KEY`) and that one's fingerprint."""

    kind: ClassVar[str] = "ssh.opened"
    port: int
    keys: int
    host_key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class NamesMeasured(Event):
    """Health of CoreDNS. Counts are totals since it started, `latency_ms` the mean of what was answered since then."""

    kind: ClassVar[str] = "names.measured"
    queries: int
    cache_hits: int
    unlisted: int
    latency_ms: float
    upstreams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListRead(Event):
    """The names of the list as it was read at boot, as they are written there; of a very long one the first, and `more`."""

    kind: ClassVar[str] = "list.read"
    names: tuple[str, ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class ListMeasured(Event):
    """The open list: names on it, addresses now in the firewall, its refreshes, names that fail and since when."""

    kind: ClassVar[str] = "list.measured"
    names: int
    addresses: int
    refreshed_at: float = 0.0
    next_at: float = 0.0
    failing: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SandboxMeasured(Event):
    """Load: CPU in percent of one core, memory and each tmpfs in bytes (used, size); of it, what the agent's processes are."""

    kind: ClassVar[str] = "sandbox.measured"
    cpu: float
    memory_used: int
    memory_limit: int
    tmpfs: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    agent_cpu: float = 0.0
    agent_memory: int = 0
    agent_processes: int = 0


@dataclass(frozen=True, slots=True)
class ProofFinished(Event):
    """The walls were tried; `failed` says which did not hold. `results` is by probe: "" where it held, else in words."""

    kind: ClassVar[str] = "proof.finished"
    tried: int
    failed: tuple[str, ...] = ()
    remedy: str = ""
    results: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Noted(Event):
    """Something worth a line that has no event of its own. `level` is info, warning or error."""

    kind: ClassVar[str] = "noted"
    level: str
    text: str


# --- what the network refuses and carries ---


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """`count` refusals more of the same (via, protocol, name, address, port, reason) since the last such event.

    `name` is what the program asked for, or the name last resolved to that address; "" if there is none. `detail` is what
    the reason leaves open (the query type, a repository). `program` is the one that asked for a name (proc(5), comm: it may
    call itself what it likes), "" where nobody could tell: a refused connection has no socket any more when that is read.
    """

    kind: ClassVar[str] = "refused"
    via: Via
    reason: Reason
    count: int = 1
    protocol: str = "tcp"
    name: str = ""
    address: str = ""
    port: int = 0
    uid: int = -1
    program: str = ""
    detail: str = ""

    @property
    def key(self) -> str:
        """What makes two refusals the same row."""
        return "|".join((self.via, self.protocol, self.name or self.address, str(self.port), self.reason, self.detail))


@dataclass(frozen=True, slots=True)
class CookiesDropped(Event):
    """`count` requests more to the host `name` carried cookies, which the gate dropped; the requests went on without them.

    At a host with a credential the gate drops the cookies that the host sets, too. So whatever comes back is not of this
    host's giving: the agent, or what it runs, brought it along. At most one such event a minute for each of these hosts.
    """

    kind: ClassVar[str] = "cookies.dropped"
    name: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Carried(Event):
    """Totals of what the gate carried for one name since boot. Times in seconds since the epoch, sizes in bytes."""

    kind: ClassVar[str] = "carried"
    name: str
    connections: int
    open_now: int
    bytes_in: int
    bytes_out: int
    last_at: float
    credential: bool = False
    marked: str = ""


DEFAULT_PORTS = "443,80"


def port_number(port: str) -> int:
    """The number of a port as the list writes it ("8443/tls"); 0 where it is none."""
    number = port.partition("/")[0]
    return int(number) if number.isascii() and number.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Allowed(Event):
    """These ports of a name were opened by hand; others of it stay as they are.

    `ports` as written in the list, "" for its default (443 and 80). `until` is seconds since the epoch, 0 for "until revoked".
    """

    kind: ClassVar[str] = "allowed"
    name: str
    ports: str = ""
    until: float = 0.0
    by: str = ""

    @property
    def each_port(self) -> tuple[str, ...]:
        return tuple((self.ports or DEFAULT_PORTS).split(","))

    @property
    def numbers(self) -> frozenset[int]:
        return frozenset(port_number(port) for port in self.each_port)

    @property
    def entry(self) -> str:
        """As a line of the list."""
        return f"{self.name}:{self.ports}" if self.ports else self.name

    def without(self, numbers: Collection[int]) -> Allowed | None:
        """What is left when these ports are closed; None where nothing is."""
        left = [port for port in self.each_port if port_number(port) not in numbers]
        ports = ",".join(left)
        return dataclasses.replace(self, ports="" if ports == DEFAULT_PORTS else ports) if left else None


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    """What was opened by hand is closed again (`ports` "": all of that name): its time was up, or `by` somebody.

    `stays` says what is open of it all the same ("443, 80 by github.com (domains.conf:2)"), "" where nothing is.
    """

    kind: ClassVar[str] = "withdrawn"
    name: str
    by: str = ""
    ports: str = ""
    stays: str = ""


@dataclass(frozen=True, slots=True)
class Muted(Event):
    """Refusals of this name are counted and no longer shown, until then (0: until unmuted; -1: unmuted).

    Serious ones are shown all the same.
    """

    kind: ClassVar[str] = "muted"
    name: str
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Acknowledged(Event):
    """Serious refusals were acknowledged: those that had come `until` then (seconds since the epoch), of this kind, or all.

    `key` is a Refused.key, or what several kinds have in common (see refusals.Refusals); "" for all of them.
    """

    kind: ClassVar[str] = "acknowledged"
    until: float
    key: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Froze(Event):
    """The agent was stopped and the network emptied (`frozen`), or let go on."""

    kind: ClassVar[str] = "froze"
    frozen: bool
    by: str = ""


# --- the session ---


@dataclass(frozen=True, slots=True)
class SessionChanged(Event):
    """The Claude session, as far as tmux and the agent's hooks tell (their report is shown, never trusted)."""

    kind: ClassVar[str] = "session.changed"
    state: SessionState
    name: str = ""
    since: float = 0.0
    model: str = ""
    context_percent: float = -1.0
    cost_usd: float = -1.0
    branch: str = ""
    detail: str = ""


# --- the work ---


class Occasion(StrEnum):
    """Why the work is counted."""

    LOOKED = "looked"  # from time to time
    SESSION_ENDED = "session ended"
    HALTED = "halted"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class RepositoryWork:
    """What one repository of the workspace has that is nowhere else.

    `files` are tracked files that differ from HEAD. `more`: there are more files than were counted. `notes`: what was not
    looked into, or why nothing is known.
    """

    path: str
    branch: str = ""
    commits: int = 0
    files: int = 0
    untracked: int = 0
    stashes: int = 0
    more: bool = False
    notes: tuple[str, ...] = ()

    @property
    def anything(self) -> bool:
        return bool(self.commits or self.files or self.untracked or self.stashes)


@dataclass(frozen=True, slots=True)
class WorkCounted(Event):
    """What exists in the sandbox only, as git tells it to the agent's uid (shown, never trusted).

    If there is a `problem`, it could not be counted this time, and `repositories` are as they were counted last.
    """

    kind: ClassVar[str] = "work.counted"
    repositories: tuple[RepositoryWork, ...] = ()
    occasion: Occasion = Occasion.LOOKED
    problem: str = ""

    @property
    def anything(self) -> bool:
        return any(repository.anything for repository in self.repositories)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What is not known of it: then nothing counted does not mean that there is nothing."""
        return (*filter(None, (self.problem,)), *(note for repository in self.repositories for note in repository.notes))


@dataclass(frozen=True, slots=True)
class WorkSaved(Event):
    """A save was pushed to `branch`, as `commit`, without the files `left_out`; or, where there is a `problem`, it was not."""

    kind: ClassVar[str] = "work.saved"
    branch: str
    commit: str = ""
    left_out: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot(Event):
    """The folded state of all before it: first line of a segment, and where events were lost (see `state.State.as_json`)."""

    kind: ClassVar[str] = "snapshot"
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unknown(Event):
    """A line of a newer version. Readers pass it over."""

    kind: ClassVar[str] = "unknown"
    name: str


KINDS: dict[str, type[Event]] = {
    event.kind: event
    for event in (
        BootStarted, StepStarted, StepOutput, StepFinished, BootFinished, LockReleased, Stopping, ServiceChanged,
        SshOpened, NamesMeasured, ListRead, ListMeasured, SandboxMeasured, ProofFinished, Noted, Refused, CookiesDropped,
        Carried, Allowed, Withdrawn, Muted, Acknowledged, Froze, SessionChanged, WorkCounted, WorkSaved, Snapshot,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stamped:
    """An event with its place in the journal."""

    at: float
    seq: int
    event: Event


def encode(stamped: Stamped) -> str:
    """One journal line, without the newline. Control characters are escaped by JSON, so a line stays a line."""
    event = stamped.event
    body = {name: getattr(event, name) for name, _ in _plan(type(event))}
    return json.dumps(
        {"at": round(stamped.at, 3), "seq": stamped.seq, "kind": event.kind, **body}, separators=(",", ":"), default=_plain
    )


def _plain(value: Any) -> Any:
    """What json does not know: our own dataclasses, and mappings that are no dict."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no part of an event")


def decode(line: str) -> Stamped:
    """The event of a journal line.

    Fields that this version does not know are passed over, and so is a whole event of an unknown kind (as Unknown).
    Raises ValueError where the line is no event at all, e.g. one cut short by a crash.
    """
    body = json.loads(line)
    if not isinstance(body, dict) or not {"at", "seq", "kind"} <= body.keys():
        raise ValueError("cannot read journal line: not an event")
    kind = KINDS.get(str(body["kind"]))
    try:
        at, seq = float(body["at"]), int(body["seq"])
        event = Unknown(str(body["kind"])) if kind is None else build(kind, body)
    except (TypeError, AttributeError, KeyError, OverflowError) as error:
        raise ValueError(f"cannot read journal line of kind {body['kind']}: {error}") from error
    if not math.isfinite(at):
        raise ValueError("cannot read journal line: it has no time")
    return Stamped(at, seq, event)


def build(cls: type[Any], body: Mapping[str, Any]) -> Any:
    """An instance of a dataclass from JSON values, by its annotations: enums, tuples, mappings and nested dataclasses.

    Raises TypeError and ValueError where a value is not what its annotation says.
    """
    return cls(**{name: read(body[name]) for name, read in _plan(cls) if name in body})


Read = Callable[[Any], Any]
_PLANS: dict[type[Any], tuple[tuple[str, Read], ...]] = {}  # reading annotations costs more than decoding a line


def _plan(cls: type[Any]) -> tuple[tuple[str, Read], ...]:
    """The fields of a dataclass, each with what reads its JSON value."""
    known = _PLANS.get(cls)
    if known is None:
        hints = typing.get_type_hints(cls)
        known = _PLANS[cls] = tuple((f.name, _reader(hints[f.name])) for f in dataclasses.fields(cls))
    return known


def _reader(hint: Any) -> Read:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            each = _reader(arguments[0])
            return lambda value: tuple(each(item) for item in value)
        parts = tuple(_reader(part) for part in arguments)
        return lambda value: tuple(read(item) for read, item in zip(parts, value, strict=True))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        inner = _reader(arguments[1])
        return lambda value: {str(key): inner(item) for key, item in value.items()}
    if origin in (types.UnionType, typing.Union):
        some = _reader(next(argument for argument in arguments if argument is not type(None)))
        return lambda value: None if value is None else some(value)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return lambda value: build(hint, value)
    if hint is float or (isinstance(hint, type) and issubclass(hint, StrEnum)):
        return typing.cast(Read, hint)
    if hint in (int, str, bool):
        return _exactly(hint)
    return lambda value: value


def _exactly(kind: type[Any]) -> Read:
    def read(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError(f"{value!r} is no {kind.__name__}")
        return value

    return read
