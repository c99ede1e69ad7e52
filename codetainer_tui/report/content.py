"""What a report says, as sections of a sentence and a table; the same for text, HTML and JSON. Pure."""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Iterator
from dataclasses import field

from backend.contract.day import BUCKET_SECONDS, Doing, Mark, MarkKind
from backend.contract.events import RepositoryWork
from backend.contract.immutable import dataclass
from backend.contract.state import State
from codetainer_tui.view import View, view, work
from codetainer_tui.view.parts import RefusedLine, Tone
from codetainer_tui.view.work import last_save
from codetainer_tui.words import clock, columns, grouped, harmless, lasting, many, moment, until

MAX_ROWS = 60  # of the refused rows; status and the log have all of them
MAX_TEXT = 20_000  # characters of the task
LINK = r"https://github\.com/[A-Za-z0-9._/-]{1,300}"


@dataclass(frozen=True, slots=True)
class Section:
    """`lines` are sentences, `rows` a table with the column names `head`."""

    title: str
    lines: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Timeline:
    """The day as a picture shows it. Times are in seconds since the epoch; a bucket of refusals lasts `bucket_seconds`."""

    since: float
    until: float
    spans: tuple[tuple[float, float, Doing], ...] = ()
    marks: tuple[Mark, ...] = ()
    refused: tuple[tuple[float, int, int], ...] = ()  # begin of the bucket; policy, serious
    bucket_seconds: int = BUCKET_SECONDS


@dataclass(frozen=True, slots=True)
class Report:
    """All text is safe to show (words.harmless). `seconds` has the time spent on each activity."""

    title: str
    made_at: float
    period: str
    headline: str
    needs: tuple[str, ...]  # what needs the operator
    timeline: Timeline
    seconds: dict[str, float]
    sections: tuple[Section, ...] = field(default_factory=tuple)


def report(state: State, now: float, *, since: float = 0.0, task: str = "", supervised: bool = True) -> Report:
    """The report on a state at the time `now`, from `since` on (0: from the beginning of the record).

    `task` is the text of CLAUDE_PROMPT, "" if the reader does not have it. A sandbox that nothing supervises any more is
    reported up to its last event.
    """
    shown = view(state, now, supervised=supervised)
    end = now if supervised and not state.stopping else state.updated_at
    begin = max(since, state.day.since or state.started_at)
    timeline = _timeline(state, min(begin, end), end)
    name = " ".join(filter(None, (shown.sandbox, shown.place))) or "sandbox"
    seconds = state.day.seconds(timeline.since, end)
    return Report(
        title=f"Report on {name}",
        made_at=now,
        period=f"{moment(timeline.since)} to {_end(timeline.since, end)}",
        headline="  ".join(part for part in (shown.headline.word, shown.headline.text) if part),
        needs=tuple(_needs(shown, state)),
        timeline=timeline,
        seconds={str(doing): round(spent, 1) for doing, spent in seconds.items()},
        sections=tuple(_sections(shown, state, timeline, seconds, task)),
    )


def _end(since: float, end: float) -> str:
    same = time.localtime(since)[:3] == time.localtime(end)[:3]
    return clock(end) if same else moment(end)


def _timeline(state: State, since: float, end: float) -> Timeline:
    refused = ((int(bucket) * BUCKET_SECONDS, *counts) for bucket, counts in state.day.refused.items())
    return Timeline(
        since,
        end,
        tuple(state.day.between(since, end)),
        tuple(mark for mark in state.day.marks if since <= mark.at <= end),
        tuple(sorted(one for one in refused if one[0] + BUCKET_SECONDS > since)),
    )


def _needs(shown: View, state: State) -> Iterator[str]:
    if shown.alarms:
        yield f"Serious refusals that nobody has acknowledged: {shown.alarm_summary}"
    for block in shown.blocks:
        if block.tone in (Tone.BAD, Tone.WARN):
            yield f"{block.title}{f' ({block.since})' if block.since else ''}: {' '.join(block.lines[:2])}"
    if shown.headline.text_tone is Tone.WARN:
        yield f"{shown.headline.text[:1].upper()}{shown.headline.text[1:]}."


def _sections(shown: View, state: State, line: Timeline, seconds: dict[Doing, float], task: str) -> Iterator[Section]:
    yield _task(state, task)
    yield _time(line, seconds, state)
    yield _written(line)
    marks = [mark for mark in line.marks if mark.kind is not MarkKind.WRITE]
    yield Section(
        "What happened",
        () if marks else ("Nothing out of the ordinary.",),
        ("when", "what", "by"),
        tuple((clock(mark.at), f"{'! ' * mark.bad}{harmless(mark.text, 300)}", harmless(mark.by, 40)) for mark in line.marks),
    )
    yield _work(state, shown)
    yield _traffic(shown)
    yield _refused(shown, line)
    yield _decisions(state, line)
    yield _model(state)
    yield Section(
        "Protections",
        (f"Last self-test: {moment(state.proof_at)}." if state.proof_at else "The self-test has not run.",),
        ("protection", "result", "meaning"),
        tuple((row.label, row.cells[0], "  ".join(row.cells[1:])) for row in shown.walls),
    )
    yield _record(state, line)


def _task(state: State, task: str) -> Section:
    if not state.prompt_sha256:
        return Section("The task", ("No task was given at boot: a person typed it, or nothing was asked.",))
    known = f"{grouped(state.prompt_bytes)} bytes, SHA-256 {state.prompt_sha256}"
    if not task:
        return Section("The task", (f"{known}.", "With --task FILE, the report has its text."))
    return Section("The task", (f"{known}.", harmless(task, MAX_TEXT)))


def _time(line: Timeline, seconds: dict[Doing, float], state: State) -> Section:
    whole = line.until - line.since
    rows = tuple((str(doing), lasting(spent), f"{100 * spent / whole:.0f} %") for doing, spent in seconds.items() if whole)
    note = ("Short spans were joined with the ones before them, because there were too many.",) if state.day.thinned else ()
    return Section("Time", (f"{lasting(whole)} in all.", *note), ("activity", "time", "share"), rows)


def _written(line: Timeline) -> Section:
    """The pushes and other writes, with links to their pages."""
    writes = [mark for mark in line.marks if mark.kind is MarkKind.WRITE]
    rows = tuple((clock(mark.at), harmless(mark.text, 300), harmless(mark.by, 60), _safe(mark.link)) for mark in writes)
    lines = () if rows else ("Nothing was pushed or written through the gate.",)
    return Section("Pushed and written", lines, ("when", "what", "to", "link"), rows)


def _safe(link: str) -> str:
    """The link if it is one of those that the supervisor makes, else ""."""
    return link if re.fullmatch(LINK, link) else ""


def _work(state: State, shown: View) -> Section:
    counted, save = state.work, last_save(state)
    if counted is None:
        return Section("Work", ("Unsaved work has not been counted.",))
    lines = [*work.only_here(counted)] or ["Nothing is only here: every commit is pushed, and no file is changed."]
    if save is not None:
        lines.append(f"The cloned repository was {save.text()}.")
        lines += [f"Left out of that save: {harmless(', '.join(save.left_out), 300)}"] if save.left_out else []
    if state.save_problem:
        lines.append(f"The last save failed: {harmless(state.save_problem, 300)}")
    rows = tuple(_row(one) for one in counted.repositories[: work.MAX_REPOSITORIES * 4])
    return Section("Work that is only here", tuple(lines), ("repository", "branch", "commits", "files", "stashes"), rows)


def _row(one: RepositoryWork) -> tuple[str, ...]:
    more = "+" if one.more else ""
    return (
        harmless(one.path, 80), harmless(one.branch, 60), grouped(one.commits), f"{one.files + one.untracked}{more}",
        grouped(one.stashes),
    )  # fmt: skip


def _traffic(shown: View) -> Section:
    rows = tuple(
        (one.name, one.connections, one.bytes_out, one.bytes_in, ", ".join(filter(None, (one.note, one.marked))))
        for one in shown.traffic
    )
    lines = ("Since boot, by name; sizes as the agent saw them.",) if rows else ("Nothing went through the gate.",)
    return Section("What left", lines, ("name", "connections", "sent", "received", "remarks"), rows)


def _refused(shown: View, line: Timeline) -> Section:
    serious = sum(counts[2] for counts in line.refused)
    total = serious + sum(counts[1] for counts in line.refused)
    lines = [f"{many(total, 'refusal')} in this period" + (f", {grouped(serious)} of them serious." if serious else ".")]
    rows = [_refusal(row) for row in shown.refused[:MAX_ROWS]]
    if len(shown.refused) > MAX_ROWS:
        lines.append(f"The first {MAX_ROWS} of {many(len(shown.refused), 'kind')}: codetainer logs has all of them.")
    return Section("Refused", tuple(lines), ("last", "times", "what", "why", "class", "decision"), tuple(rows))


def _refusal(row: RefusedLine) -> tuple[str, ...]:
    decision = "allowed since" if row.opened_by else "acknowledged" if row.acknowledged else "muted" if row.muted else ""
    why = row.why + (f", by {row.by}" if row.by else "")
    return (row.last, grouped(row.count), row.what, why, str(row.severity), "not acknowledged" if row.alarm else decision)


def _decisions(state: State, line: Timeline) -> Section:
    open_now = [one for one in state.allowed.values() if not one.until or one.until > line.until]
    rows = tuple((harmless(one.entry, 200), until(one.until, line.until), harmless(one.by, 40)) for one in open_now)
    lines = () if rows else ("Nothing that was opened by hand is still open.",)
    if unlimited := [one for one in open_now if not one.until]:
        lines = (f"{many(len(unlimited), 'entry', 'entries')} without an end: codetainer revoke NAME closes one.",)
    return Section("Opened by hand, still open", lines, ("entry", "until", "by"), rows)


def _model(state: State) -> Section:
    used = state.model
    if used is None or not used.calls:
        return Section("The model", ("No call was seen at the gate.",))
    tokens = f"{grouped(used.input)} tokens in, {grouped(used.cached)} from the cache, {grouped(used.output)} out"
    lines = [f"{many(used.calls, 'call')}: {tokens}; about ${used.cost:.2f}."]
    if used.estimated:
        lines.append(f"{many(used.estimated, 'call')} did not report all of their usage, so the figures may be too low.")
    if used.unknown:
        lines.append(f"No price is known for {harmless(', '.join(used.unknown), 100)}: counted at the highest price.")
    return Section("The model", (*lines, *(harmless(limit, 80) for limit in used.limits)))


def _record(state: State, line: Timeline) -> Section:
    lines = [f"Complete from {moment(line.since)} on."]
    dropped = {kind: count for kind, count in state.day.dropped.items() if count}
    if dropped:
        lines.append(
            f"Not listed, because there were too many: {', '.join(f'{kind} {grouped(n)}' for kind, n in dropped.items())}."
        )
    lost = [note.text for note in state.notes if "events were lost" in note.text]
    lines += [harmless(text, 200) for text in lost[-3:]]
    return Section("The record", tuple(lines))


def text(report: Report, width: int = 100) -> str:
    """The report as plain text."""
    lines = [report.title, report.period, "", report.headline]
    lines += [f"! {line}" for need in report.needs for line in textwrap.wrap(need, width - 2)] or ["Nothing needs you."]
    for section in report.sections:
        lines += ["", section.title, "-" * len(section.title)]
        lines += [part for line in section.lines for part in textwrap.wrap(line, width, break_long_words=True) or [""]]
        if section.rows:
            lines += columns([section.head, *section.rows]).splitlines()
    return "\n".join(lines) + "\n"
