"""Examines the journal and the traffic log: are all lines there that were written, and unchanged? Pure.

The answer is one of three: whole; gaps, each with its times and its number of lines; or that it cannot be established, and why.
Formats: backend/contract/chain.py and events.JournalSealed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from backend.contract import chain
from backend.contract.events import JournalSealed, build

Check = Callable[[str, bytes, str], bool]  # a public key, a text, a signature: True if the key has signed the text


MAX_UNSEALED = 900.0  # seconds; the supervisor seals every 300


class Answer(StrEnum):
    WHOLE = "whole"
    GAP = "gap"
    UNKNOWN = "cannot be established"


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines that are missing or not the ones that were written. Times in seconds since the epoch, None if unknown."""

    since: float | None
    until: float | None
    lines: int
    why: str


@dataclass(slots=True)
class Result:
    """`lines` have a valid chain, `dropped` earlier ones are not in the files. `notes` are facts that are no gap."""

    lines: int = 0
    dropped: int = 0
    since: float | None = None
    until: float | None = None
    head: str = ""
    sealed: float | None = None  # time of the last seal that was checked
    gaps: list[Gap] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)  # why it cannot be established
    notes: list[str] = field(default_factory=list)

    @property
    def answer(self) -> Answer:
        return Answer.GAP if self.gaps else Answer.UNKNOWN if self.doubts else Answer.WHOLE


@dataclass(frozen=True, slots=True)
class _Seal:
    line: int
    at: float | None
    before: str  # the head before its line
    event: JournalSealed


class _Walk:
    """Follows the chain through the files of one log, the oldest first."""

    def __init__(self, result: Result) -> None:
        self._result = result
        self.heads: dict[int, str] = {}  # of valid lines
        self.times: dict[int, float | None] = {}
        self.seals: list[_Seal] = []
        self._head = ""
        self._good: tuple[int, float | None] = (0, None)  # number and time of the last valid line
        self._bad = 0  # lines in the open gap
        self._foreign = self._without = self._cut = 0

    def files(self, contents: Sequence[bytes]) -> None:
        for number, content in enumerate(contents):
            *lines, rest = content.split(b"\n")
            for line in lines:
                self._line(line)
            if rest and number == len(contents) - 1:
                self._result.notes.append("the last line is cut short: it is being written, or the supervisor was killed")
            elif rest:
                self._cut += 1
        self._finish()

    def _line(self, line: bytes) -> None:
        body, link = _parsed(line), chain.split(line)
        if body is None:
            self._cut += 1
            return
        at = _time(body)
        if link is None:
            if self._head:
                self._foreign += 1
                self._result.gaps.append(Gap(self._good[1], at, 1, "a line that the supervisor did not write"))
            else:
                self._without += 1
            return
        number = chain.number(link.head)
        if not self._head:
            self._begin(link, number, at)
        before, self._head = self._head, link.head
        if before and chain.following(before, link.body) != link.head:
            self._bad += 1
            return
        self._close(number, at)
        self.heads[number], self.times[number] = link.head, at
        if body.get("kind") == JournalSealed.kind and (seal := _seal(body)):
            self.seals.append(_Seal(number, at, before, seal))
        self._good = (number, at)

    def _begin(self, link: chain.Link, number: int, at: float | None) -> None:
        result = self._result
        result.since = at
        if self._without:
            result.doubts.append(f"the first {self._without} lines have no chain: they were written by an older version")
        if link.previous:
            self._head, result.dropped = link.previous, chain.number(link.previous)
            self.heads[result.dropped] = link.previous
        elif number > 1:
            result.gaps.append(Gap(None, at, number - 1, "the beginning of the file was removed"))
        else:
            result.gaps.append(Gap(None, at, 0, "the beginning of the first line was changed"))
        self._good = (number - 1, None)

    def _close(self, number: int, at: float | None) -> None:
        if not self._bad:
            return
        last, since = self._good
        lines = max(number - last - 1, self._bad)
        self._result.gaps.append(Gap(since, at, lines, f"{self._bad} of them in the file, but not as written"))
        self._bad = 0

    def _finish(self) -> None:
        result = self._result
        if self._bad:
            last, since = self._good
            lines = max(chain.number(self._head) - last, self._bad)
            result.gaps.append(Gap(since, None, lines, f"{self._bad} of them in the file, but not as written"))
        if self._cut:
            result.notes.append(f"lines that were cut short, as when the supervisor is killed: {self._cut}")
        if not self._head:
            result.doubts.append("no line has a chain: it was written by an older version" if self._without else "it is empty")
        result.lines = sum(number > result.dropped for number in self.heads)
        result.until, result.head = self._good[1], self._head


def journal(contents: Sequence[bytes], check: Check, head: str = "", key: str = "") -> tuple[Result, list[JournalSealed]]:
    """Examines the files of a journal, the oldest first. Returns also its valid seals.

    `head` and `key` are copies that root in the sandbox could not change.
    """
    result = Result()
    walk = _Walk(result)
    walk.files(contents)
    valid = _check_seals(walk, result, check, key)
    if head:
        _check_head(walk, result, head)
    if result.head and not (walk.seals and walk.seals[-1].event.last and walk.seals[-1].line == chain.number(result.head)):
        result.notes.append("it ends without the last seal: the sandbox runs, was killed, or lines at the end were removed")
    return result, valid


def traffic(contents: Sequence[bytes], seals: Sequence[JournalSealed], head: str = "") -> Result:
    """Examines the files of a traffic log. `seals` are the valid ones of the journal, which have the log's heads."""
    result = Result()
    walk = _Walk(result)
    walk.files(contents)
    for sealed in dict.fromkeys(seal.traffic for seal in seals if chain.HEAD.match(seal.traffic)):
        if chain.number(sealed) > result.dropped and result.head:
            _check_head(walk, result, sealed, "sealed in the journal")
    if head:
        _check_head(walk, result, head)
    return result


def _check_head(walk: _Walk, result: Result, head: str, known: str = "noted") -> None:
    number, last = chain.number(head), max(walk.heads, default=0)
    if number in walk.heads:
        if walk.heads[number] != head:
            at = walk.times.get(number)
            result.gaps.append(Gap(result.since, at, number - result.dropped, f"not the lines whose head was {known}"))
    elif number < result.dropped or not walk.heads:
        result.doubts.append(
            f"line {number}, whose head was {known}, is not in the file, which begins with {result.dropped + 1}"
        )
    elif number > last:
        result.gaps.append(Gap(result.until, None, number - last, f"the head of line {number} was {known}"))


def _check_seals(walk: _Walk, result: Result, check: Check, key: str) -> list[JournalSealed]:
    valid: list[JournalSealed] = []
    before: _Seal | None = None
    sealed: float | None = None
    trusted = not key  # from the seal on that names the key
    for seal in walk.seals:
        event = seal.event
        trusted = trusted or event.key == key
        if not event.seal:
            if before is not None:
                text = f"a new key begins at line {seal.line}, which no seal names: the supervisor was started again"
                (result.doubts if key and trusted and event.key != key else result.notes).append(text)
            sealed = seal.at
        elif before is not None:
            signed = chain.sealed_text(event.number, seal.before, event.traffic, event.key, last=event.last)
            if event.number != before.event.number + 1 or not check(before.event.key, signed, event.seal):
                lines = seal.line - before.line
                result.gaps.append(Gap(before.at, seal.at, lines, "the seal does not fit the lines: they were rewritten"))
            else:
                valid.append(event)
                result.sealed = sealed = seal.at
        else:
            sealed = seal.at
        before = seal
    if before is None and result.head:
        result.notes.append("it has no seals")
    if sealed is not None and result.until is not None and result.until - sealed > MAX_UNSEALED:
        result.doubts.append(f"the last {(result.until - sealed) / 60:.0f} minutes have no seal, which is due every 5 minutes")
    if not trusted:
        result.doubts.append("no seal names the key that was noted: the file is of another sandbox, rewritten, or begins later")
    return valid


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _time(body: dict[str, Any]) -> float | None:
    at = body.get("at")
    return float(at) if isinstance(at, int | float) and abs(at) < 1e11 else None


def _seal(body: dict[str, Any]) -> JournalSealed | None:
    try:
        event: JournalSealed = build(JournalSealed, body)
    except (TypeError, ValueError):
        return None
    return event


def is_traffic(content: bytes) -> bool:
    """True if the first line of a file that is JSON is a connection, not an event."""
    bodies: Iterator[dict[str, Any] | None] = (_parsed(line) for line in content.split(b"\n")[:100])
    first = next((body for body in bodies if body is not None), {})
    return "protocol" in first and "kind" not in first
