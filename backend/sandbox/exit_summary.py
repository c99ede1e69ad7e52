"""The last output of `up` at a terminal: the unsaved work that was saved or lost when the sandbox stopped."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from backend.contract import events
from backend.contract.events import Event, RepositoryWork, WorkCounted, WorkSaved
from backend.contract.paths import Paths

MAIN = str(Paths().repository)
NOT_ASKED_FOR = "CODETAINER_AUTOSAVE=exit would have saved it"


class ExitSummary:
    """Opens a sandbox's journal before the sandbox stops, and later reads the new events, although its path is gone by then."""

    def __init__(self, journal: Path) -> None:
        self._file = -1
        with contextlib.suppress(OSError):
            self._file = os.open(journal, os.O_RDONLY | os.O_CLOEXEC)
            self._read = os.fstat(self._file).st_size

    def text(self) -> str:
        """Lines for the operator, "" if there was no unsaved work or none was counted."""
        counted: WorkCounted | None = None
        saved: WorkSaved | None = None
        for event in self._events():
            counted = event if isinstance(event, WorkCounted) else counted
            saved = event if isinstance(event, WorkSaved) else saved
        return render(counted, saved)

    def _events(self) -> Iterator[Event]:
        if self._file < 0:
            return
        data = os.pread(self._file, max(0, os.fstat(self._file).st_size - self._read), self._read)
        os.close(self._file)
        self._file = -1
        for line in data.splitlines():
            with contextlib.suppress(ValueError):
                yield events.decode(line.decode(errors="replace")).event


def render(counted: WorkCounted | None, saved: WorkSaved | None) -> str:
    """The summary's text. The agent may have chosen paths and reasons, so control characters are escaped."""
    if counted is None or not (counted.anything or counted.unknown):
        return ""
    with_work = [work for work in counted.repositories if work.anything]
    is_saved = saved is not None and not saved.problem
    kept = [work for work in with_work if is_saved and work.path == MAIN]
    lost = [work for work in with_work if work not in kept]
    lines: list[str] = []
    if saved is not None and kept:
        lines += _unsaved(kept)
        lines.append(f"saved to branch {ascii(saved.branch)[1:-1]} of the cloned repository")
        lines += [f"left out: {ascii(name)[1:-1]}" for name in saved.left_out]
    lines += _unsaved(lost)
    lines += [f"cannot list all unsaved work: {ascii(why)[1:-1]}" for why in counted.unknown]
    if lost or (not is_saved and (counted.problem or saved)):
        why = "only the cloned repository is saved" if is_saved else saved.problem if saved else NOT_ASKED_FOR
        lines.append(f"lost: {ascii(why)[1:-1]}")
    return "".join(f"codetainer: {line}\n" for line in lines)


def _unsaved(works: Iterable[RepositoryWork]) -> Iterator[str]:
    return (f"unsaved work in {ascii(work.path)[1:-1]}: {_amounts(work)}" for work in works)


def _amounts(work: RepositoryWork) -> str:
    amounts = (
        (work.commits, "commit", "commits"),
        (work.files + work.untracked, "file", "files"),
        (work.stashes, "stash", "stashes"),
    )
    return ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in amounts if count)
