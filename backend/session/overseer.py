"""Measures the state of the session, reports its changes, and tells Claude to continue after a limit or a failure.

The facts come from the gate (backend/services/reader.py), the agent's reports (activity.py) and the kernel; the decisions are
those of watchdog.py and resumption.py. What is typed is typed as the agent, and only at an empty prompt of Claude's: never into
a question, a shell, or beside text that an operator has begun to type.
"""

from __future__ import annotations

import random
import time

from backend.agent.session import Session
from backend.context import Boot
from backend.contract.events import BudgetLevel, SessionChanged, SessionMeasured, SessionResumed, SessionState
from backend.journal import Journal
from backend.session import session
from backend.session.progress import Children
from backend.session.prompt import Shown, restful, wait_option
from backend.session.resumption import JITTER, MESSAGE, OWN_PATIENCE, OWN_PAUSE, QUIET, Resumption
from backend.session.watchdog import FAILING_STATES, Now, Report, Watchdog, reported
from backend.settings.values import Resume
from backend.system import SystemFailure

PROGRESS_SECONDS = 10.0  # between two looks for progress
GAP = 10.0  # seconds without a look (a freeze, suspend) after which time without progress counts anew


class Overseer:
    """The state of one sandbox's session."""

    def __init__(self, boot: Boot, journal: Journal) -> None:
        self._boot, self._journal = boot, journal
        self._watchdog = Watchdog(boot.settings.stuck_seconds)
        self._resumption = Resumption(boot.settings.resume is Resume.ON)
        self._jitter = random.uniform(*JITTER)
        self._looked = self._progressed = 0.0  # on the steady clock
        self._children = Children()
        self._screen = ""

    def ended(self, since: float, detail: str) -> None:
        """Reports that the session, or Claude in it, has ended."""
        before = self._journal.state.measured
        ended = SessionMeasured(SessionState.ENDED, since, detail=detail, before=before.state if before else SessionState.NONE)
        self._hear(_now())
        if before is None or before.state is not SessionState.ENDED:
            self._journal.emit(ended)

    async def look(self, of: Session, current: SessionChanged | None, word: str) -> None:
        """Judges the state, once a second. `current` is what the agent's side says, `word` the state in its hooks' report."""
        now, report = _now(), reported(current, word)
        if now.steady - self._looked > GAP:
            self._watchdog.moved(now)
        self._looked = now.steady
        self._hear(now)
        if self._boot.settings.stuck_seconds and report.state is SessionState.WORKS:
            await self._progress(of, now)
        before = self._journal.state.measured
        found = self._watchdog.judged(report, now, before)
        if found != before:
            self._journal.emit(found)
        await self._resume(of, report, found, now)

    def _hear(self, now: Now) -> None:
        for note in self._boot.services.reader.take_calls():
            self._watchdog.heard(note, now)

    async def _progress(self, of: Session, now: Now) -> None:
        pause = min(PROGRESS_SECONDS, self._boot.settings.stuck_seconds / 4)
        if now.steady - self._progressed < pause:
            return
        self._progressed = now.steady
        moved = self._children.moved(of)
        try:
            screen = restful(await session.screen(self._boot.paths, of))
        except SystemFailure:  # tmux hangs: no sign of progress
            screen = self._screen
        if moved or screen != self._screen:
            self._watchdog.moved(now)
        self._screen = screen

    # --- to continue ---

    async def _resume(self, of: Session, report: Report, found: SessionMeasured, now: Now) -> None:
        stopped, resumption = self._watchdog.stopped(report), self._resumption
        due = resumption.due(
            stopped, now, passes=self._watchdog.passes, named_end=self._watchdog.named_end, jitter=self._jitter
        )
        if not due or stopped is None or found.state not in FAILING_STATES:
            return
        budget = self._journal.state.budget
        if budget is not None and budget.level is BudgetLevel.USED_UP:  # the gate would refuse the call
            return
        try:
            problem = await self._tell(of, stopped, now)
        except SystemFailure as error:
            problem = str(error)
        if problem is None:
            resumption.wait(now, OWN_PAUSE)
            return
        pause = resumption.tried(now)
        self._journal.emit(SessionResumed(resumption.tries, round(now.wall + pause, 3), problem))

    async def _tell(self, of: Session, stopped: float, now: Now) -> str | None:
        """Types the message. Returns why it could not, "" if it could, None if it is to look again soon."""
        paths = self._boot.paths
        look = await session.look(paths, of)
        if look.continues and self._watchdog.named_end and now.steady < stopped + OWN_PATIENCE:
            return None
        if look.activity and abs(now.wall - look.activity) < QUIET:
            return None  # somebody is typing in the session
        if look.shown is Shown.LIMIT:
            await session.type_if_unchanged(paths, of, look, wait_option(look.plain), enter=False)
            return None
        if look.shown is not Shown.EMPTY:
            return str(look.shown)
        await session.type_if_unchanged(paths, of, look, MESSAGE, enter=True)
        return ""


def _now() -> Now:
    return Now(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))
