"""Unsaved work as text, and where it was last saved."""

from __future__ import annotations

from backend.contract.events import RepositoryWork, SessionState, WorkCounted
from backend.contract.state import State
from codetainer_tui.view.parts import Block, Row, Tone, Work
from codetainer_tui.words import clock, harmless, many

EXPORT = "codetainer export > work.bundle"
MAX_REPOSITORIES = 4


def amounts(work: RepositoryWork) -> str:
    """`3 commits not pushed, 5 files not committed, 1 stash`; "" if there is nothing."""
    files = work.files + work.untracked
    parts = (
        f"{many(work.commits, 'commit')} not pushed" if work.commits else "",
        f"{many(files, 'file')}{' and more' if work.more else ''} not committed" if files else "",
        many(work.stashes, "stash", "stashes") if work.stashes else "",
    )
    return ", ".join(part for part in parts if part)


def short(work: RepositoryWork) -> str:
    """`3 commits, 5 files, 1 stash`."""
    return amounts(work).replace(" not pushed", "").replace(" not committed", "")


def only_here(counted: WorkCounted) -> tuple[str, ...]:
    """A line for each repository with unsaved work, then a line for everything that could not be counted."""
    with_work = [work for work in counted.repositories if work.anything]
    lines = [f"{harmless(work.path, 80)}: {amounts(work)}" for work in with_work[:MAX_REPOSITORIES]]
    if len(with_work) > MAX_REPOSITORIES:
        lines.append(f"and {many(len(with_work) - MAX_REPOSITORIES, 'repository', 'repositories')} more")
    notes = [harmless(note, 200) for work in counted.repositories for note in work.notes[:2]]
    return (*lines, *notes, *([f"cannot be counted: {harmless(counted.problem, 200)}"] if counted.problem else []))


def row(state: State) -> Row | None:
    """`Unsaved work  3 commits, 2 files   saved 14:02 to wip/...`; None before there is a repository."""
    counted = state.work
    if counted is None or not (counted.repositories or counted.problem):
        return None
    with_work = [work for work in counted.repositories if work.anything]
    if not with_work:
        cells = ["could not be counted completely" if counted.unknown else "none"]
    elif len(with_work) == 1:
        cells = [short(with_work[0])]
    else:
        cells = [f"{short(work)} in {harmless(work.path.rpartition('/')[2], 40)}" for work in with_work[:MAX_REPOSITORIES]]
    if counted.problem:
        cells.append(f"cannot be counted: {harmless(counted.problem, 160)}")
    if state.saved is not None:
        cells.append(f"saved {clock(state.saved_at)} to {harmless(state.saved.branch, 60)}")
    if state.save_problem:
        cells.append(harmless(state.save_problem, 160))
    return Row("Unsaved work", tuple(cells), Tone.WARN if state.save_problem or counted.problem else Tone.PLAIN)


def block(state: State) -> Block | None:
    """The unsaved work, if it is at risk: the agent has exited, the sandbox is closed or stopping, or a save failed."""
    counted = state.work
    if counted is None or not (counted.anything or counted.unknown):
        return None
    ended = state.session is not None and state.session.state is SessionState.ENDED
    if not (ended or state.needs_retry or state.stopping or state.save_problem):
        return None
    lines = [*only_here(counted)]
    if state.saved is not None:
        lines.append(f"saved {clock(state.saved_at)} to {harmless(state.saved.branch, 60)}")
        if state.saved.left_out:
            lines.append(f"left out: {harmless(', '.join(state.saved.left_out), 200)}")
    if state.save_problem:
        lines.append(f"not saved: {harmless(state.save_problem, 300)}")
    if not state.stopping:
        lines.append(f"Run {EXPORT} to keep it.")
    return Block("Work that exists only in this sandbox", "", tuple(lines), Tone.WARN)


def numbers(state: State) -> Work:
    """The amounts, for `status --json`."""
    repositories = state.work.repositories if state.work is not None else ()
    return Work(
        sum(work.commits for work in repositories),
        sum(work.files + work.untracked for work in repositories),
        sum(work.stashes for work in repositories),
        harmless(state.saved.branch, 100) if state.saved is not None else "",
        state.saved_at,
        harmless(state.save_problem, 300),
        harmless("; ".join(state.work.unknown if state.work is not None else ()), 300),
    )
