"""The question that `codetainer up` asks before it stops a sandbox: which work would be lost, and what to do. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from backend.contract import unsaved
from backend.contract.control import Reply, WorkAtStake
from backend.contract.events import RepositoryWork, SessionState, WorkCounted, build
from backend.contract.immutable import dataclass
from backend.contract.state import State
from codetainer_tui.view import work
from codetainer_tui.view.headline import agent_words
from codetainer_tui.view.session import CANNOT_GO_ON
from codetainer_tui.view.work import LastSave
from codetainer_tui.words import ago, clock, harmless

NO_REPOSITORY = "There is no git repository in /workspace, so nothing there was counted. All of it would be lost."
ALL_PUSHED = "No unsaved work: every commit is pushed, and no file is changed."
ALWAYS = "Also lost: files that git ignores or that are outside a repository, and Claude's conversation."
INTERRUPTED = frozenset((SessionState.WORKS, SessionState.WAITS, *CANNOT_GO_ON))


@dataclass(frozen=True, slots=True)
class Question:
    """`lines` describe the work at stake. `save` and `stop` are answers; `save` is "" if nothing can be saved."""

    text: str
    lines: tuple[str, ...]
    save: str
    stop: str
    drops: bool = False  # `stop` has to cancel the save that the sandbox would make


def has_begun(state: State) -> bool:
    """True if the agent has ever run. Before that nothing can be lost."""
    return state.session is not None or state.work is not None


def last_known(state: State) -> WorkAtStake:
    """The work according to the journal, for use until git has counted it."""
    repositories = state.work.repositories if state.work is not None else ()
    return WorkAtStake(repositories, state.counted_at, problem="git takes too long", pretend=state.pretend)


def question(
    name: str, stake: WorkAtStake, state: State, now: float, *, left_out: Sequence[str] = (), problem: str = ""
) -> Question:
    """The question about the sandbox called `name`.

    `left_out`: what the save that the operator has just asked for does not contain; `problem`: why it failed.
    """
    counted, save = WorkCounted(stake.repositories), work.last_save(state, stake)
    others, clone = unsaved.needs_export(stake.repositories), unsaved.of_clone(stake.repositories)
    at_risk = [one for one in stake.repositories if _is_lost(one, save)]
    known = not stake.problem
    lines: list[str] = []
    if problem:
        lines.append(f"Saving failed: {harmless(problem, 300)}")
    if left_out:
        branch = harmless(stake.branch, 100)
        lines.append(f"{unsaved.CLONE} was saved to {branch}, except for: {harmless('; '.join(left_out), 300)}")
    if not known:
        at = f" Last counted {ago(stake.at, now)}:" if stake.at else " Last known:"
        lines.append(f"Cannot count unsaved work: {harmless(stake.problem, 200)}.{at if counted.repositories else ''}")
    if any(one.anything for one in at_risk):
        is_partly_saved = save is not None and save.since is None and not save.pretend and clone in at_risk
        lines.append("Unsaved work:" if is_partly_saved else "Unsaved work that would be lost:")
        lines += [f"  {line}" for line in _lost(at_risk, save)]
    elif at_risk:
        lines += _lost(at_risk, save)
    elif known and not counted.repositories:
        lines.append(NO_REPOSITORY)
    elif known and not stake.anything:
        lines.append(ALL_PUSHED)
    if save is not None and clone is not None and clone.anything and not left_out:
        lines += _saved(save)
    if stake.cannot_save and (stake.anything or not known):
        lines.append(f"{unsaved.CLONE} cannot be saved to wip/: {harmless(stake.cannot_save, 200)}.")
    elif stake.pretend and (stake.anything or not known):
        lines.append(f"A save would go to {unsaved.PRETEND}.")
    elif _is_planned(stake, save):
        lines.append(f"A save of {unsaved.CLONE} is planned for the end; stopping without a save cancels it.")
    lines += _exports(name, stake, at_risk)
    if state.session_state in INTERRUPTED and not state.frozen:
        words = agent_words(state)
        lines.append(f"{words[:1].upper()}{words[1:]}: stopping interrupts it.")
    lines.append(ALWAYS)
    loses = bool(at_risk or left_out or stake.problem)
    elsewhere = " (other repositories not saved)" if any(one.anything for one in others) else ""
    return Question(
        f"Stop sandbox {name}?",
        tuple(lines),
        _save(stake, save, left_out, elsewhere),
        _stop(stake, save, left_out, loses=loses) + elsewhere,
        drops=loses and not left_out,
    )


def _exports(name: str, stake: WorkAtStake, at_risk: Sequence[RepositoryWork]) -> Iterator[str]:
    """Yields how to get work that a save cannot contain."""
    is_rescued_by_save = not stake.cannot_save and not stake.pretend
    works = [one for one in at_risk if one.path != unsaved.CLONE or not is_rescued_by_save]
    if stake.problem and not works and not is_rescued_by_save:
        works = [RepositoryWork(unsaved.CLONE)]
    for one, command in zip(works, work.exports(works), strict=False):
        path = harmless(one.path, 80)
        yield f"To keep {path}, run in another terminal: codetainer enter --name {name} --root -- {command}"


def _is_lost(one: RepositoryWork, save: LastSave | None) -> bool:
    if one.path == unsaved.CLONE and save is not None and save.is_complete:
        return bool(one.notes)
    return one.anything or bool(one.notes)


def _lost(works: Sequence[RepositoryWork], save: LastSave | None) -> list[str]:
    """The lines about work that is lost if the sandbox stops now."""
    lines = list(work.only_here(WorkCounted(tuple(works))))
    if save is not None and save.since is not None and not save.pretend and works[0].path == unsaved.CLONE:
        changed = work.short(save.since)
        notes = dataclasses.replace(works[0], commits=0, files=0, untracked=0, stashes=0)
        since = f"{changed} since the save at {clock(save.at)}" if changed else ""
        unknown = work.described(notes).removeprefix(f"{unsaved.CLONE}: ") if works[0].notes else ""
        lines[0] = f"{unsaved.CLONE}: {'; '.join(part for part in (since, unknown) if part)}"
    return lines


def _saved(save: LastSave) -> list[str]:
    """Lines about the last save of the one repository that is saved."""
    if save.since is None or save.pretend:
        text = f"was last saved at {clock(save.at)} to {save.place}. Its changes since then would be lost."
        lines = [f"{unsaved.CLONE} {text if not save.pretend else f'was saved at {clock(save.at)} to {save.place}.'}"]
    elif unsaved.total(save.since):
        lines = [f"{unsaved.CLONE} was saved at {clock(save.at)} to {save.place}. Only its changes since then would be lost."]
    else:
        lines = [f"{unsaved.CLONE} was saved at {clock(save.at)} to {save.place} and has not changed since then."]
    return lines + ([f"Not in that save: {harmless('; '.join(save.left_out), 300)}"] if save.left_out else [])


def _can_save(stake: WorkAtStake, save: LastSave | None) -> bool:
    """True if a save would rescue work that is not in the last save."""
    if stake.cannot_save or stake.pretend:
        return False
    clone = unsaved.of_clone(stake.repositories)
    return bool(stake.problem) or (clone is not None and clone.anything and not (save is not None and save.is_complete))


def _is_planned(stake: WorkAtStake, save: LastSave | None) -> bool:
    """True if the sandbox would make such a save at its end."""
    return stake.saves and _can_save(stake, save)


def _save(stake: WorkAtStake, save: LastSave | None, left_out: Sequence[str], elsewhere: str) -> str:
    if left_out or not _can_save(stake, save):
        return ""
    return f"save {unsaved.CLONE} to {harmless(stake.branch, 100) or 'a branch wip/...'}, then stop{elsewhere}"


def _stop(stake: WorkAtStake, save: LastSave | None, left_out: Sequence[str], *, loses: bool) -> str:
    if left_out:
        return "stop and lose what was not saved"
    if not loses:
        return "stop"
    return "stop without a save and lose it" if _is_planned(stake, save) else "stop and lose it"


def table(reply: Reply) -> str:
    """The answer to a CountWork as lines for `codetainer work`. Raises TypeError or ValueError if it is malformed."""
    stake: WorkAtStake = build(WorkAtStake, reply.data)
    if stake.problem:
        return f"cannot count unsaved work: {harmless(stake.problem, 300)}\n"
    lines = list(work.only_here(WorkCounted(stake.repositories)))
    if not stake.anything:
        lines = ["no unsaved work" if stake.repositories else "no git repository in /workspace", *lines]
    clone, save = unsaved.of_clone(stake.repositories), work.last_save(State(), stake)
    if save is not None:
        lines.append(f"{unsaved.CLONE}: {save.text()}")
        lines += [f"not in that save: {harmless('; '.join(save.left_out), 300)}"] if save.left_out else []
    if stake.cannot_save:
        lines.append(f"{unsaved.CLONE} cannot be saved to wip/: {harmless(stake.cannot_save, 200)}")
    elif stake.saves:
        where = f", but only on {unsaved.PRETEND}" if stake.pretend else ""
        lines.append(f"{unsaved.CLONE} will be saved to {harmless(stake.branch, 100)} when the sandbox stops{where}")
    elif clone is not None and clone.anything:
        lines.append(f"{unsaved.CLONE} will not be saved when the sandbox stops" + ("" if stake.pretend else _HOW_TO_SAVE))
    if clone is not None and clone.anything and (stake.cannot_save or stake.pretend):
        lines.append(f"Run {unsaved.export()} to keep it.")
    others = unsaved.needs_export(stake.repositories)
    for other, command in zip(others, work.exports(others), strict=False):
        lines.append(f"{harmless(other.path, 80)} is never saved to wip/. Run {command} to keep it.")
    return "".join(f"{line}\n" for line in lines)


_HOW_TO_SAVE = ". Run codetainer save to save it now and then."
