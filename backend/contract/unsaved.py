"""Describes unsaved work in the same words for the log, the front ends and the exit summary. Pure.

Saves to `wip/` contain only the cloned repository, `CLONE`. All other repositories need an export.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from backend.contract import shell
from backend.contract.events import RepositoryWork, SinceSave, WorkCounted
from backend.contract.paths import Paths

WORKSPACE = str(Paths().workspace)
CLONE = str(Paths().repository)
UNKNOWN = "not fully known"
PRETEND = "the pretend internet, which ends with this sandbox"


class Numbers(Protocol):
    @property
    def commits(self) -> int: ...
    @property
    def files(self) -> int: ...
    @property
    def untracked(self) -> int: ...
    @property
    def stashes(self) -> int: ...
    @property
    def more(self) -> bool: ...


def amounts(work: Numbers, *, commits: str = "", files: str = "") -> list[str]:
    """Returns `3 commits`, `5 files`, `1 stash`, without zeros. `commits` and `files` are added to their numbers."""
    changed = work.files + work.untracked
    parts = (
        _many(work.commits, "commit") + commits if work.commits else "",
        _many(changed, "file") + (" and more" if work.more else "") + files if changed else "",
        _many(work.stashes, "stash", "stashes") if work.stashes else "",
    )
    return [part for part in parts if part]


def describe(work: RepositoryWork, most_notes: int = 2) -> str:
    """Returns `/workspace/repo: 3 commits not pushed, 5 files not committed; not fully known: HEAD cannot be read`."""
    text = ", ".join(amounts(work, commits=" not pushed", files=" not committed"))
    if work.notes:
        more = len(work.notes) - most_notes
        listed = "; ".join((*work.notes[:most_notes], *([f"and {more} more"] if more > 0 else [])))
        text += f"{'; ' if text else ''}{UNKNOWN}: {listed}"
    return f"{work.path}: {text}" if text else work.path


def total(work: Numbers) -> int:
    return work.commits + work.files + work.untracked + work.stashes


def joined(parts: Sequence[str]) -> str:
    """Returns `a, b and c`."""
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)


def needs_export(works: Iterable[RepositoryWork]) -> list[RepositoryWork]:
    """Returns the repositories with unsaved work, or with parts that cannot be read, that no save contains."""
    return [work for work in works if work.path != CLONE and (work.anything or work.notes)]


def of_clone(works: Iterable[RepositoryWork]) -> RepositoryWork | None:
    """Returns the work in the repository that saves contain."""
    return next((work for work in works if work.path == CLONE), None)


def concerns_clone(counted: WorkCounted, since: SinceSave | None) -> bool:
    """True if the saved repository has, or may have, work that its last save does not contain (`since`)."""
    clone = of_clone(counted.repositories)
    if counted.problem or (clone is not None and clone.notes):
        return True
    return total(since) > 0 if since is not None else clone is not None and clone.anything


def export(path: str = CLONE, workspace: str = WORKSPACE) -> str:
    """Returns the command that writes the work of one repository to a file. The agent chose the path: it is quoted."""
    if path == CLONE:
        return "codetainer export > work.bundle"
    if path == workspace:
        return f"codetainer export . > {shell.file(workspace.rpartition('/')[2])}.bundle"
    name = path.removeprefix(f"{workspace}/")
    return f"codetainer export {shell.file(name)} > {shell.file(name.rpartition('/')[2] + '.bundle')}"


def _many(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"
