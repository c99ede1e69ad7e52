"""The last output of `up` at a terminal: the unsaved work that was saved or lost when the sandbox stopped."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from backend.contract import events, unsaved
from backend.contract.events import RepositoryWork, SaveSkipped, Stamped, WorkCounted, WorkSaved
from backend.contract.state import State, fold_all

ADVICE = f"CODETAINER_AUTOSAVE=exit would have saved the work in {unsaved.CLONE}."


class ExitSummary:
    """Opens a sandbox's journal before the sandbox stops, and later reads the new events, although its path is gone by then."""

    def __init__(self, journal: Path) -> None:
        self._file = -1
        with contextlib.suppress(OSError):
            self._file = os.open(journal, os.O_RDONLY | os.O_CLOEXEC)
            self._read = os.fstat(self._file).st_size

    def text(self) -> str:
        """Lines for the operator, "" if there was no unsaved work or none was counted."""
        if self._file < 0:
            return ""
        data = os.pread(self._file, os.fstat(self._file).st_size, 0)
        os.close(self._file)
        self._file = -1
        end = Ending(fold_all(_stamped(data[: self._read])))
        for stamped in _stamped(data[self._read :]):
            match stamped.event:
                case WorkCounted():
                    end.counted = stamped.event
                case WorkSaved():
                    end.saved = stamped.event
                case SaveSkipped():
                    end.skipped = stamped.event
        return render(end)


def _stamped(data: bytes) -> Iterator[Stamped]:
    for line in data.splitlines():
        with contextlib.suppress(ValueError):
            yield events.decode(line.decode(errors="replace"))


@dataclass(slots=True)
class Ending:
    """`before` is the state when the sandbox began to stop; the other fields are the last such events since then."""

    before: State = field(default_factory=State)
    counted: WorkCounted | None = None
    saved: WorkSaved | None = None
    skipped: SaveSkipped | None = None


def render(end: Ending) -> str:
    """The summary's text. The agent may have chosen paths and reasons, so control characters are escaped."""
    counted = end.counted
    if counted is None or not (counted.anything or counted.unknown):
        return ""
    clone = unsaved.of_clone(counted.repositories)
    lines: list[str] = []
    if clone is not None and clone.anything:
        lines += _of_clone(end, clone)
    if end.saved is not None and end.saved.problem and (counted.unknown or (clone is not None and clone.anything)):
        lines.append(f"The final save failed: {end.saved.problem}.")
    if end.skipped is not None and end.skipped.covered and not end.skipped.by_operator:
        lines.append(ADVICE)
    others = [work for work in counted.repositories if work.anything and work is not clone]
    is_saved = end.before.saved is not None or (end.saved is not None and not end.saved.problem)
    lines += [_lost(work) + (f" Saves contain only {unsaved.CLONE}." if is_saved else "") for work in others]
    lines += [f"{work.path}: {unsaved.UNKNOWN}: {note}" for work in counted.repositories for note in work.notes]
    if counted.problem:
        lines.append(f"{unsaved.UNKNOWN}: cannot count unsaved work: {counted.problem}")
    return "".join(f"codetainer: {ascii(line)[1:-1]}\n" for line in lines)


def _of_clone(end: Ending, work: RepositoryWork) -> Iterator[str]:
    """Yields sentences about the repository that saves contain."""
    saved = end.saved if end.saved is not None and not end.saved.problem else None
    before = end.before.saved
    if saved is not None:
        number = unsaved.joined(unsaved.amounts(work))
        if end.before.pretend:
            yield f"{work.path}: {number} {_were(work)} saved to {_place(end, saved)}, and {_are(work)} lost with it."
        else:
            yield f"{work.path}: {number} {_are(work)} saved to {_place(end, saved)}."
    elif before is None or end.before.pretend:
        yield _lost(work)
    else:
        since = end.counted.since if end.counted is not None else None
        saved_at = time.strftime("%H:%M", time.localtime(end.before.saved_at))
        if since is None or since.commit != before.commit:
            yield f"{work.path} was last saved at {saved_at} to {_place(end, before)}. Changes since then are lost."
        elif not unsaved.total(since):
            yield f"{work.path} was saved at {saved_at} to {_place(end, before)}, and has not changed since then."
        else:
            changed = unsaved.joined(unsaved.amounts(since))
            yield (
                f"{work.path} was saved at {saved_at} to {_place(end, before)}. "
                f"Since then {changed} {_were(since)} added or changed, and {_are(since)} lost."
            )
    for name in (saved or before or WorkSaved("")).left_out:
        yield f"Not in the save: {name}"


def _place(end: Ending, saved: WorkSaved) -> str:
    return f"branch {saved.branch} of {'the pretend internet' if end.before.pretend else end.before.repository or 'REPO_URL'}"


def _lost(work: RepositoryWork) -> str:
    return f"{work.path}: {unsaved.joined(unsaved.amounts(work))} existed only in the sandbox and {_are(work)} lost."


def _are(work: unsaved.Numbers) -> str:
    return "is" if unsaved.total(work) == 1 else "are"


def _were(work: unsaved.Numbers) -> str:
    return "was" if unsaved.total(work) == 1 else "were"
