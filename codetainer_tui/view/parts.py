"""The pieces of a View: text, and a tone for what is a state. Frozen, so that a screen can tell what has changed by ==."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from backend.contract.refusals import Severity


class Tone(StrEnum):
    """Colour is for state only, and never says what no word says too."""

    PLAIN = "plain"
    DIM = "dim"  # secondary
    GOOD = "good"
    WARN = "warn"  # degraded, or needs you
    BAD = "bad"  # closed or failed


class Condition(StrEnum):
    """How the sandbox is, in one word; the word of the headline in upper case."""

    BOOTING = "booting"
    READY = "ready"
    DEGRADED = "degraded"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Headline:
    condition: Condition
    text: str  # behind the word: "because ...", "9 of 15", "the agent waits for you"
    tone: Tone  # of the word
    text_tone: Tone = Tone.PLAIN
    alarm: str = ""  # between the two: "4 serious" refusals that nobody has acknowledged

    @property
    def said(self) -> str:
        """Everything behind the word."""
        return f"{self.alarm}, {self.text}" if self.alarm else self.text

    @property
    def word(self) -> str:
        return self.condition.upper()


@dataclass(frozen=True, slots=True)
class StepLine:
    """A boot step. `detail` fits a line; `full` is all there is to read about it."""

    name: str  # not to be shown
    title: str
    glyph: str
    word: str
    detail: str
    duration: str
    tone: Tone
    full: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """Something that is not well: what, since when, why, and what helps."""

    title: str
    since: str
    lines: tuple[str, ...]
    tone: Tone
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLine:
    """All refusals of one kind, or of several. `key` stays the same while rows come and go; `name` is what could be allowed."""

    key: str  # not to be shown
    last: str
    times: str
    what: str
    why: str
    by: str
    tone: Tone
    new: bool
    full: tuple[str, ...]
    count: int  # refusals, exactly; `times` is rounded
    kinds: int = 1  # of how many kinds, as far as they are known
    severity: Severity = Severity.POLICY
    alarm: bool = False  # serious, and nobody has acknowledged all of it
    acknowledged_as: str = ""  # not to be shown
    name: str = ""
    ports: str = ""  # for `allow`: "" where the usual ones do
    entry: str = ""  # the line for domains.conf
    cannot: str = ""  # why it cannot be allowed, "" where it can
    muted_as: str = ""  # not to be shown
    muted: bool = False
    opened_by: str = ""  # the entry that somebody has allowed by hand for it
    target: str = ""  # what `explain` takes, not to be shown


@dataclass(frozen=True, slots=True)
class TrafficLine:
    """What was carried for one name, in words. `marked` says what is unusual about it, "" where nothing is."""

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
    """Whatever is well takes one line: a label and its words, the most important first."""

    label: str
    cells: tuple[str, ...]
    tone: Tone = Tone.PLAIN
    short: tuple[str, ...] = ()  # in place of the cells where those do not all fit

    @property
    def text(self) -> str:
        return "   ".join(self.cells)


@dataclass(frozen=True, slots=True)
class Work:
    """What is only in the sandbox, in numbers; where and when it was saved last ("" and 0: never), why not since.

    `unknown` says what is not known: the numbers are then no more than what could be counted.
    """

    commits: int
    files: int
    stashes: int
    saved_to: str
    saved_at: float
    save_problem: str
    unknown: str


@dataclass(frozen=True, slots=True)
class View:
    headline: Headline
    name: str  # of the session
    place: str  # repository and branch
    up: str
    title: str  # of the terminal
    steps: tuple[StepLine, ...]
    blocks: tuple[Block, ...]
    refused: tuple[RefusedLine, ...]  # alarms first
    alarms: int  # serious refusals that nobody has acknowledged, as kinds
    alarms_exact: bool  # False: there were more than `alarms`, too many to be told apart
    alarm_summary: str
    refused_summary: str
    spark: str
    traffic: tuple[TrafficLine, ...]
    rows: tuple[Row, ...]
    walls: tuple[Row, ...]  # what protects what
    work: Work
    one_line: str
    zone: str
    frozen: bool
    booting: bool
    halted: bool
    session: bool  # there is one to go to
    ended: bool  # the agent, or its session, has ended
    failed: tuple[str, ...]  # titles of the boot steps that ended with a warning
    full: tuple[str, ...]  # everything there is to say, for reading
    updated_at: float  # when the last of it was said
    listed: tuple[str, ...]  # names of the list, not to be shown
