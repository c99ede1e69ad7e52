"""The events of the journal, one JSON object per line: the vocabulary of backend and front ends.

Each object has `at` (seconds since the epoch), `seq` (increases by one, never reset while the sandbox lives), `kind` (the name
of the event, see KINDS) and the fields of its event. Text that the agent can influence (names, programs, branches) may contain
any character; code that displays it must escape it.

Length: the vocabulary is easier to read in one module.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from typing import Any, ClassVar

from backend.contract.immutable import dataclass
from network import reasons

TIME_UP = "its time was up"  # closed a grant, in place of a person
CLAUDE = "api.anthropic.com"  # without it the agent cannot work


class Outcome(StrEnum):
    """The result of a boot step."""

    DONE = "done"
    WARNED = "warned"  # failed; boot continues, and the sandbox is degraded
    FAILED = "failed"  # failed; boot halts
    SKIPPED = "skipped"  # not needed with these settings
    CANCELLED = "cancelled"  # another step halted boot first


class BootState(StrEnum):
    BOOTING = "booting"
    READY = "ready"
    DEGRADED = "degraded"
    HALTED = "halted"


class ServiceState(StrEnum):
    STARTING = "starting"
    UP = "up"
    UNRESPONSIVE = "unresponsive"  # the process runs but does not answer
    DOWN = "down"  # exited; will be restarted after a pause
    STOPPED = "stopped"  # stopped on purpose


class SessionState(StrEnum):
    """The state of the Claude session, as far as it is known."""

    NONE = "none"
    ASKS = "asks"  # a prompt was given, but no turn has begun: Claude asks something first, or a hook hangs
    WORKS = "works"
    WAITS = "waits"
    IDLE = "idle"
    ENDED = "ended"
    UNKNOWN = "unknown"
    # Seen at the gate, in the API's own answers:
    LIMITED = "limited"  # at a usage limit (429)
    OVERLOADED = "overloaded"  # the API is overloaded (529), or calls of the model fail in other ways
    REFUSED = "refused"  # the API refuses the operator's credential (401)
    # Seen by the supervisor:
    STUCK = "stuck"  # Claude works, but for a long time there has been no output, no call and no child at work


class Reason(StrEnum):
    """The reason of a refusal, worded the same in every answer and on every screen."""

    NOT_LISTED = reasons.NOT_LISTED
    PORT_NOT_LISTED = reasons.PORT_NOT_LISTED
    NEVER_RESOLVED = reasons.NEVER_RESOLVED
    NO_ADDRESS = reasons.NO_ADDRESS
    ANOTHER_SITE = reasons.ANOTHER_SITE
    MISDIRECTED = reasons.MISDIRECTED
    UNCLEAR = reasons.UNCLEAR
    PUSH_SCOPE = reasons.PUSH_SCOPE
    NOT_OURS = reasons.NOT_OURS
    NOT_USED_HERE = reasons.NOT_USED_HERE
    NOT_GRANTED = reasons.NOT_GRANTED
    REQUEST = reasons.REQUEST
    TWO_WAYS = reasons.TWO_WAYS
    NOT_FORWARD = reasons.NOT_FORWARD
    DEFAULT_BRANCH = reasons.DEFAULT_BRANCH
    PROTECTED_BRANCH = reasons.PROTECTED_BRANCH
    FORCE_PUSH = reasons.FORCE_PUSH
    TAG = reasons.TAG
    NOT_HANDED_OUT = reasons.NOT_HANDED_OUT
    REFERENCE = reasons.REFERENCE
    UNANSWERED = reasons.UNANSWERED
    MODEL = reasons.MODEL
    PRIVATE = reasons.PRIVATE
    BLOCKED = reasons.BLOCKED
    NOT_TCP = reasons.NOT_TCP
    IPV6 = reasons.IPV6
    EXPIRED = reasons.EXPIRED
    FROZEN = reasons.FROZEN
    OWN = reasons.OWN
    UNREAD = reasons.UNREAD

    def advice(self, name: str = "", port: int = 0) -> str:
        """The advice, for agent and operator. `name`: the one that an entry of the allowlist would open, if any."""
        return reasons.advice(self, name, port)


class Via(StrEnum):
    """The protection that refused."""

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
    """Boot begins. `repository` is `owner/repo` or a URL without credentials; `credentials` is `outside` or `inside`.

    `pretend` is true if the internet is a pretend one that ends with the sandbox, and all that was pushed with it.
    `name` is that of the sandbox, "" if it has none. `prompt_sha256` (hexadecimal) identifies CLAUDE_PROMPT, "" without one.
    `learning`: this is a learning run, in which public names open when they are asked for. `rootless`: root of the sandbox is
    not root of the machine, but an ordinary user in a user namespace.
    """

    kind: ClassVar[str] = "boot.started"
    version: str
    plan: tuple[PlannedStep, ...]
    repository: str = ""
    credentials: str = "outside"
    gate: bool = False
    pid: int = 0
    pretend: bool = False
    name: str = ""
    prompt_sha256: str = ""
    prompt_bytes: int = 0
    learning: bool = False
    rootless: bool = False


@dataclass(frozen=True, slots=True)
class StepStarted(Event):
    """A boot step began."""

    kind: ClassVar[str] = "step.started"
    step: str


@dataclass(frozen=True, slots=True)
class StepOutput(Event):
    """One line of a running step's output (progress, or the output of a tool). Never contains a secret."""

    kind: ClassVar[str] = "step.output"
    step: str
    line: str


@dataclass(frozen=True, slots=True)
class StepFinished(Event):
    """A boot step ended. `detail` is its result ("23 names") or the reason of its failure; `remedy` is for the operator."""

    kind: ClassVar[str] = "step.finished"
    step: str
    outcome: Outcome
    seconds: float
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class BootFinished(Event):
    """Boot ended. Unless it is ready, `step` is the step that failed, with `reason` and `remedy` for the operator."""

    kind: ClassVar[str] = "boot.finished"
    state: BootState
    seconds: float
    step: str = ""  # the step that halted boot
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class LockReleased(Event):
    """Boot released the init lock: the session exists (`session`), or boot failed. `cloned`: REPO_URL is in /workspace."""

    kind: ClassVar[str] = "lock.released"
    session: bool
    cloned: bool = False


@dataclass(frozen=True, slots=True)
class Stopping(Event):
    """The sandbox is stopping. `reason` is the name of a signal or a verb."""

    kind: ClassVar[str] = "stopping"
    reason: str


# --- machinery ---


@dataclass(frozen=True, slots=True)
class ServiceChanged(Event):
    """A service entered `state`, for the reason in `detail`. `restarts` counts how often it was started again."""

    kind: ClassVar[str] = "service.changed"
    service: str  # coredns, guard, gate, sshd
    state: ServiceState
    pid: int = 0
    restarts: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SshOpened(Event):
    """sshd listens on TCP `port`; `keys` keys may log in. `host_key` is public (`TYPE KEY`), `fingerprint` its hash."""

    kind: ClassVar[str] = "ssh.opened"
    port: int
    keys: int
    host_key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class NamesMeasured(Event):
    """Health of DNS. Counts are totals since CoreDNS started; `latency_ms` is the mean of all answers since then."""

    kind: ClassVar[str] = "names.measured"
    queries: int
    cache_hits: int
    unlisted: int
    latency_ms: float
    upstreams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListRead(Event):
    """The names of the allowlist as written at boot. A long list is cut: `names` has the first, `more` counts the others.

    `limited` counts the entries that grant only some requests, or whose requests the rules for a credential limit. `unlimited`
    has the first of the others, which grant any request.
    """

    kind: ClassVar[str] = "list.read"
    names: tuple[str, ...]
    more: int = 0
    limited: int = 0
    unlimited: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListMeasured(Event):
    """The allowlist in force: names, open addresses, last and next refresh, and since when each failing name has failed.

    `reasons` has a short reason for each failing name. `unresolved` counts the names that are not resolved yet.
    """

    kind: ClassVar[str] = "list.measured"
    names: int
    addresses: int
    refreshed_at: float = 0.0
    next_at: float = 0.0
    failing: Mapping[str, float] = dataclasses.field(default_factory=dict)
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unresolved: int = 0


@dataclass(frozen=True, slots=True)
class Largest:
    """A large part of a file system: a path relative to it, its bytes or its number of files, folders and links.

    `path` is "" for deleted files that programs hold open.
    """

    path: str
    size: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class SandboxMeasured(Event):
    """Load: CPU in percent of one core; memory and each tmpfs in bytes (used, size); the part of the agent's processes.

    `inodes` has the files, folders and links on each tmpfs, and their limit. `largest` has what fills a nearly full one.
    """

    kind: ClassVar[str] = "sandbox.measured"
    cpu: float
    memory_used: int
    memory_limit: int
    tmpfs: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    agent_cpu: float = 0.0
    agent_memory: int = 0
    agent_processes: int = 0
    inodes: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    largest: Mapping[str, tuple[Largest, ...]] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProofFinished(Event):
    """The self-test ended; `failed` lists protections that failed. `results` maps probes to "" or the reason of a failure.

    `reduced` is the reason why protections that hold mean less than usual, or "".
    """

    kind: ClassVar[str] = "proof.finished"
    tried: int
    failed: tuple[str, ...] = ()
    remedy: str = ""
    results: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reduced: str = ""


@dataclass(frozen=True, slots=True)
class ProtectionFailed(Event):
    """The self-test failed while the agent was running. From now on everything is closed, until a retry.

    `failed` maps the probe of each failed protection to the reason. It is empty if the self-test could not run, which counts as
    a failure. `reason` describes the failure in words.
    """

    kind: ClassVar[str] = "protection.failed"
    reason: str
    remedy: str = ""
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Noted(Event):
    """A message without a separate event kind. `level` is info, warning or error."""

    kind: ClassVar[str] = "noted"
    level: str
    text: str


# --- refused and carried traffic ---


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """`count` more refusals of the same kind (via, protocol, name, address, port, reason) since the last such event.

    `name` is the name in the query, or the last name that resolved to `address`; "" if unknown. `detail` completes the reason
    (the query type, a repository). `program` is the program that asked for the name (proc(5), comm, which a program can set to
    any text). It is "" if unknown, and always for refused connections, because their sockets no longer exist.
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
        """Identifies a kind of refusal: events with equal keys share a row."""
        name = (self.name or self.address).replace("\\", "\\\\").replace("|", "\\|")  # the agent chooses name and detail
        return "|".join((self.via, self.protocol, name, str(self.port), self.reason, self.detail))


@dataclass(frozen=True, slots=True)
class CookiesDropped(Event):
    """The gate dropped the cookies of `count` more requests to the host `name` and forwarded the requests without them.

    At hosts with a credential the gate also drops the cookies that the host sets. So cookies in a request come from the agent
    or a program that it runs. There is at most one event per minute and host.
    """

    kind: ClassVar[str] = "cookies.dropped"
    name: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Wrote(Event):
    """The host `name` answered `count` more writes of the agent with success: a push, a request, mutations of GraphQL.

    The gate read `what` from the request; the agent can influence it. git and GraphQL report some errors in answers that count
    as success here. `link` is the page of what was written, "" if none is known. "" as `name`: too many writes to list.
    """

    kind: ClassVar[str] = "wrote"
    name: str
    what: str
    link: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Carried(Event):
    """The gate's totals for one name since boot. Times in seconds since the epoch, sizes in bytes."""

    kind: ClassVar[str] = "carried"
    name: str
    connections: int
    open_now: int
    bytes_in: int
    bytes_out: int
    last_at: float
    credential: bool = False
    marked: str = ""


class BudgetLevel(StrEnum):
    """How much of the budget is used."""

    FINE = "fine"
    WARNED = "warned"  # 80 % of a limit
    USED_UP = "used up"  # the gate refuses calls of the model


@dataclass(frozen=True, slots=True)
class ModelUsed(Event):
    """Totals of all calls of the model since boot, as the gate saw them pass: calls, tokens, estimated cost (US dollars).

    `limits` are the limits of CODETAINER_BUDGET in words, with what is used of them. `share` is the largest used share of one.
    `estimated` counts calls that did not report their usage in full, for example because they were cut. `unknown` are models
    without a price, which count as the most expensive one.
    """

    kind: ClassVar[str] = "model.used"
    calls: int
    input: int = 0
    output: int = 0
    cached: int = 0
    cost: float = 0.0
    limits: tuple[str, ...] = ()
    share: float = 0.0
    estimated: int = 0
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BudgetChanged(Event):
    """The budget is nearly or wholly used up, or no longer. `limit` is the fullest limit in words."""

    kind: ClassVar[str] = "budget.changed"
    level: BudgetLevel
    limit: str = ""


@dataclass(frozen=True, slots=True)
class BudgetRaised(Event):
    """The operator added to the budget; `amount` is in words."""

    kind: ClassVar[str] = "budget.raised"
    amount: str
    by: str = ""


DEFAULT_PORTS = "443,80"


def port_number(port: str) -> int:
    """The number of an allowlist port such as "8443/tls"; 0 if it has none."""
    number = port.partition("/")[0]
    return int(number) if number.isascii() and number.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Allowed(Event):
    """The operator opened these ports of a name; its other ports stay unchanged.

    `ports` is in allowlist syntax, "" for the default (443 and 80). `until` is in seconds since the epoch, 0 for no expiry.
    `grant` lists the requests that pass, in allowlist syntax ("read POST:/v1/track/**"); "" for any request.
    """

    kind: ClassVar[str] = "allowed"
    name: str
    ports: str = ""
    until: float = 0.0
    by: str = ""
    grant: str = ""

    @property
    def each_port(self) -> tuple[str, ...]:
        return tuple((self.ports or DEFAULT_PORTS).split(","))

    @property
    def numbers(self) -> frozenset[int]:
        return frozenset(port_number(port) for port in self.each_port)

    @property
    def entry(self) -> str:
        """The line for the allowlist."""
        return (f"{self.name}:{self.ports}" if self.ports else self.name) + (f" {self.grant}" if self.grant else "")

    def without(self, numbers: Collection[int]) -> Allowed | None:
        """The rest after closing these ports; None if none is left."""
        left = [port for port in self.each_port if port_number(port) not in numbers]
        ports = ",".join(left)
        return dataclasses.replace(self, ports="" if ports == DEFAULT_PORTS else ports) if left else None


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    """Ports that the operator had opened are closed again: `ports`, or all ports of the name if it is "".

    `by` names the operator who closed them, or is "its time was up". `stays` lists the ports that an allowlist entry keeps
    open ("443, 80 by github.com (domains.conf:2)"), "" if no port stays open.
    """

    kind: ClassVar[str] = "withdrawn"
    name: str
    by: str = ""
    ports: str = ""
    stays: str = ""


@dataclass(frozen=True, slots=True)
class Learned(Event):
    """A learning run has opened this name, or has learned more about it.

    `entry` is the smallest allowlist entry that permits what was used, "" if nothing has answered; " / " separates two.
    `programs` asked for it; they and the paths in the entry are text from the agent. `standing` is asked, answered or closed.
    `why_open` says why only `open` suffices, "" if a smaller grant does.
    """

    kind: ClassVar[str] = "learned"
    name: str
    entry: str = ""
    programs: tuple[str, ...] = ()
    standing: str = "asked"
    why_open: str = ""


@dataclass(frozen=True, slots=True)
class Muted(Event):
    """Refusals of this name are counted, but not shown, up to the time `until` (0: until unmuted; -1: unmuted).

    Serious refusals are always shown.
    """

    kind: ClassVar[str] = "muted"
    name: str
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Acknowledged(Event):
    """The operator acknowledged the serious refusals up to the time `until` (seconds since the epoch).

    `key` is a Refused.key, or the key of a group or suspicion (see refusals.Refusals.acknowledged); "" for all.
    """

    kind: ClassVar[str] = "acknowledged"
    until: float
    key: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Froze(Event):
    """The operator froze (agent stopped, all addresses closed) or thawed the sandbox. `frozen` tells which."""

    kind: ClassVar[str] = "froze"
    frozen: bool
    by: str = ""


@dataclass(frozen=True, slots=True)
class NotificationsMeasured(Event):
    """Notifications of the operator (CODETAINER_NOTIFY). `destinations` counts the addresses, `delivered` the notifications.

    `waiting` counts messages that an address has not received yet. `failing` maps each address that could not be reached
    ("address 1 (ntfys)") to the reason, and `failing_since` is the time of the first failure of any of them. `dropped` counts
    messages that were given up because too many waited.
    """

    kind: ClassVar[str] = "notifications.measured"
    destinations: int
    delivered: int = 0
    delivered_at: float = 0.0
    waiting: int = 0
    failing: Mapping[str, str] = dataclasses.field(default_factory=dict)
    failing_since: float = 0.0
    dropped: int = 0


# --- the session ---


@dataclass(frozen=True, slots=True)
class SessionChanged(Event):
    """State of the Claude session, from tmux and the agent's hooks. Display it, do not trust it.

    In the state `asks`, `screen` has the last lines of Claude's screen, in the agent's words.
    """

    kind: ClassVar[str] = "session.changed"
    state: SessionState
    name: str = ""
    since: float = 0.0
    model: str = ""
    context_percent: float = -1.0
    cost_usd: float = -1.0
    branch: str = ""
    detail: str = ""
    screen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionMeasured(Event):
    """The session has entered a state, or the end of that state has changed. Never repeated without a change.

    In contrast to `session.changed`, the agent cannot fake or hide the states `limited`, `overloaded` and `refused`: they
    come from the API's answers at the gate. `before` is the state that ended. `until` is the end of a limit, 0 if unknown.
    `reason` is one stable word: an HTTP status such as `429`, or `cut` (answers broke off), `silent` (no answer, or no
    progress); "" for other states. `credential` is the variable of the refused credential. `detail` is a sentence for the
    operator.
    """

    kind: ClassVar[str] = "session.state"
    state: SessionState
    since: float = 0.0
    until: float = 0.0
    reason: str = ""
    credential: str = ""
    detail: str = ""
    before: SessionState = SessionState.NONE


@dataclass(frozen=True, slots=True)
class SessionResumed(Event):
    """The watchdog told Claude to continue after a limit or a failure, for the `tries`th time since the last call that passed.

    If no call passes, it tries again at `next_at`. If there is a `problem`, it could not tell Claude, and will try then.
    """

    kind: ClassVar[str] = "session.resumed"
    tries: int
    next_at: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class AgentSettings(Event):
    """All known problems with Claude Code's settings files: invalid files, and settings that hinder unattended work.

    The repository and the agent can influence the text. Display it, do not trust it.
    """

    kind: ClassVar[str] = "agent.settings"
    problems: tuple[str, ...] = ()


# --- the work ---


class Occasion(StrEnum):
    """The occasion for counting unsaved work."""

    LOOKED = "looked"  # regularly
    SESSION_ENDED = "session ended"
    HALTED = "halted"
    PROTECTION_FAILED = "protection failed"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class RepositoryWork:
    """Unsaved work in one repository of the workspace.

    `files` counts tracked files that differ from HEAD. `more` is true if there are more files than were counted. `notes` say
    what was not examined, and why.
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
class SinceSave:
    """Unsaved work in the cloned repository that the save of `commit` does not contain, apart from the files it left out."""

    commit: str
    commits: int = 0
    files: int = 0
    untracked: int = 0
    stashes: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class WorkCounted(Event):
    """Unsaved work, as git reports it to a process with the agent's uid. Display it, do not trust it.

    If there is a `problem`, this count failed, and `repositories` is the previous result. `since` is None if there was no save,
    or if the changes since then are unknown.
    """

    kind: ClassVar[str] = "work.counted"
    repositories: tuple[RepositoryWork, ...] = ()
    occasion: Occasion = Occasion.LOOKED
    problem: str = ""
    since: SinceSave | None = None

    @property
    def anything(self) -> bool:
        return any(repository.anything for repository in self.repositories)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Reasons why the count may be incomplete: if there are any, a count of zero proves nothing."""
        return (*filter(None, (self.problem,)), *(note for repository in self.repositories for note in repository.notes))


@dataclass(frozen=True, slots=True)
class WorkRecounted(Event):
    """Unsaved work was counted again, with the same result as in the last `work.counted`."""

    kind: ClassVar[str] = "work.recounted"


@dataclass(frozen=True, slots=True)
class WorkSaved(Event):
    """The cloned repository's work was pushed to `branch`, as `commit`, without the files `left_out`.

    If there is a `problem`, the save failed. No other repository is ever saved.
    """

    kind: ClassVar[str] = "work.saved"
    branch: str
    commit: str = ""
    left_out: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SaveSkipped(Event):
    """The sandbox stops without a save, although there is unsaved work.

    `by_operator`: the operator chose this. `covered`: a save would have rescued some work that is now lost.
    """

    kind: ClassVar[str] = "work.skipped"
    by_operator: bool = False
    covered: bool = False


@dataclass(frozen=True, slots=True)
class WorkSuspended(Event):
    """All of the sandbox's work was written to the archive `file`, of `size` bytes, in `seconds`.

    `entries` counts its files. `left_out` names files that it lacks, with the reason; `more` counts others. `stood_still` is
    false if the agent could not be stopped meanwhile, so that its files may be of different moments. If there is a `problem`,
    nothing was written, and the archives before are unchanged.
    """

    kind: ClassVar[str] = "work.suspended"
    file: str
    size: int = 0
    entries: int = 0
    seconds: float = 0.0
    left_out: tuple[str, ...] = ()
    more: int = 0
    stood_still: bool = True
    problem: str = ""


@dataclass(frozen=True, slots=True)
class WorkResumed(Event):
    """The sandbox began with the work of a suspended one, as it was at the time `suspended_at` (seconds since the epoch).

    `entries` counts its files. `left_out` names files that the archive lacks; `more` counts others.
    """

    kind: ClassVar[str] = "work.resumed"
    suspended_at: float
    entries: int = 0
    left_out: tuple[str, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot(Event):
    """The state before this line (see `state.State.as_json`). It is the first line of a file, and follows lost events."""

    kind: ClassVar[str] = "snapshot"
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JournalSealed(Event):
    """The supervisor signed (Ed25519) all lines up to `head`, and the traffic log up to `traffic`; see contract/chain.py.

    `seal` can be checked with the `key` of the previous seal, and the next seal with `key`. Each private key is erased after
    its seal. Number 0 signs nothing and publishes the first key. `last`: the sandbox ends.
    """

    kind: ClassVar[str] = "journal.sealed"
    number: int
    head: str
    traffic: str
    key: str
    seal: str = ""
    last: bool = False


@dataclass(frozen=True, slots=True)
class Unknown(Event):
    """An event from a newer version. Readers skip it."""

    kind: ClassVar[str] = "unknown"
    name: str


KINDS: dict[str, type[Event]] = {
    event.kind: event
    for event in (
        BootStarted, StepStarted, StepOutput, StepFinished, BootFinished, LockReleased, Stopping, ServiceChanged,
        SshOpened, NamesMeasured, ListRead, ListMeasured, SandboxMeasured, ProofFinished, ProtectionFailed, Noted, Refused,
        CookiesDropped, Wrote, Carried, ModelUsed, BudgetChanged, BudgetRaised,
        Allowed, Withdrawn, Learned, Muted, Acknowledged, Froze, SessionChanged, SessionMeasured, SessionResumed, AgentSettings,
        WorkCounted, WorkRecounted, WorkSaved, SaveSkipped, WorkSuspended, WorkResumed, NotificationsMeasured, Snapshot,
        JournalSealed,
    )
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)  # one for each line
class Stamped:
    """An event with its place in the journal."""

    at: float
    seq: int
    event: Event


def encode(stamped: Stamped) -> str:
    """One journal line, without the newline. JSON escapes control characters, so the text contains no line break."""
    event = stamped.event
    body = {name: getattr(event, name) for name, _ in _plan(type(event))}
    return json.dumps(
        {"at": round(stamped.at, 3), "seq": stamped.seq, "kind": event.kind, **body}, separators=(",", ":"), default=_plain
    )


def _plain(value: Any) -> Any:
    """Converts our dataclasses, and mappings other than dict, for json."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"cannot write {type(value).__name__} in an event")


def decode(line: str) -> Stamped:
    """The event of a journal line.

    Ignores fields that this version does not know; an event of an unknown kind becomes Unknown. Raises ValueError if the line
    is not an event, for example because a crash cut it short.
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
        raise ValueError("cannot read journal line: its time is not a finite number")
    return Stamped(at, seq, event)


def build(cls: type[Any], body: Mapping[str, Any]) -> Any:
    """Builds a dataclass from JSON values by its annotations: enums, tuples, mappings and nested dataclasses.

    Raises TypeError or ValueError if a value does not match its annotation.
    """
    return cls(**{name: read(body[name]) for name, read in _plan(cls) if name in body})


Read = Callable[[Any], Any]
_PLANS: dict[type[Any], tuple[tuple[str, Read], ...]] = {}  # a cache: reading annotations costs more than decoding a line


def _plan(cls: type[Any]) -> tuple[tuple[str, Read], ...]:
    """The fields of a dataclass, each with a function that converts its JSON value."""
    plan = _PLANS.get(cls)
    if plan is None:
        hints = typing.get_type_hints(cls)
        plan = _PLANS[cls] = tuple((f.name, _reader(hints[f.name])) for f in dataclasses.fields(cls))
    return plan


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
            raise TypeError(f"{value!r}: expected {kind.__name__}")
        return value

    return read
