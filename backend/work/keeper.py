"""Counts unsaved work while the sandbox runs, saves it to `wip/` if the operator wants that, and warns before it is lost.

Processes with the agent's uid do the work (process.py), and the agent can tamper with them: their output is truncated and
displayed, but no decision depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from backend import commands, system
from backend.agent.ending import end_agent
from backend.context import Boot
from backend.contract import unsaved
from backend.contract.control import WorkAtStake
from backend.contract.events import (
    BootState,
    Noted,
    Occasion,
    SaveSkipped,
    SessionState,
    SinceSave,
    WorkCounted,
    WorkRecounted,
    WorkSaved,
)
from backend.journal import Journal
from backend.session import session
from backend.settings.values import Pretend, Save
from backend.system import AGENT, SystemFailure
from backend.work import baseline
from backend.work.git import PATH
from backend.work.once import Once
from backend.work.place import MAX_REPOSITORIES
from backend.work.reported import MAX_TEXT, parsed, text
from backend.work.repository import SAVED

PASSED_ON = ("HOME", "USER", "LOGNAME", "LANG", "GIT_SSL_CAINFO")
LOOK_SECONDS = 20.0
GENTLY = ("nice", "-n", "5")  # while the agent works
SECOND = 1.0
SHARE = 20  # the pause after a count lasts at least this many times as long as the count
COUNT_SECONDS = 60.0
RECOUNT_SECONDS = 15.0  # after a save, while the operator waits for its result
SAVE_SECONDS = 300.0
TMUX_SECONDS = 1.0  # for tmux to exit, which lets its clients restore their terminals
REST_SECONDS = 3.0  # of the grace period: reserved for stopping processes before and after the final save
MAX_OUTPUT = 1 << 20


class Keeper:
    """Counts and saves one sandbox's work. Saves go to `branch`, whose name stays the same if the session is renamed."""

    def __init__(self, boot: Boot, journal: Journal) -> None:
        self._boot, self._journal = boot, journal
        self.branch = f"{SAVED}{time.strftime('%Y-%m-%d-%H%M', time.gmtime())}-{secrets.token_hex(2)}"
        self._counted: WorkCounted | None = None
        self._counted_at = 0.0  # seconds since the epoch
        self._at_end: bool | None = None  # the operator's choice about the final save; None: CODETAINER_AUTOSAVE decides
        self._saving = asyncio.Lock()
        self._fingerprint = ""  # of the work that was saved last
        self._nothing_to_save = False  # when it was last tried
        self._look_now = False  # a save has made the last count out of date
        self._problems = Once()  # save errors reported since the last successful save
        self._noted = Once()
        self._began = False  # there is no work before the first session

    @property
    def repository(self) -> str:
        """REPO_URL's `owner/repo`: saves go to its branches."""
        return self._boot.settings.repository

    async def run(self) -> None:
        """Counts and saves until it is cancelled. Retries failures, and reports each only once.

        Counting does not wait for a save, which can take long; the agent can even slow it down on purpose.
        """
        self._began = True
        autosave = self._boot.settings.autosave
        saving: asyncio.Task[None] | None = None
        try:
            look = 0.0
            save = time.monotonic() + autosave.seconds
            occasion = Occasion.LOOKED
            while True:
                if self._boot.policy.stands_still:  # no work changes, and no process may start as the agent
                    await asyncio.sleep(SECOND)
                    continue
                if saving is not None and saving.done():
                    saving.result()
                    saving, save = None, time.monotonic() + autosave.seconds
                before, occasion = occasion, self._occasion()
                begins = occasion not in (before, Occasion.LOOKED)
                begun = time.monotonic()
                due = autosave.when is Save.REGULARLY and saving is None and begun >= save and not self._cannot_save()
                if begins or due or self._look_now or begun >= look:
                    self._look_now = False
                    reported = await self._count(
                        occasion if begins else Occasion.LOOKED, COUNT_SECONDS, () if begins else GENTLY
                    )
                    if begins and not reported:
                        occasion = before  # report for this occasion as soon as counting works again
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

    async def last(self, grace: float, also: Callable[[float], Awaitable[None]]) -> None:
        """Stops the session and all of the agent's processes before the sandbox stops, then counts and, if wanted, saves.

        `grace` is the time for the whole shutdown (s); `also` gets what is left of it, too. Raises nothing: services stop next.
        """
        until = time.monotonic() + grace - REST_SECONDS
        if not self._boot.policy.frozen:  # a stopped tmux does not answer; the agent can stop it, too, hence the timeout
            with contextlib.suppress(SystemFailure, TimeoutError):
                await asyncio.wait_for(session.end(self._boot.paths), TMUX_SECONDS)
        await end_agent()
        if not self._began:
            return
        wanted = self._saves_at_end()
        left = max(1.0, until - time.monotonic())
        await asyncio.gather(self._count(Occasion.STOPPING, left), also(left), *([self._last_save(left)] if wanted else []))
        counted = self._counted
        if not wanted and counted is not None and (counted.anything or counted.unknown):
            self._journal.emit(SaveSkipped(by_operator=self._at_end is False, covered=self._would_cover(counted)))

    def _would_cover(self, counted: WorkCounted) -> bool:
        """True if a save would contain work that is lost without it."""
        if self._cannot_push() or self._boot.settings.pretend is Pretend.ON:
            return False
        return unsaved.concerns_clone(counted, self._since(counted))

    def _since(self, counted: WorkCounted) -> SinceSave | None:
        """Returns the work since the last save, None if there is none or it is not known."""
        saved = self._journal.state.saved
        return counted.since if counted.since and saved and counted.since.commit == saved.commit else None

    def _occasion(self) -> Occasion:
        state = self._journal.state
        if state.protection_failed is not None:
            return Occasion.PROTECTION_FAILED
        if state.boot is BootState.HALTED:
            return Occasion.HALTED
        if state.session is not None and state.session.state is SessionState.ENDED:
            return Occasion.SESSION_ENDED
        return Occasion.LOOKED

    # --- the operator's requests ---

    async def at_stake(self) -> WorkAtStake:
        """Returns the work that a stop would lose, counted now if possible."""
        problem = "the agent is frozen, and git would run as the agent" if self._boot.policy.frozen else ""
        if not problem:
            await self._count(Occasion.LOOKED, COUNT_SECONDS)
        return self._at_stake(problem)

    def _at_stake(self, problem: str = "") -> WorkAtStake:
        counted, state = self._counted or WorkCounted(), self._journal.state
        return WorkAtStake(
            counted.repositories, self._counted_at, problem or counted.problem, self.branch, self._cannot_push(),
            self._saves_at_end(), state.saved, state.saved_at, None if problem else self._since(counted),
            self._boot.settings.pretend is Pretend.ON,
        )  # fmt: skip

    async def save(self) -> tuple[WorkSaved, WorkAtStake]:
        """Saves the cloned repository now, and again when the sandbox stops. Returns the work that was counted then, too.

        The `problem` of the save is "" if all of the repository's work is on the branch; its `commit` is "" if there was none.
        """
        if problem := self._cannot_push():
            return WorkSaved(self.branch, problem=problem), self._at_stake()
        async with self._saving:
            problem = await self._save(SAVE_SECONDS)
        if problem:
            return WorkSaved(self.branch, problem=problem), self._at_stake()
        self._at_end = True
        await self._count(Occasion.LOOKED, RECOUNT_SECONDS)  # other repositories, which are not saved
        saved = None if self._nothing_to_save else self._journal.state.saved
        return saved or WorkSaved(self.branch), self._at_stake()

    def drop(self) -> None:
        """Skips the final save."""
        self._at_end = False

    def _saves_at_end(self) -> bool:
        return self._boot.settings.autosave.when is not Save.OFF if self._at_end is None else self._at_end

    def _cannot_push(self) -> str:
        return self._cannot_save() if self._boot.settings.repo_url else "REPO_URL is not set"

    # --- counting ---

    async def _count(self, occasion: Occasion, seconds: float, through: Sequence[str] = ()) -> bool:
        """Counts, and emits the result if it is new or the occasion requires a report. Returns False if counting failed."""
        last = self._counted
        try:
            paths = self._boot.paths
            result = await self._ask(through, seconds, "count", str(paths.workspace), str(paths.saved_work))
            counted = parsed(result, occasion)
            self._counted_at = time.time()
            repeats = occasion is Occasion.LOOKED and last is not None and replace(last, occasion=occasion) == counted
        except (SystemFailure, ValueError) as error:
            # "Unknown" must not look like "nothing": the last count may be out of date.
            counted = WorkCounted(last.repositories if last else (), occasion, str(error)[:MAX_TEXT])
            repeats = last == counted
            if occasion is Occasion.LOOKED:
                self._note(f"cannot count unsaved work: {counted.problem}")
        if not repeats:
            self._journal.emit(counted)
        elif not counted.problem:
            self._journal.emit(WorkRecounted())
        self._counted = counted
        return not counted.problem

    # --- saving ---

    def _cannot_save(self) -> str:
        """Returns why pushing is not allowed now, "" if it is."""
        state = self._journal.state
        if self._boot.policy.frozen:
            return "the sandbox is frozen, no data may leave it"
        if state.protection_failed is not None:
            return "a protection failed, no data may leave"
        if not state.is_open:
            return "boot has halted, no data may leave" if state.boot is BootState.HALTED else "boot has not finished"
        if not self._boot.cloned:
            return "REPO_URL was not cloned"
        return ""

    async def _last_save(self, seconds: float) -> None:
        if self._boot.settings.repo_url and (why := self._cannot_save()):
            self._journal.emit(WorkSaved(self.branch, problem=why))
            return
        before = self._journal.state.saved
        if not await self._save(seconds) and self._fingerprint and self._journal.state.saved is before is not None:
            self._journal.emit(before)  # no new work since then; repeated for readers of the journal's end

    async def _save(self, seconds: float, through: Sequence[str] = ()) -> str:
        """Pushes unsaved work unless it was saved before. Returns why that failed, "" on success.

        Reports a failure once.
        """
        settings, repository = self._boot.settings, self._boot.paths.repository
        try:
            result = await self._ask(
                through, seconds, "save", str(repository), settings.repo_url, self.branch, self._fingerprint
            )
            commit, fingerprint = text(result, "commit")[:64], text(result, "fingerprint")[:64]
        except (SystemFailure, ValueError) as error:
            problem = str(error)[:MAX_TEXT]
            if self._problems.is_new(problem):
                self._journal.emit(WorkSaved(self.branch, problem=problem))
            return problem
        self._problems.clear()
        self._nothing_to_save = not fingerprint
        if commit:
            self._fingerprint, self._look_now = fingerprint, True
            baseline.keep(self._boot.paths.saved_work, commit, result.get("kept"))
            left_out = result.get("left_out")
            names = tuple(str(name)[:MAX_TEXT] for name in left_out) if isinstance(left_out, list) else ()
            self._journal.emit(WorkSaved(self.branch, commit, names[:MAX_REPOSITORIES]))
        elif self._journal.state.save_problem and self._journal.state.saved is not None:
            self._journal.emit(self._journal.state.saved)  # recovered: the last save still has all the work
        return ""

    # --- processes ---

    async def _ask(self, through: Sequence[str], seconds: float, *arguments: str) -> Mapping[str, Any]:
        """Runs process.py as the agent and returns its output. Raises SystemFailure, ValueError."""
        paths, variables = self._boot.paths, self._boot.agent_environment
        environment: dict[str, str] = {name: variables[name] for name in PASSED_ON if name in variables}
        argv = [*through, str(paths.python), "-I", "-m", "backend", "work", *commands.option(), *arguments]
        done = await system.run_distrusted(
            argv, what=f"git to {arguments[0]}", identity=AGENT, environment={**environment, "PATH": PATH}, seconds=seconds,
            most=MAX_OUTPUT,
        )  # fmt: skip
        if done.code != 0:
            raise SystemFailure(done.last_line)
        result = done.value()
        if not isinstance(result, dict):
            raise ValueError("its output is not a JSON object")
        return result

    def _note(self, text: str) -> None:
        if self._noted.is_new(text):
            self._journal.emit(Noted("warning", text))
