"""The allowlist that a learning run writes: what the run's own allowlist contained, and an entry for each name that answered.

Names of entries are normalised and grants are parsed, so an entry is on one line and contains nothing else. All other text is
in comments, without control characters. `render` parses its result and compares it with what it meant to write.
"""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from network import allowlist, grant
from network.allowlist import REGISTRY_GRANTS, Allowlist, Entry
from network.learning.record import Learned, Record, Standing, line

NOTHING = "# Nothing was learned: no program asked for a name that is public, answers, and was not on the allowlist."
MAX_COMMENTS = 40  # lines about names without an entry, and about refusals
MANY_BELOW = 3  # names below one name, from which a wildcard is suggested
WIDTH = 110
_UNSAFE = re.compile(r"[^ -~]")
_REGISTRY = re.compile(r"@([a-z]+) \(")


@dataclass(frozen=True, slots=True)
class Refused:
    """A kind of refusal, for the list of what was not learned. Everything in it may be text from the agent."""

    name: str
    address: str
    port: int
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Run:
    """The run: its sandbox's name, its time (seconds since the epoch), its allowlist, and what the operator opened by hand.

    `used` are names with a connection. Hosts of `credentials` are never learned.
    """

    sandbox: str
    began: float
    ended: float
    listed: tuple[Entry, ...]
    by_hand: tuple[Entry, ...]
    used: frozenset[str]
    refused: tuple[Refused, ...]
    credentials: tuple[str, ...]


def render(record: Record, run: Run) -> str:
    """The file's text. Raises ValueError if it would not mean what was recorded."""
    answered = sorted(record.answered, key=lambda each: each.name)
    text = "\n".join([
        *_head(answered, run), "", *_listed(run), *_by_hand(run), *_learned(answered), *_wildcards(answered),
        *_silent(record, run), *_refused(run),
    ]) + "\n"  # fmt: skip
    _check(text, answered, run)
    return text


def _check(text: str, answered: Iterable[Learned], run: Run) -> None:
    """Raises ValueError if the parser reads other entries than those that are meant."""
    meant = [entry for each in answered for entry in each.entries]
    meant += [part for entry in (*run.listed, *run.by_hand) for part in entry.by_source() if _is_written(part)]
    registries = dict.fromkeys(allowlist.REGISTRY_TOOLS, ())
    expected = Allowlist().merged(Allowlist(tuple(meant)))
    read = allowlist.parse(text, "learned", registries).allowlist
    if _by_pattern(expected) != _by_pattern(read):
        raise ValueError("the allowlist of the learning run cannot be written: it would be read differently")


def _is_written(entry: Entry) -> bool:
    """False for an entry of a package registry, which is written as its `@` word, and of the telemetry settings."""
    return not entry.source.startswith(("@", "telemetry"))


def _by_pattern(entries: Allowlist) -> dict[str, frozenset[tuple[int, str, tuple[str, ...]]]]:
    return {e.pattern: frozenset((p.number, str(p.check), p.grant) for p in e.ports) for e in entries.entries}


def _head(answered: Sequence[Learned], run: Run) -> Iterator[str]:
    began, ended = (time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)) for at in (run.began, run.ended))
    yield f"# Allowlist of a learning run{f' in {_plain(run.sandbox)}' if run.sandbox else ''}, {began} to {ended} UTC."
    yield "# Read it before you use it: the agent chose the names and the requests. Every entry answered in this run."
    yield "# Use it with: codetainer up --domains FILE"
    if not answered:
        yield NOTHING
    wide = [each for each in answered if each.why_open]
    if wide:
        yield "#"
        yield "# OPEN FOR ANY REQUEST, because no smaller grant permits what was used. Decide about each:"
        for each in wide:
            yield f"#   {each.name}: {_plain('; '.join(each.why_open))}"


def _listed(run: Run) -> Iterator[str]:
    yield "# --- from the allowlist of this run, unchanged ---"
    written: set[str] = set()
    for entry in run.listed:
        for part in entry.by_source():
            tool = _REGISTRY.match(part.source)
            text = str(part)
            if tool:
                words = part.grants[0]
                same = words == REGISTRY_GRANTS[tool[1]]
                text = f"@{tool[1]}" if same else f"@{tool[1]} {grant.text(words)}"
            elif not _is_written(part):
                continue
            if text not in written:
                written.add(text)
                unused = "" if tool or _used(part, run) else "   # no connection in this run"
                yield f"{text}{unused}"


def _used(entry: Entry, run: Run) -> bool:
    return any(entry.name == name if not entry.below else name.endswith(f".{entry.name}") for name in run.used)


def _by_hand(run: Run) -> Iterator[str]:
    if run.by_hand:
        yield ""
        yield "# --- opened with codetainer allow during the run ---"
        for entry in run.by_hand:
            yield from map(str, entry.by_source())


def _learned(answered: Iterable[Learned]) -> Iterator[str]:
    yield ""
    yield "# --- learned: the smallest grants that permit what was used ---"
    for each in answered:
        by = ", ".join(each.programs) or "a program that was not seen"
        times = " to ".join(time.strftime("%H:%M:%S", time.gmtime(at)) for at in (each.first, each.last))
        yield f"# {each.name}: by {_plain(by)}; {_amounts(each)}; {times}"
        for _, granted in each.granted:
            if granted.left_out:
                yield f"#   LEFT OUT: {granted.left_out} more paths that were written to; they are refused"
            if granted.widened:
                yield "#   widened: paths that share their beginning are granted as /**"
        yield from map(line, each.entries)


def _amounts(each: Learned) -> str:
    methods: dict[str, int] = {}
    for _, requests in each.requests:
        for method, count in requests.methods.items():
            methods[method] = methods.get(method, 0) + count
    parts = [f"{method} {count}" for method, count in methods.items()]
    parts += [f"{each.unopened} TLS connections whose requests were not seen"] if each.unopened else []
    parts += [f"{each.unanswered} requests without an answer"] if each.unanswered else []
    return ", ".join(parts)


def _wildcards(answered: Iterable[Learned]) -> Iterator[str]:
    """Suggests wildcards, in comments only: nobody has used them."""
    below: dict[str, list[str]] = {}
    for each in answered:
        below.setdefault(each.name.partition(".")[2], []).append(each.name)
    many = {name: names for name, names in below.items() if len(names) >= MANY_BELOW}
    many = {name: names for name, names in many.items() if not allowlist.is_broad(Entry(name, True))}
    if many:
        yield ""
        yield "# --- wildcards that would cover several of these names, and names that nobody has used yet ---"
        yield from (f"#   *.{name} instead of {len(names)} names" for name, names in many.items())


def _silent(record: Record, run: Run) -> Iterator[str]:
    """Names that were opened but have no entry, not even one of the operator's."""
    by_hand = {entry.pattern for entry in run.by_hand}
    for standing, title in (
        (Standing.ASKED, "opened, but nothing answered: not learned"),
        (Standing.CLOSED, "closed by the operator: not learned"),
    ):
        names = sorted(each.name for each in record.names.values() if each.standing is standing and each.name not in by_hand)
        if names:
            yield ""
            yield f"# --- {title} ---"
            yield from (f"#   {name}" for name in names[:MAX_COMMENTS])
            if len(names) > MAX_COMMENTS:
                yield f"#   and {len(names) - MAX_COMMENTS} more"


def _refused(run: Run) -> Iterator[str]:
    """What the run could not learn. Names and addresses are text from the agent."""
    if run.credentials:
        yield ""
        text = f"Hosts with a credential are never learned: {', '.join(run.credentials)}"
        yield from (f"# {part}" for part in textwrap.wrap(text, WIDTH, break_on_hyphens=False))
    rows = sorted(run.refused, key=lambda each: -each.count)
    if rows:
        yield ""
        yield "# --- refused during the run: not learned. Connections by address and ports other than 80 and 443 never are ---"
        for each in rows[:MAX_COMMENTS]:
            where = _plain(each.name or each.address)[:WIDTH] + (f":{each.port}" if each.port else "")
            yield f"#   {where}: {_plain(each.reason)}, {'once' if each.count == 1 else f'{each.count} times'}"
        if len(rows) > MAX_COMMENTS:
            yield f"#   and {len(rows) - MAX_COMMENTS} more kinds"


def _plain(text: str) -> str:
    """Text for a comment: printable ASCII on one line."""
    return _UNSAFE.sub("?", text)[:300]
