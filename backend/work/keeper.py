"""What is only in the sandbox: counted while it runs, saved to `wip/` where that is wanted, said whenever it may be lost.

All of it is done by processes of the agent's uid (process.py), which the agent may meddle with: what they say is cut to size,
shown, and believed by nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from backend import commands, system
from backend.agent.ending import end_agent
from backend.context import Boot
from backend.contract.control import WorkAtStake
from backend.contract.events import (
    BootState,
    Noted,
    Occasion,
    RepositoryWork,
    SessionState,
    WorkCounted,
    WorkSaved,
    build,
)
from backend.journal import Journal
from backend.session import session
from backend.settings.values import Save
from backend.system import AGENT, SystemFailure
from backend.work.git import PATH
from backend.work.once import Once
from backend.work.place import MAX_REPOSITORIES
from backend.work.repository import SAVED

PASSED_ON = ("HOME", "USER", "LOGNAME", "LANG", "GIT_SSL_CAINFO")
LOOK_SECONDS = 20.0
GENTLY = ("nice", "-n", "5")  # while there is an agent to disturb
SECOND = 1.0
SHARE = 20  # a look that takes long is followed by a pause that many times as long
COUNT_SECONDS = 60.0
SAVE_SECONDS = 300.0
TMUX_SECONDS = 1.0  # for tmux to end, so that its clients leave their terminals as they were
REST_SECONDS = 3.0  # of the grace period: for ending what runs, before and after the last save
MAX_SAID = 1 << 20
MAX_TEXT = 300
MAX_COUNT = 1_000_000_000


class Keeper:
    """One sandbox's work. `branch` is where saves go: its name stays the same, whatever the session is called meanwhile."""

    def __init__(self, boot: Boot, journal: Journal) -> None:
        self._boot, self._journal = boot, journal
        self.branch = f"{SAVED}{time.strftime('%Y-%m-%d-%H%M', time.gmtime())}-{secrets.token_hex(2)}"
        self._counted: WorkCounted | None = None
        self._counted_at = 0.0  # seconds since the epoch
        self._at_end: bool | None = None  # whether the operator wants the last save; None: as CODETAINER_AUTOSAVE says
        self._saving = asyncio.Lock()
        self._fingerprint = ""  # of the work as it was saved last
        self._problems = Once()  # of saving, said since the last save
        self._noted = Once()
        self._began = False  # before there was a session there is no work

    async def run(self) -> None:
        """Counts and saves until it is cancelled. What fails is said once and tried again.

        A save may take long, or be made to; counting does not wait for it.
        """
        self._began = True
        autosave = self._boot.settings.autosave
        saving: asyncio.Task[None] | None = None
        try:
            look = 0.0
            save = time.monotonic() + autosave.seconds
            occasion = Occasion.LOOKED
            while True:
                if self._boot.policy.frozen:  # nothing changes, and nothing is started as the agent
                    await asyncio.sleep(SECOND)
                    continue
                if saving is not None and saving.done():
                    saving.result()
                    saving, save = None, time.monotonic() + autosave.seconds
                before, occasion = occasion, self._occasion()
                begins = occasion not in (before, Occasion.LOOKED)
                begun = time.monotonic()
                due = autosave.when is Save.REGULARLY and saving is None and begun >= save and not self._cannot_save()
                if begins or due or begun >= look:
                    told = await self._count(occasion if begins else Occasion.LOOKED, COUNT_SECONDS, () if begins else GENTLY)
                    if begins and not told:
                        occasion = before  # what has to be said then is said as soon as it can be counted
                    look = time.monotonic() + max(LOOK_SECONDS, SHARE * (time.monotonic() - begun))
                if due:
                    saving = asyncio.create_task(self._save_regularly())
                await asyncio.sleep(SECOND)
        finally:
            if saving is not None:
                saving.cancel()
                await asyncio.gather(saving, return_exceptions=True)

    async def _save_regularly(self) -> None:
        async with self._saving:
            await self._save(SAVE_SECONDS, GENTLY)

    async def last(self, grace: float) -> None:
        """Before the sandbox goes: ends the session and all of the agent's, counts, and saves where that is wanted.

        `grace` is what there is for the whole of stopping, in seconds. Raises nothing: services have to be stopped after it.
        """
        until = time.monotonic() + grace - REST_SECONDS
        if not self._boot.policy.frozen:  # a stopped tmux answers nothing, and the agent may stop its own
            with contextlib.suppress(SystemFailure, TimeoutError):
                await asyncio.wait_for(session.end(self._boot.paths), TMUX_SECONDS)
        await end_agent()
        if not self._began:
            return
        wanted = self._saves_at_end()
        left = max(1.0, until - time.monotonic())
        await asyncio.gather(self._count(Occasion.STOPPING, left), *([self._last_save(left)] if wanted else []))
        known = self._counted
        if not wanted and self._at_end is None and known is not None and (known.anything or known.problem):
            self._note(
                "what is only here ends with this sandbox: CODETAINER_AUTOSAVE=exit would have pushed it to a branch wip/..."
            )

    def _occasion(self) -> Occasion:
        state = self._journal.state
        if state.boot is BootState.HALTED:
            return Occasion.HALTED
        if state.session is not None and state.session.state is SessionState.ENDED:
            return Occasion.SESSION_ENDED
        return Occasion.LOOKED

    # --- what the operator asks for ---

    async def at_stake(self) -> WorkAtStake:
        """What a stop would lose, counted now if that can be done."""
        problem = "the agent is frozen, and git would run as the agent" if self._boot.policy.frozen else ""
        if not problem:
            await self._count(Occasion.LOOKED, COUNT_SECONDS)
        known = self._counted or WorkCounted()
        return WorkAtStake(
            known.repositories,
            self._counted_at,
            problem or known.problem,
            self.branch,
            self._cannot_push(),
            self._saves_at_end(),
        )

    async def save(self) -> WorkSaved:
        """Pushes what is not pushed, and does so again at the end. Its `problem` is "" if all of it is on the branch."""
        if problem := self._cannot_push():
            return WorkSaved(self.branch, problem=problem)
        async with self._saving:
            problem = await self._save(SAVE_SECONDS)
        if problem:
            return WorkSaved(self.branch, problem=problem)
        self._at_end = True
        return self._journal.state.saved or WorkSaved(self.branch)

    def drop(self) -> None:
        """The operator wants no last save."""
        self._at_end = False

    def _saves_at_end(self) -> bool:
        return self._boot.settings.autosave.when is not Save.OFF if self._at_end is None else self._at_end

    def _cannot_push(self) -> str:
        return self._cannot_save() if self._boot.settings.repo_url else "REPO_URL is not set"

    # --- counting ---

    async def _count(self, occasion: Occasion, seconds: float, through: Sequence[str] = ()) -> bool:
        """Counts, and reports what is new or what the occasion calls for. False if it could not be counted."""
        last = self._counted
        try:
            said = await self._ask(through, seconds, "count", str(self._boot.paths.workspace))
            counted = parsed(said, occasion)
            self._counted_at = time.time()
            repeats = occasion is Occasion.LOOKED and last is not None and replace(last, occasion=occasion) == counted
        except (SystemFailure, ValueError) as error:
            # "Not known" must not look like "nothing": what was counted last is not true any more.
            counted = WorkCounted(last.repositories if last else (), occasion, str(error)[:MAX_TEXT])
            repeats = last == counted
            if occasion is Occasion.LOOKED:
                self._note(f"cannot count what is only here: {counted.problem}")
        if not repeats:
            self._journal.emit(counted)
        self._counted = counted
        return not counted.problem

    # --- saving ---

    def _cannot_save(self) -> str:
        """Why nothing may be pushed now, "" where it may."""
        state = self._journal.state
        if self._boot.policy.frozen:
            return "the sandbox is frozen, nothing may leave"
        if state.boot not in (BootState.READY, BootState.DEGRADED):
            return "boot has halted, nothing may leave" if state.boot is BootState.HALTED else "boot is not over"
        if not self._boot.cloned:
            return "there is no clone of REPO_URL"
        return ""

    async def _last_save(self, seconds: float) -> None:
        if self._boot.settings.repo_url and (why := self._cannot_save()):
            self._journal.emit(WorkSaved(self.branch, problem=why))
            return
        before = self._journal.state.saved
        if not await self._save(seconds) and self._fingerprint and self._journal.state.saved is before is not None:
            self._journal.emit(before)  # nothing is new since then: who reads from the end on has to know where it is

    async def _save(self, seconds: float, through: Sequence[str] = ()) -> str:
        """Pushes what is not pushed, where it is not what was saved before. Returns why not, "" if it is there.

        A failure is said once.
        """
        settings, repository = self._boot.settings, self._boot.paths.repository
        try:
            said = await self._ask(through, seconds, "save", str(repository), settings.repo_url, self.branch, self._fingerprint)
            commit, fingerprint = _text(said, "commit")[:64], _text(said, "fingerprint")[:64]
        except (SystemFailure, ValueError) as error:
            problem = str(error)[:MAX_TEXT]
            if self._problems.is_new(problem):
                self._journal.emit(WorkSaved(self.branch, problem=problem))
            return problem
        self._problems.clear()
        if commit:
            self._fingerprint = fingerprint
            left_out = said.get("left_out")
            names = tuple(str(name)[:MAX_TEXT] for name in left_out) if isinstance(left_out, list) else ()
            self._journal.emit(WorkSaved(self.branch, commit, names[:MAX_REPOSITORIES]))
        elif self._journal.state.save_problem and self._journal.state.saved is not None:
            self._journal.emit(self._journal.state.saved)  # it is well again: what was saved is still all there is
        return ""

    # --- processes ---

    async def _ask(self, through: Sequence[str], seconds: float, *arguments: str) -> Mapping[str, Any]:
        """What a process of the agent's says. Raises SystemFailure, ValueError."""
        paths, given = self._boot.paths, self._boot.agent_environment
        environment: dict[str, str] = {name: given[name] for name in PASSED_ON if name in given}
        argv = [*through, str(paths.python), "-I", "-m", "backend", "work", *commands.option(), *arguments]
        done = await system.run_distrusted(
            argv, what=f"git to {arguments[0]}", identity=AGENT, environment={**environment, "PATH": PATH}, seconds=seconds,
            most=MAX_SAID,
        )  # fmt: skip
        if done.code != 0:
            raise SystemFailure(done.last_line)
        said = done.value()
        if not isinstance(said, dict):
            raise ValueError("no object")
        return said

    def _note(self, text: str) -> None:
        if self._noted.is_new(text):
            self._journal.emit(Noted("warning", text))


def parsed(said: Mapping[str, Any], occasion: Occasion) -> WorkCounted:
    """What was counted, cut to size. Raises ValueError where it is none."""
    try:
        found: WorkCounted = build(WorkCounted, {"repositories": said.get("repositories", ()), "occasion": occasion})
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"not counted: {error}") from error
    return replace(found, repositories=tuple(_cut(work) for work in found.repositories[:MAX_REPOSITORIES]))


def _cut(work: RepositoryWork) -> RepositoryWork:
    def number(value: int) -> int:
        return min(max(0, value), MAX_COUNT)

    return RepositoryWork(
        work.path[:MAX_TEXT], work.branch[:MAX_TEXT], number(work.commits), number(work.files), number(work.untracked),
        number(work.stashes), work.more, tuple(note[:MAX_TEXT] for note in work.notes[:MAX_REPOSITORIES]),
    )  # fmt: skip


def _text(said: Mapping[str, Any], key: str) -> str:
    value = said.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"{key} is no text")
    return value
