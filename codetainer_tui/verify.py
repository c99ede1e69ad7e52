"""`codetainer verify`: whether a journal and a traffic log are whole."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from backend.contract import chain
from backend.contract.events import JournalSealed
from backend.contract.paths import Paths
from backend.contract.verbs import wrong
from codetainer_tui import record
from codetainer_tui.record import Answer, Gap, Result
from codetainer_tui.words import clock_seconds, date, many

EXIT_CODES = {Answer.WHOLE: 0, Answer.GAP: 1, Answer.UNKNOWN: 2}
OUTSIDE = (
    "Nothing from outside confirms it: root in the sandbox could have rewritten all of it. Note the key or a head elsewhere "
    "(the log of boot, codetainer status, metrics), and repeat this with --key KEY or --head HEAD."
)
ATTEMPTS = 5


def verify(paths: Paths, files: Sequence[Path], *, head: str, key: str, as_json: bool) -> int:
    """Prints the answer. Exit code 0: whole, 1: a gap, 2: cannot be established, or the arguments are wrong."""
    if head and not chain.HEAD.match(head):
        return _refuse(f"cannot compare with {head!a}: expected a head, such as 1234-9f86d081884c7d659a2feaa0c55ad015")
    if key and (len(key) != 64 or not set(key) <= set("0123456789abcdef")):
        return _refuse(f"cannot compare with {key!a}: expected a key of 64 hexadecimal digits")
    try:
        contents = [file.read_bytes() for file in files] if files else _live(paths)
    except OSError as error:
        return _refuse(f"cannot read {error.filename}: {error.strerror}")
    journals = [content for content in contents if not record.is_traffic(content)]
    connections = [content for content in contents if record.is_traffic(content)]
    results: dict[str, Result] = {}
    seals: list[JournalSealed] = []
    if journals:
        results["journal"], seals = record.journal(journals, _check, head, key)
    if connections:
        results["traffic log"] = record.traffic(connections, seals, "" if journals else head)
        if not seals:
            results["traffic log"].notes.append("only the journal's seals confirm its end: give the journal, too")
    if as_json:
        sys.stdout.write(json.dumps({name: _as_json(result) for name, result in results.items()}, indent=2) + "\n")
    else:
        for name, result in results.items():
            sys.stdout.write(text(name, result, anchored=bool(head or key)))
    return max((EXIT_CODES[result.answer] for result in results.values()), default=2) if not _gap(results) else 1


def _gap(results: dict[str, Result]) -> bool:
    return any(result.answer is Answer.GAP for result in results.values())


def _refuse(reason: str) -> int:
    sys.stderr.write(wrong(reason, "Run codetainer verify --help for details."))
    return 2


def _live(paths: Paths) -> list[bytes]:
    """The files of the sandbox's own logs. Raises OSError."""
    contents: list[bytes] = []
    for current, older in (
        (paths.journal, paths.journal.with_name("events.1.jsonl")),
        (paths.traffic, paths.traffic.with_name(f"{paths.traffic.name}.1")),
    ):
        for _ in range(ATTEMPTS):
            before = older.stat().st_ino if older.exists() else 0
            both = [file.read_bytes() for file in (older, current) if file.exists()]
            if (older.stat().st_ino if older.exists() else 0) == before:
                break  # else a new file was begun meanwhile
        contents += both
    if not contents:
        raise FileNotFoundError(2, "no sandbox has booted here", str(paths.journal))
    return contents


def _check(key: str, signed: bytes, signature: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def text(name: str, result: Result, *, anchored: bool) -> str:
    """The answer in a few lines, the most important first."""
    span = f"{many(result.lines, 'line')} from {_when(result.since)} to {_when(result.until)}"
    match result.answer:
        case Answer.WHOLE:
            sealed = f", sealed up to {_when(result.sealed)}" if result.sealed else ""
            lines = [f"{name}: whole: {span}{sealed}"]
        case Answer.GAP:
            lines = [f"{name}: a gap" if len(result.gaps) == 1 else f"{name}: {len(result.gaps)} gaps"]
            lines += [f"  {_gap_words(gap)}" for gap in result.gaps]
        case _:
            lines = [f"{name}: cannot be established: {'; '.join(result.doubts)}"]
    notes = list(result.notes)
    if result.dropped:
        notes.insert(0, f"{many(result.dropped, 'earlier line')} dropped by the size bound, and not in these files")
    lines += [f"  {note}" for note in notes]
    if result.answer is Answer.WHOLE and not anchored:
        lines.append(f"  {OUTSIDE}")
    return "\n".join(lines) + "\n"


def _gap_words(gap: Gap) -> str:
    return f"from {_when(gap.since)} to {_when(gap.until)}: {many(gap.lines, 'line')}: {gap.why}"


def _when(at: float | None) -> str:
    return f"{date(at)} {clock_seconds(at)}" if at is not None else "an unknown time"


def _as_json(result: Result) -> dict[str, object]:
    return {"answer": str(result.answer), **dataclasses.asdict(result)}
