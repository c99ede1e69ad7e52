"""The current state of a sandbox: the journal folded into one value, for front ends and the journal's snapshots. Pure.

Length: the value and the functions that fold it belong together.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from backend.contract import events as e
from backend.contract import marks
from backend.contract.day import Day
from backend.contract.immutable import dataclass
from backend.contract.refusals import Refusals, Severity, severity

LEARNED_NAMES = 500  # as many as a learning run opens
CARRIED_NAMES = 500  # a wildcard may match many names; the least recent are dropped first
STEP_LINES = 200  # output lines kept of each boot step
REFUSED_MINUTES = 60  # length of the history behind the sparkline


@dataclass(frozen=True, slots=True)
class StepView:
    """Progress of a boot step. `outcome` is None until it ends."""

    name: str
    title: str
    needs: tuple[str, ...] = ()
    started_at: float | None = None
    outcome: e.Outcome | None = None
    seconds: float = 0.0
    detail: str = ""
    remedy: str = ""
    lines: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)  # each event makes a new one
class State:
    version: str = ""
    name: str = ""  # of the sandbox
    repository: str = ""
    credentials: str = "outside"
    gate: bool = False
    pretend: bool = False  # the internet ends with the sandbox
    learning: bool = False  # public names open when they are asked for
    rootless: bool = False  # root of the sandbox is an ordinary user of the machine
    learned: Mapping[str, e.Learned] = field(default_factory=dict)  # by name
    pid: int = 0
    started_at: float = 0.0
    updated_at: float = 0.0
    boot: e.BootState | None = None  # None: no event yet
    boot_seconds: float = 0.0
    halted_step: str = ""
    reason: str = ""
    remedy: str = ""
    lock_released: bool = False
    session_created: bool = False
    cloned: bool = False  # REPO_URL is in the work space
    stopping: str = ""
    frozen: bool = False
    frozen_by: str = ""
    frozen_at: float = 0.0
    steps: Mapping[str, StepView] = field(default_factory=dict)  # in plan order
    services: Mapping[str, e.ServiceChanged] = field(default_factory=dict)
    services_at: Mapping[str, float] = field(default_factory=dict)  # when each entered its state
    ssh: e.SshOpened | None = None
    names: e.NamesMeasured | None = None
    listed: tuple[str, ...] = ()  # names of the allowlist at boot, without those allowed later; the first ones if very long
    unlimited: tuple[str, ...] = ()  # the first entries that grant any request
    list: e.ListMeasured | None = None
    sandbox: e.SandboxMeasured | None = None
    proof: e.ProofFinished | None = None
    proof_at: float = 0.0
    protection_failed: e.ProtectionFailed | None = None  # since boot finished
    protection_failed_at: float = 0.0
    session: e.SessionChanged | None = None  # as the agent reports it
    measured: e.SessionMeasured | None = None
    resumed: e.SessionResumed | None = None  # the last try to continue since the session entered its state
    agent_settings: tuple[str, ...] = ()  # problems with Claude Code's settings files
    work: e.WorkCounted | None = None
    counted_at: float = 0.0  # when it was last counted without a problem
    saved: e.WorkSaved | None = None  # the last save that was pushed
    saved_at: float = 0.0
    save_problem: str = ""  # why the saves since then failed
    suspended: e.WorkSuspended | None = None  # the last archive of all work
    suspended_at: float = 0.0
    suspend_problem: str = ""  # why the attempts since then failed
    work_resumed: e.WorkResumed | None = None  # the work with which the sandbox began
    refusals: Refusals = field(default_factory=Refusals)
    refused_total: int = 0
    refused_minutes: Mapping[str, int] = field(default_factory=dict)  # minute since the epoch -> refusals in it
    cookies: Mapping[str, tuple[int, float]] = field(default_factory=dict)  # by host: requests with cookies, time of the last
    model: e.ModelUsed | None = None
    budget: e.BudgetChanged | None = None
    budget_at: float = 0.0
    carried: Mapping[str, e.Carried] = field(default_factory=dict)
    allowed: Mapping[str, e.Allowed] = field(default_factory=dict)  # by entry; no port of a name is in two entries
    muted: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[e.Noted, ...] = ()
    prompt_sha256: str = ""  # of CLAUDE_PROMPT
    prompt_bytes: int = 0
    day: Day = field(default_factory=Day)
    notifications: e.NotificationsMeasured | None = None
    sealed: e.JournalSealed | None = None  # the last seal of the journal
    sealed_at: float = 0.0

    @property
    def is_open(self) -> bool:
        """True if boot let the agent in and no protection has failed since. A freeze does not count."""
        return self.boot in (e.BootState.READY, e.BootState.DEGRADED) and self.protection_failed is None

    @property
    def session_state(self) -> e.SessionState:
        """The state of the session: as measured, else (in journals of earlier versions) as the agent reports it."""
        known = self.measured or self.session
        return known.state if known else e.SessionState.NONE

    @property
    def needs_retry(self) -> bool:
        """True if boot halted or a protection failed later: everything stays closed until a retry."""
        return self.boot is e.BootState.HALTED or self.protection_failed is not None

    def as_json(self) -> dict[str, Any]:
        """The state as JSON values; `from_json` is its inverse."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> State:
        state: State = e.build(State, body)
        return state


@functools.singledispatch
def _apply(event: e.Event, state: State, at: float) -> State:
    return state  # an event that does not affect the state, or is from a newer version


def fold(state: State, stamped: e.Stamped) -> State:
    """The state after another event."""
    after = replace(_apply(stamped.event, state, stamped.at), updated_at=stamped.at)
    if isinstance(stamped.event, e.Snapshot):
        return after
    doing, mark = marks.doing(after), marks.mark(stamped.event, stamped.at)
    day = after.day.doing(stamped.at, doing) if doing is not None else after.day
    if mark is not None:
        day = day.marked(mark)
    return after if day is after.day else replace(after, day=day)


def fold_all(stamped: Iterable[e.Stamped], state: State | None = None) -> State:
    """The state after many events. Folds consecutive refusals, which come in floods, in one step."""
    folded, refused = state or State(), list[e.Stamped]()
    for one in stamped:
        if isinstance(one.event, e.Refused):
            refused.append(one)
            continue
        if refused:
            folded, refused = _refuse(folded, refused), []
        folded = fold(folded, one)
    return _refuse(folded, refused) if refused else folded


@_apply.register
def _(event: e.Snapshot, state: State, at: float) -> State:
    return State.from_json(event.state)


@_apply.register
def _(event: e.BootStarted, state: State, at: float) -> State:
    """Begins a new boot, also after a retry, and keeps refusals and grants of earlier ones."""
    steps = {step.name: StepView(step.name, step.title, step.needs) for step in event.plan}
    return replace(
        state, version=event.version, name=event.name, repository=event.repository, credentials=event.credentials,
        gate=event.gate, pretend=event.pretend, learning=event.learning, rootless=event.rootless, pid=event.pid, started_at=at,
        boot=e.BootState.BOOTING, boot_seconds=0.0, halted_step="", reason="", remedy="", stopping="",
        lock_released=False, session_created=False, cloned=False, steps=steps,
        protection_failed=None, protection_failed_at=0.0, prompt_sha256=event.prompt_sha256, prompt_bytes=event.prompt_bytes,
    )  # fmt: skip


def _with_step(state: State, name: str, **changes: Any) -> State:
    step = state.steps.get(name) or StepView(name, name)
    return replace(state, steps={**state.steps, name: replace(step, **changes)})


@_apply.register
def _(event: e.StepStarted, state: State, at: float) -> State:
    return _with_step(state, event.step, started_at=at, outcome=None, seconds=0.0, detail="", remedy="", lines=())


@_apply.register
def _(event: e.StepOutput, state: State, at: float) -> State:
    step = state.steps.get(event.step)
    lines = deque(step.lines if step else (), maxlen=STEP_LINES)
    lines.append(event.line)
    return _with_step(state, event.step, lines=tuple(lines))


@_apply.register
def _(event: e.StepFinished, state: State, at: float) -> State:
    return _with_step(state, event.step, outcome=event.outcome, seconds=event.seconds, detail=event.detail, remedy=event.remedy)


@_apply.register
def _(event: e.BootFinished, state: State, at: float) -> State:
    step = state.steps.get(event.step)
    if event.state is e.BootState.HALTED and step is not None and step.outcome is not e.Outcome.FAILED:
        # Earlier versions had no ProtectionFailed: they reported a halt at a step that had gone well.
        return _apply(e.ProtectionFailed(event.reason, event.remedy), state, at)
    return replace(
        state, boot=event.state, boot_seconds=event.seconds, halted_step=event.step, reason=event.reason, remedy=event.remedy
    )


@_apply.register
def _(event: e.LockReleased, state: State, at: float) -> State:
    return replace(state, lock_released=True, session_created=event.session, cloned=event.cloned)


@_apply.register
def _(event: e.Stopping, state: State, at: float) -> State:
    return replace(state, stopping=event.reason)


@_apply.register
def _(event: e.ServiceChanged, state: State, at: float) -> State:
    before = state.services.get(event.service)
    since = state.services_at.get(event.service, at) if before is not None and before.state is event.state else at
    return replace(
        state, services={**state.services, event.service: event}, services_at={**state.services_at, event.service: since}
    )


@_apply.register
def _(event: e.JournalSealed, state: State, at: float) -> State:
    return replace(state, sealed=event, sealed_at=at)


@_apply.register
def _(event: e.SshOpened, state: State, at: float) -> State:
    return replace(state, ssh=event)


@_apply.register
def _(event: e.NamesMeasured, state: State, at: float) -> State:
    return replace(state, names=event)


@_apply.register
def _(event: e.ListRead, state: State, at: float) -> State:
    return replace(state, listed=event.names, unlimited=event.unlimited)


@_apply.register
def _(event: e.ListMeasured, state: State, at: float) -> State:
    return replace(state, list=event)


@_apply.register
def _(event: e.SandboxMeasured, state: State, at: float) -> State:
    return replace(state, sandbox=event)


@_apply.register
def _(event: e.ProofFinished, state: State, at: float) -> State:
    return replace(state, proof=event, proof_at=at)


@_apply.register
def _(event: e.ProtectionFailed, state: State, at: float) -> State:
    return replace(state, protection_failed=event, protection_failed_at=at)


@_apply.register
def _(event: e.Noted, state: State, at: float) -> State:
    return replace(state, notes=(*state.notes[-49:], event))


@_apply.register
def _(event: e.Refused, state: State, at: float) -> State:
    return _refuse(state, [e.Stamped(at, 0, event)])


def _refuse(state: State, run: Sequence[e.Stamped]) -> State:
    """Counts consecutive refusals by minute and adds them to the tables."""
    minutes, total = dict(state.refused_minutes), state.refused_total
    refused: list[tuple[e.Refused, float]] = []
    for stamped in run:
        event, at = stamped.event, stamped.at
        assert isinstance(event, e.Refused)
        refused.append((event, at))
        minute = str(int(at // 60))
        minutes[minute] = minutes.get(minute, 0) + event.count
        total += event.count
    oldest = int(run[-1].at // 60) - REFUSED_MINUTES
    minutes = {minute: count for minute, count in minutes.items() if int(minute) > oldest}
    refusals = state.refusals.adding(refused)
    day = state.day.refusing([(at, event.count, severity(event) is Severity.SERIOUS) for event, at in refused])
    return replace(state, refusals=refusals, refused_total=total, refused_minutes=minutes, day=day, updated_at=run[-1].at)


@_apply.register
def _(event: e.CookiesDropped, state: State, at: float) -> State:
    """Counts requests with cookies; only hosts with a credential have such events, so there are few."""
    before, _ = state.cookies.get(event.name, (0, 0.0))
    return replace(state, cookies={**state.cookies, event.name: (before + event.count, at)})


@_apply.register
def _(event: e.ModelUsed, state: State, at: float) -> State:
    return replace(state, model=event)


@_apply.register
def _(event: e.BudgetChanged, state: State, at: float) -> State:
    return replace(state, budget=event, budget_at=at)


@_apply.register
def _(event: e.Carried, state: State, at: float) -> State:
    carried = {name: totals for name, totals in state.carried.items() if name != event.name}
    carried[event.name] = event
    if len(carried) > CARRIED_NAMES:
        del carried[next(iter(carried))]
    return replace(state, carried=carried)


@_apply.register
def _(event: e.Allowed, state: State, at: float) -> State:
    return replace(state, allowed={**_closed(state.allowed, event.name, event.numbers), event.entry: event})


@_apply.register
def _(event: e.Learned, state: State, at: float) -> State:
    if event.name not in state.learned and len(state.learned) >= LEARNED_NAMES:
        return state
    return replace(state, learned={**state.learned, event.name: event})


@_apply.register
def _(event: e.Withdrawn, state: State, at: float) -> State:
    ports = frozenset(e.port_number(port) for port in event.ports.split(",")) if event.ports else None
    return replace(state, allowed=_closed(state.allowed, event.name, ports))


def _closed(allowed: Mapping[str, e.Allowed], name: str, ports: Collection[int] | None) -> dict[str, e.Allowed]:
    """The grants without these ports of a name (None: without the name)."""
    remaining: dict[str, e.Allowed] = {}
    for entry, grant in allowed.items():
        left = grant if grant.name != name else None if ports is None else grant.without(ports)
        if left is not None:
            remaining[entry if left is grant else left.entry] = left
    return remaining


@_apply.register
def _(event: e.Muted, state: State, at: float) -> State:
    muted = {name: until for name, until in state.muted.items() if name != event.name and (not until or until > at)}
    return replace(state, muted=muted if event.until < 0 else {**muted, event.name: event.until})


@_apply.register
def _(event: e.Acknowledged, state: State, at: float) -> State:
    return replace(state, refusals=state.refusals.acknowledged(event))


@_apply.register
def _(event: e.Froze, state: State, at: float) -> State:
    by, since = (event.by, at) if event.frozen else ("", 0.0)
    return replace(state, frozen=event.frozen, frozen_by=by, frozen_at=since)


@_apply.register
def _(event: e.NotificationsMeasured, state: State, at: float) -> State:
    return replace(state, notifications=event)


@_apply.register
def _(event: e.SessionChanged, state: State, at: float) -> State:
    return replace(state, session=event)


@_apply.register
def _(event: e.SessionMeasured, state: State, at: float) -> State:
    same = state.measured is not None and state.measured.state is event.state
    return replace(state, measured=event, resumed=state.resumed if same else None)


@_apply.register
def _(event: e.SessionResumed, state: State, at: float) -> State:
    return replace(state, resumed=event)


@_apply.register
def _(event: e.AgentSettings, state: State, at: float) -> State:
    return replace(state, agent_settings=event.problems)


@_apply.register
def _(event: e.WorkCounted, state: State, at: float) -> State:
    return replace(state, work=event, counted_at=state.counted_at if event.problem else at)


@_apply.register
def _(event: e.WorkRecounted, state: State, at: float) -> State:
    return replace(state, counted_at=at)


@_apply.register
def _(event: e.WorkSaved, state: State, at: float) -> State:
    if event.problem:
        return replace(state, save_problem=event.problem)
    return replace(state, saved=event, saved_at=at, save_problem="")


@_apply.register
def _(event: e.WorkSuspended, state: State, at: float) -> State:
    if event.problem:
        return replace(state, suspend_problem=event.problem)
    return replace(state, suspended=event, suspended_at=at, suspend_problem="")


@_apply.register
def _(event: e.WorkResumed, state: State, at: float) -> State:
    return replace(state, work_resumed=event)
