"""The state of the session, folded from what is seen of it. Pure: the caller supplies observations and clocks.

Two kinds of observations differ in what they may say. The gate's are true: which calls of the model the API answered, and how
(network/gate/calls.py). The agent's (its hooks' reports, its pane) say what it does, but can neither fake nor hide what the
gate saw. A call that the agent makes on its own, with curl, is a call like any other: its 429 is a real answer of the API.

- A limit (429) or a failure (529, other 5xx, no answer, broken connections and answers) counts by model. It ends when a call
  for that model passes, or when a few calls for other models have.
- A refused credential (401, 402, 403) counts if the API refused it twice in a row, or if Claude's turn failed after it. One 401
  may be the agent's own mistake in a header. It ends when a call with that credential passes.
- While Claude retries by itself, short troubles are not reported.
- Claude is stuck if it works, but no answer arrives, its pane does not change and no child of it is at work for a long time. A
  call that begins proves nothing: Claude repeats one that gets no answer every five minutes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from backend.contract.durations import lasting
from backend.contract.events import SessionChanged, SessionMeasured, SessionState
from network.gate.calls import Answered, Ended, Note, claim, wait

SETTLED = 10.0  # seconds: Claude repeats calls that fail, and most troubles are over by then
SHORT = 60.0  # seconds: a limit that lasts longer is reported at once
STALE = 180.0  # seconds without another failure, after which a failure no longer counts. Claude repeats at most 47 s apart
OTHERS = 3  # whole answers for other models that end the trouble of one model
MAX_MODELS = 8  # with troubles; the agent chooses models
MAX_CREDENTIALS = 4
TOLERANCE = 5.0  # seconds by which the end of a limit may move without a new report
LIMIT = 429
REFUSING = frozenset((401, 402, 403))
CUT = "cut"
SILENT = "silent"
FAILED = "failed"  # what the hooks report instead of `waits` after an error of the API
FAILING_STATES = frozenset((SessionState.LIMITED, SessionState.OVERLOADED, SessionState.REFUSED))


@dataclass(frozen=True, slots=True)
class Now:
    """A time on two clocks, in seconds: since the epoch, and on a clock that nobody sets and that counts in suspend."""

    wall: float
    steady: float


@dataclass(frozen=True, slots=True)
class Report:
    """What the agent's side says. `failed`: its hooks report that the last turn ended with an error of the API."""

    state: SessionState
    since: float = 0.0
    failed: bool = False


@dataclass(slots=True)
class Trouble:
    """Calls for one model, or with one credential, that do not pass. `over` is the end of a limit on the steady clock.

    `shown`: it has been reported, so it stays while Claude tries to continue.
    """

    state: SessionState
    reason: str
    since: Now
    last: Now
    count: int = 1
    over: float | None = None
    what: str = ""
    others: int = 0
    shown: bool = False

    @property
    def lasting(self) -> bool:
        """True for a limit that is too long to be waited for by repeating the call."""
        return self.over is not None and self.over - self.last.steady >= SHORT

    def is_over(self, now: Now) -> bool:
        return self.over is not None and now.steady >= self.over


@dataclass(slots=True)
class Watchdog:
    """The fold. `stuck` is the time without progress after which Claude counts as stuck, in seconds; 0: never."""

    stuck: float = 0.0
    passes: int = 0  # answers that came whole
    _models: dict[str, Trouble] = field(default_factory=dict)
    _credentials: dict[str, Trouble] = field(default_factory=dict)
    _moved: Now | None = None  # the last progress
    _state: SessionState | None = None  # the last report's

    # --- observations ---

    def heard(self, note: Note, now: Now) -> None:
        """Takes what the gate saw of a call."""
        if not (isinstance(note, Answered) and note.silent):
            self._moved = now
        match note:
            case Answered():
                self._answered(note, now)
            case Ended(whole=False):
                self._failed(note.model, SessionState.OVERLOADED, CUT, now)
            case Ended():
                self.passes += 1
                self._models.pop(note.model, None)
                self._passed_elsewhere(note.model)

    def moved(self, now: Now) -> None:
        """Takes another sign of progress: output in the pane, a child at work."""
        self._moved = now

    def _answered(self, answer: Answered, now: Now) -> None:
        if answer.status in REFUSING:
            if answer.credential:  # otherwise it says nothing about a credential of the operator
                _count(self._credentials, answer.credential, MAX_CREDENTIALS, SessionState.REFUSED, str(answer.status), now)
            return
        if answer.status == LIMIT:
            trouble = self._failed(answer.model, SessionState.LIMITED, str(LIMIT), now)
            seconds = wait(answer.headers, now.wall)
            trouble.over = None if seconds is None else now.steady + seconds
            trouble.what = claim(answer.headers)
        elif answer.silent:
            if (before := self._models.get(answer.model)) is None or before.reason != SILENT:  # it is told every minute
                self._failed(answer.model, SessionState.OVERLOADED, SILENT, now)
        elif answer.status == 0 or answer.status >= 500:
            self._failed(answer.model, SessionState.OVERLOADED, str(answer.status) if answer.status else CUT, now)
        elif answer.status == 200:
            before = self._models.get(answer.model)
            if before is not None and before.reason != CUT:  # answers that broke off before may do so again
                del self._models[answer.model]
        if answer.status != 0 and answer.status < 500:  # the API has accepted the credential
            self._credentials.pop(answer.credential, None)

    def _failed(self, model: str, state: SessionState, reason: str, now: Now) -> Trouble:
        return _count(self._models, model, MAX_MODELS, state, reason, now)

    def _passed_elsewhere(self, model: str) -> None:
        for other, trouble in list(self._models.items()):
            trouble.others += 1
            if other != model and trouble.others >= OTHERS:
                del self._models[other]

    # --- the state ---

    def judged(self, report: Report, now: Now, before: SessionMeasured | None) -> SessionMeasured:
        """The state of the session. It equals `before`, the last report, if nothing has changed."""
        if report.state is not self._state or self._moved is None:
            self._state, self._moved = report.state, now
        self._forget(report, now)
        found = self._found(report, now)
        if before is None:
            return found
        same = (found.state, found.reason, found.credential, found.detail) == (
            before.state, before.reason, before.credential, before.detail,
        )  # fmt: skip
        if same and abs(found.until - before.until) <= TOLERANCE:
            return before
        return replace(found, before=before.before if found.state is before.state else before.state)

    def stopped(self, report: Report) -> float | None:
        """The steady time from which Claude may be told to continue, if a trouble has ended its turn; None if not."""
        if not report.failed or report.state in (SessionState.WORKS, SessionState.ENDED):
            return None
        troubles = (*self._models.values(), *self._credentials.values())
        return max((each.last.steady if each.over is None else each.over for each in troubles), default=None)

    @property
    def named_end(self) -> bool:
        """True if every trouble is a limit whose end the API has named."""
        troubles = (*self._models.values(), *self._credentials.values())
        return bool(troubles) and all(each.over is not None for each in troubles)

    def _forget(self, report: Report, now: Now) -> None:
        """Drops troubles that no longer matter. A turn that has failed keeps them until a call passes."""
        for model, trouble in list(self._models.items()):
            stale = now.steady - trouble.last.steady > STALE and trouble.over is None
            over = trouble.is_over(now) and report.state is not SessionState.WORKS
            if not report.failed and (stale or over):
                del self._models[model]

    def _found(self, report: Report, now: Now) -> SessionMeasured:
        if report.state in (SessionState.ENDED, SessionState.NONE):
            return SessionMeasured(report.state, report.since)
        shown = [each for each in self._models.values() if _matters(each, report, now)]
        for variable, trouble in self._credentials.items():
            if trouble.count > 1 or report.failed:
                return _refused(variable, trouble)
        for each in shown:
            each.shown = True
        for state in (SessionState.LIMITED, SessionState.OVERLOADED):
            of_state = [each for each in shown if each.state is state]
            if of_state:
                return _measured(max(of_state, key=lambda each: each.over or 0.0), report, now)
        silent = now.steady - self._moved.steady if self._moved else 0.0
        if report.state is SessionState.WORKS and self.stuck and silent >= self.stuck:
            assert self._moved is not None
            detail = f"no answer of the API, no output and no child of Claude at work for {lasting(self.stuck)}"
            return SessionMeasured(SessionState.STUCK, self._moved.wall, reason=SILENT, detail=detail)
        return SessionMeasured(report.state, report.since)


def reported(current: SessionChanged | None, word: str) -> Report:
    """What the agent's side says (backend/session/activity.py). `word` is the state in its hooks' report."""
    state, since = (current.state, current.since) if current else (SessionState.UNKNOWN, 0.0)
    return Report(state, since, failed=word == FAILED)


def _count(table: dict[str, Trouble], key: str, most: int, state: SessionState, reason: str, now: Now) -> Trouble:
    """Adds a failure to the trouble of a model or credential, or begins one."""
    trouble = table.pop(key, None)
    if trouble is None or trouble.state is not state:
        trouble = Trouble(state, reason, now, now, 0)
    trouble.last, trouble.reason, trouble.others = now, reason, 0
    trouble.count += 1
    table[key] = trouble
    if len(table) > most:
        del table[next(iter(table))]
    return trouble


def _matters(trouble: Trouble, report: Report, now: Now) -> bool:
    """True if a trouble is to be reported."""
    if report.state is SessionState.WORKS:  # Claude may be repeating the call
        if trouble.shown or trouble.lasting:
            return True
        return trouble.count > 1 and now.steady - trouble.since.steady >= SETTLED
    return trouble.state is SessionState.LIMITED or report.failed


def _measured(trouble: Trouble, report: Report, now: Now) -> SessionMeasured:
    """The report about a trouble. Short limits of a call that Claude repeats follow each other, so they have no end."""
    repeats = report.state is SessionState.WORKS and not trouble.lasting
    until = 0.0 if trouble.over is None or repeats else round(now.wall + trouble.over - now.steady, 3)
    if trouble.state is SessionState.LIMITED:
        detail = f"the API refuses calls of the model ({trouble.reason}): {trouble.what or 'a rate limit'} is reached"
    elif trouble.reason == CUT:
        detail = "connections to the API break off before their answer has ended"
    elif trouble.reason == SILENT:
        detail = "the API accepts calls of the model, but does not answer them"
    elif trouble.reason == "529":
        detail = "the API is overloaded (529)"
    else:
        detail = f"calls of the model fail (HTTP {trouble.reason})"
    return SessionMeasured(trouble.state, trouble.since.wall, until, trouble.reason, detail=detail)


def _refused(variable: str, trouble: Trouble) -> SessionMeasured:
    why = {"401": "it is wrong, expired or revoked", "402": "its account has a problem with payment"}
    detail = (
        f"the API refuses {variable} ({trouble.reason}): {why.get(trouble.reason, 'it lacks a permission, or is revoked')}. "
        f"Start the sandbox again with a valid {variable}."
    )
    return SessionMeasured(SessionState.REFUSED, trouble.since.wall, reason=trouble.reason, credential=variable, detail=detail)
