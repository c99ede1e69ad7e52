"""Unsaved work as text, and where it was last saved."""

from __future__ import annotations

from collections.abc import Sequence

from backend.contract import unsaved
from backend.contract.control import WorkAtStake
from backend.contract.events import RepositoryWork, SessionState, SinceSave, WorkCounted
from backend.contract.immutable import dataclass
from backend.contract.state import State
from codetainer_tui.view.parts import Block, Row, Tone, Work
from codetainer_tui.words import clock, harmless, lasting, many, size

MAX_REPOSITORIES = 4
RECENT_SECONDS = 5.0  # the age of a count is shown beyond this
STEP_SECONDS = 5  # in which the age is shown


@dataclass(frozen=True, slots=True)
class LastSave:
    """The last save of the cloned repository. `since` is the work that it does not contain, None if that is not known.

    `pretend`: it went to the pretend internet, which ends with the sandbox.
    """

    branch: str
    at: float
    since: SinceSave | None
    left_out: tuple[str, ...]
    pretend: bool

    @property
    def is_complete(self) -> bool:
        """True if nothing of the repository is lost with the sandbox, except for what the save left out."""
        return self.since is not None and not unsaved.total(self.since) and not self.pretend

    @property
    def place(self) -> str:
        return harmless(self.branch, 60) + (f" of {unsaved.PRETEND}" if self.pretend else "")

    def text(self) -> str:
        """`saved 14:02 to wip/...; since then 1 commit, 1 file`."""
        if self.since is None:
            return f"last saved {clock(self.at)} to {self.place}"
        changed = ", ".join(unsaved.amounts(self.since))
        return f"saved {clock(self.at)} to {self.place}; {f'since then {changed}' if changed else 'unchanged since then'}"


def last_save(state: State, stake: WorkAtStake | None = None) -> LastSave | None:
    """The last save as the supervisor has just reported it in `stake`, otherwise according to the journal."""
    if stake is not None and stake.saved is not None:
        saved, at = stake.saved, stake.saved_at
        since = None if stake.problem else stake.since
    elif state.saved is not None:
        saved, at = state.saved, state.saved_at
        is_current = stake is None and state.work is not None and not state.work.problem
        since = state.work.since if is_current and state.work is not None else None
    else:
        return None
    since = since if since is not None and since.commit == saved.commit else None
    return LastSave(saved.branch, at, since, saved.left_out, state.pretend or (stake is not None and stake.pretend))


def short(work: unsaved.Numbers) -> str:
    """`3 commits, 5 files, 1 stash`."""
    return ", ".join(unsaved.amounts(work))


def described(work: RepositoryWork) -> str:
    """`/workspace/repo: 3 commits not pushed; not fully known: HEAD cannot be read`."""
    return harmless(unsaved.describe(work), 500)


def only_here(counted: WorkCounted) -> tuple[str, ...]:
    """A line for each repository with unsaved work or unreadable parts, and one if counting failed."""
    works = [work for work in counted.repositories if work.anything or work.notes]
    lines = [described(work) for work in works[:MAX_REPOSITORIES]]
    if len(works) > MAX_REPOSITORIES:
        lines.append(f"and {many(len(works) - MAX_REPOSITORIES, 'repository', 'repositories')} more")
    problem = f"{unsaved.UNKNOWN}: cannot be counted: {harmless(counted.problem, 200)}"
    return (*lines, *([problem] if counted.problem else []))


def exports(works: Sequence[RepositoryWork]) -> list[str]:
    """The commands that write these repositories' work to files."""
    return [harmless(unsaved.export(work.path)) for work in works[:MAX_REPOSITORIES]]


def row(state: State, now: float) -> Row | None:
    """`Unsaved work  1 commit in second   saved 14:02 to wip/...; since then 2 files   codetainer export second > ...`.

    None before there is a repository.
    """
    counted = state.work
    if counted is None or not (counted.repositories or counted.problem):
        return None
    save, others = last_save(state), unsaved.needs_export(counted.repositories)
    clone = unsaved.of_clone(counted.repositories)
    # First the amounts, in case the rest of a narrow screen's row is cut off.
    cells = [f"{_amount(work)} in {harmless(work.path.rpartition('/')[2], 40)}" for work in others[:MAX_REPOSITORIES]]
    if len(others) > MAX_REPOSITORIES:
        cells.append(f"and {many(len(others) - MAX_REPOSITORIES, 'repository', 'repositories')} more")
    if clone is not None:
        cells = [*cells, *_of_clone(clone, save, is_only=not others)]
    if counted.problem:
        cells.append(f"{unsaved.UNKNOWN}: cannot be counted: {harmless(counted.problem, 160)}")
    if state.save_problem:
        cells.append(f"not saved: {harmless(state.save_problem, 160)}")
    if not clone and not others and not counted.problem:
        cells = ["none"]
    age = now - state.counted_at
    if state.counted_at and age > RECENT_SECONDS:
        cells.append(f"counted {lasting(age // STEP_SECONDS * STEP_SECONDS if age < 60 else age)} ago")
    cells += exports(others)
    return Row("Unsaved work", tuple(cells), Tone.WARN if state.save_problem or counted.problem else Tone.PLAIN)


def _of_clone(work: RepositoryWork, save: LastSave | None, *, is_only: bool) -> list[str]:
    """The cells about the repository that saves contain."""
    here = "" if is_only else f" in {harmless(work.path.rpartition('/')[2], 40)}"
    amount = (_amount(work) + here) if work.anything or work.notes else ""
    if save is None or not work.anything:
        return [amount or "none"] if amount or is_only else []
    if save.since is None or save.pretend:
        return [amount, save.text()]
    cells = [f"{save.text()}{here}"] if unsaved.total(save.since) else [f"none{here}", save.text()]
    return [*cells, *([unsaved.UNKNOWN] if work.notes else [])]


def _amount(work: RepositoryWork) -> str:
    return ", ".join(part for part in (short(work), unsaved.UNKNOWN if work.notes else "") if part)


def block(state: State) -> Block | None:
    """The unsaved work, if it is at risk: the agent has exited, the sandbox is closed or stopping, or a save failed."""
    counted = state.work
    if counted is None or not (counted.anything or counted.unknown):
        return None
    ended = state.session_state is SessionState.ENDED
    if not (ended or state.needs_retry or state.stopping or state.save_problem):
        return None
    lines = [*only_here(counted)]
    if (save := last_save(state)) is not None:
        lines.append(f"{unsaved.CLONE}: {save.text()}")
        if save.left_out:
            lines.append(f"left out: {harmless(', '.join(save.left_out), 200)}")
    if state.save_problem:
        lines.append(f"not saved: {harmless(state.save_problem, 300)}")
    if not state.stopping:
        at_risk = [work for work in counted.repositories if work.anything or work.notes]
        commands = exports(at_risk) or [unsaved.export()]
        lines += [f"Run {command} to keep it." for command in commands]
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
        state.counted_at,
        tuple(harmless(work.path, 300) for work in unsaved.needs_export(repositories)),
    )


def suspended(state: State) -> Row | None:
    """`Archive  14:02  /volume/work-00000007.tar  182 MB  40,000 files`; None if none was written."""
    last, cells = state.suspended, list[str]()
    if last is not None:
        cells += [f"written {clock(state.suspended_at)}", harmless(last.file, 120), size(last.size), many(last.entries, "file")]
        if lacking := len(last.left_out) + last.more:
            cells.append(f"{many(lacking, 'file')} left out")
    if state.suspend_problem:
        cells.insert(0, f"not written: {harmless(state.suspend_problem, 160)}")
    return Row("Archive", tuple(cells), Tone.WARN if state.suspend_problem else Tone.PLAIN) if cells else None
