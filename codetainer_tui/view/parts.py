"""The parts of a View: text, with a tone for state. Frozen, so a screen finds changes by comparing with `==`."""

from __future__ import annotations

from enum import StrEnum

from backend.contract.immutable import dataclass
from backend.contract.refusals import Severity

LABEL_CELLS = 12  # the longest label of a Row


class Tone(StrEnum):
    """The meaning of a colour. Colours show state only, and always repeat what a word says."""

    PLAIN = "plain"
    DIM = "dim"  # secondary
    GOOD = "good"
    WARN = "warn"  # degraded, or needs the operator
    BAD = "bad"  # closed or failed


class Condition(StrEnum):
    """The state of the sandbox in one word."""

    BOOTING = "booting"
    READY = "ready"
    DEGRADED = "degraded"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Headline:
    condition: Condition
    text: str  # after the word: "CoreDNS is down", "9 of 15 steps", "the agent is waiting for you"
    tone: Tone  # of the word
    text_tone: Tone = Tone.PLAIN
    alarm: str = ""  # between word and text: "4 serious", the unacknowledged refusals
    frozen: bool = False  # an operator closed the sandbox

    @property
    def details(self) -> str:
        """The headline without its word."""
        return f"{self.alarm}, {self.text}" if self.alarm else self.text

    @property
    def word(self) -> str:
        """The condition in upper case, or FROZEN."""
        return "FROZEN" if self.frozen else self.condition.upper()


@dataclass(frozen=True, slots=True)
class StepLine:
    """A boot step. `detail` fits on a line; `full` has everything about the step."""

    name: str  # never shown
    title: str
    glyph: str
    word: str
    detail: str
    duration: str
    tone: Tone
    full: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A problem: what is wrong, since when, why, and which key helps."""

    title: str
    since: str
    lines: tuple[str, ...]
    tone: Tone
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLine:
    """The refusals of one kind, or of several kinds. `key` identifies the row while others come and go."""

    key: str  # never shown
    last: str
    times: str
    what: str
    why: str
    by: str
    tone: Tone
    new: bool
    full: tuple[str, ...]
    count: int  # exact; `times` is rounded
    kinds: int = 1  # known kinds in this row
    severity: Severity = Severity.POLICY
    alarm: bool = False  # serious, and not fully acknowledged
    acknowledged_as: str = ""  # never shown
    name: str = ""  # for `allow`; "" if no entry can allow it
    ports: str = ""  # for `allow`; "" if the usual ports suffice
    grant: str = ""  # for `allow`: the smallest grant that may suffice, "" if requests cannot be limited
    entry: str = ""  # the line for domains.conf
    cannot: str = ""  # why it cannot be allowed, "" if it can
    muted_as: str = ""  # never shown
    muted: bool = False
    opened_by: str = ""  # the entry allowed by hand that covers it
    target: str = ""  # the argument of `explain`, never shown

    @property
    def acknowledged(self) -> bool:
        """True for a serious row that the operator has seen."""
        return self.severity is Severity.SERIOUS and not self.alarm


@dataclass(frozen=True, slots=True)
class TrafficLine:
    """The traffic of one name, as text. `marked` names anything unusual, otherwise ""."""

    name: str
    note: str
    connections: str
    open_now: str
    bytes_in: str
    bytes_out: str
    last: str
    marked: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line about a healthy part: a label and cells, the most important first."""

    label: str
    cells: tuple[str, ...]
    tone: Tone = Tone.PLAIN
    short: tuple[str, ...] = ()  # replaces the cells if they do not all fit

    @property
    def text(self) -> str:
        return "   ".join(self.cells)


@dataclass(frozen=True, slots=True)
class Work:
    """The amount of unsaved work, and the last save: its branch and time ("" and 0: never), and why later saves failed.

    If `unknown` is set, it names what could not be counted, and the numbers are lower bounds. `counted_at` is the time of the
    count (seconds since the epoch), `never_saved` lists repositories with unsaved work that no save contains.
    """

    commits: int
    files: int
    stashes: int
    saved_to: str
    saved_at: float
    save_problem: str
    unknown: str
    counted_at: float
    never_saved: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FailedProtections:
    """Protections that failed while the agent was running. `probes` is empty if the self-test could not run."""

    at: float  # seconds since the epoch
    probes: tuple[str, ...]
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class View:
    headline: Headline
    sandbox: str  # its name, "" if it has none
    name: str  # of the session
    place: str  # repository and branch
    up: str
    title: str  # of the terminal
    steps: tuple[StepLine, ...]
    blocks: tuple[Block, ...]
    refused: tuple[RefusedLine, ...]  # alarms first
    alarms: int  # unacknowledged kinds of serious refusals
    alarms_exact: bool  # False: `alarms` is a lower bound, because there were too many to store
    alarm_summary: str
    refused_summary: str
    spark: str
    traffic: tuple[TrafficLine, ...]
    rows: tuple[Row, ...]
    walls: tuple[Row, ...]  # one row per protection
    work: Work
    one_line: str
    zone: str
    frozen: bool
    booting: bool
    halted: bool  # at boot
    protection_failed: FailedProtections | None  # since boot finished
    session: bool  # a session can be opened
    ended: bool  # the agent or its session has exited
    budget_low: bool  # of the model: nearly or wholly used up
    failed: tuple[str, ...]  # titles of the boot steps that ended with a warning
    full: tuple[str, ...]  # everything, for reading and copying
    updated_at: float  # time of the last event
    listed: tuple[str, ...]  # names on the allowlist, never shown

    @property
    def needs_retry(self) -> bool:
        """True if everything is closed until a retry."""
        return self.halted or self.protection_failed is not None
