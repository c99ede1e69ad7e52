"""The question that `codetainer up` asks before it stops a sandbox: which work would be lost, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backend.contract.control import Reply, WorkAtStake
from backend.contract.events import SessionState, WorkCounted, build
from backend.contract.paths import Paths
from backend.contract.state import State
from codetainer_tui.view import work
from codetainer_tui.view.headline import agent_words
from codetainer_tui.words import ago, clock, harmless

MAIN = str(Paths().repository)  # the only repository that a save pushes
NO_REPOSITORY = "There is no git repository in /workspace, so nothing there was counted. All of it would be lost."
ALL_PUSHED = "No unsaved work: every commit is pushed, and no file is changed."
ALWAYS = "Also lost: files that git ignores or that are outside a repository, and Claude's conversation."


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
    return WorkAtStake(repositories, problem="git takes too long")


def question(
    name: str, stake: WorkAtStake, state: State, now: float, *, saved: Sequence[str] = (), problem: str = ""
) -> Question:
    """The question about the sandbox called `name`. `saved`: files that a save has left out; `problem`: why the save failed."""
    counted = WorkCounted(stake.repositories)
    known = not stake.problem
    lines: list[str] = []
    if problem:
        lines.append(f"Saving failed: {harmless(problem, 300)}")
    if saved:
        lines.append(f"Saved to {harmless(stake.branch, 100)}, except for: {harmless('; '.join(saved), 300)}")
    if not known:
        at = f" Last counted {ago(stake.at, now)}:" if stake.at else " Last known:"
        lines.append(f"Cannot count unsaved work: {harmless(stake.problem, 200)}.{at if counted.repositories else ''}")
    if stake.anything:
        lines.append("Unsaved work that would be lost:")
        lines += [f"  {line}" for line in work.only_here(counted)]
    elif counted.repositories:
        lines += [ALL_PUSHED] if known and not any(one.notes for one in counted.repositories) else list(work.only_here(counted))
    elif known:
        lines.append(NO_REPOSITORY)
    if state.saved is not None and stake.anything and not saved:
        lines.append(f"Saved {clock(state.saved_at)} to {harmless(state.saved.branch, 100)}. Changes since then would be lost.")
    if stake.cannot_save and (stake.anything or not known):
        lines.append(f"It cannot be saved to wip/: {harmless(stake.cannot_save, 200)}.")
        lines.append(f"To get it from another terminal: codetainer enter --name {name} --root -- {work.EXPORT}")
    if state.session is not None and state.session.state in (SessionState.WORKS, SessionState.WAITS) and not state.frozen:
        lines.append(f"{agent_words(state).capitalize()}: stopping interrupts it.")
    lines.append(ALWAYS)
    return Question(f"Stop sandbox {name}?", tuple(lines), _save(stake, saved), _stop(stake, saved), stake.saves)


def _save(stake: WorkAtStake, saved: Sequence[str]) -> str:
    if stake.cannot_save or saved:
        return ""
    elsewhere = [one for one in stake.repositories if one.anything and one.path != MAIN]
    here = [one for one in stake.repositories if one.anything and one.path == MAIN]
    if not here and not stake.problem:
        return ""
    to = harmless(stake.branch, 100) or "a branch wip/..."
    return f"save {MAIN} to {to}, then stop" + (" (other repositories are not saved)" if elsewhere else "")


def _stop(stake: WorkAtStake, saved: Sequence[str]) -> str:
    if saved:
        return "stop and lose what was not saved"
    return "stop and lose it" if stake.anything or stake.problem else "stop"


def table(reply: Reply) -> str:
    """The answer to a CountWork as lines for `codetainer work`. Raises TypeError or ValueError if it is malformed."""
    stake: WorkAtStake = build(WorkAtStake, reply.data)
    counted = WorkCounted(stake.repositories)
    if stake.problem:
        return f"cannot count unsaved work: {harmless(stake.problem, 300)}\n"
    lines = list(work.only_here(counted))
    if not stake.anything:
        lines = ["no unsaved work" if counted.repositories else "no git repository in /workspace", *lines]
    if stake.saves:
        lines.append(f"will be saved to {harmless(stake.branch, 100)} when the sandbox stops")
    elif stake.cannot_save:
        lines.append(f"cannot be saved to wip/: {harmless(stake.cannot_save, 200)}")
    return "".join(f"{line}\n" for line in lines)
