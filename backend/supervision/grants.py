"""The list at run time: what the operator has opened by hand, for a time or until it is revoked."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from backend.boot import briefing
from backend.boot.context import Boot
from backend.boot.steps import guard as guard_step
from backend.contract.events import Allowed, Event, Noted, ServiceState, Withdrawn
from backend.system import SystemFailure
from network.allowlist import Allowlist, Entry

TELL_SECONDS = 1.0
LOOK_SECONDS = 0.5
SET_SECONDS = 60.0  # the clock was set where it differs by more: NTP keeps it right in small steps


def elapsed() -> float:
    """Seconds that go by whatever is done to the clock, and while the machine sleeps (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Grant:
    """`until` in seconds since the epoch, 0: until revoked. It is over when `ends` has come, in seconds of `elapsed`."""

    entry: Entry
    until: float
    by: str
    ends: float = 0.0


class Grants:
    """`granted` by pattern. `changed` is called after each change, so that the walls are tried again."""

    def __init__(
        self,
        boot: Boot,
        emit: Callable[[Event], None],
        changed: Callable[[], None],
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = elapsed,
    ) -> None:
        self._boot, self._emit, self._changed = boot, emit, changed
        self._clock, self._steady = clock, steady
        self.granted: dict[str, Grant] = {}
        self._said: dict[str, str] = {}  # why what is over is still open, by pattern
        self._changing = asyncio.Lock()  # two changes at once would leave a part with the older list
        self._telling: asyncio.Task[None] | None = None

    @property
    def allowlist(self) -> Allowlist:
        """The list with what was allowed by hand."""
        return self._boot.allowlist.merged(Allowlist(tuple(grant.entry for grant in self.granted.values())))

    async def grant(self, entry: Entry, until: float, by: str) -> None:
        """Opens an entry now; on return name and address are open. Raises SystemFailure: then it is not."""
        async with self._changing:
            before = dict(self.granted)
            grant = Grant(entry, until, by, self._steady() + until - self._clock() if until else 0.0)
            self.granted[entry.pattern] = grant
            try:
                await self._apply()
                if not entry.below:
                    await self._boot.services.do("resolve", entry.name)
            except SystemFailure:
                self.granted = before
                with contextlib.suppress(SystemFailure):
                    await self._apply()  # half of it may be open already
                raise
            self._say(grant)
        await self._tell()

    def _say(self, grant: Grant) -> None:
        entry = grant.entry
        ports = "" if str(entry) == entry.pattern else str(entry).partition(":")[2]
        self._emit(Allowed(entry.pattern, ports, grant.until, grant.by))

    async def open_again(self) -> None:
        """After a boot that began anew, from the list alone. Raises SystemFailure."""
        async with self._changing:
            if self.granted:
                await self._apply()

    async def withdraw(self, pattern: str, by: str, until: float | None = None) -> None:
        """Closes what was opened by hand (`until` then, where that is given), and cuts its flows.

        Raises SystemFailure; KeyError where it is not open, or has been opened anew meanwhile.
        """
        async with self._changing:
            kept = self.granted[pattern]
            if until is not None and kept.until != until:
                raise KeyError(pattern)
            del self.granted[pattern]
            try:
                await self._apply()
            except SystemFailure:
                if self._boot.services.guard.state is not ServiceState.STOPPED:  # else the rules are closed, for everything
                    self.granted[pattern] = kept
                    raise
            self._emit(Withdrawn(pattern, by))
        await self._tell()

    async def withdraw_in_time(self) -> None:
        """Closes what was opened for a time, when that is over: an hour is an hour, also where the clock is set meanwhile."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for pattern, grant in list(self.granted.items()):
                if not grant.until:
                    continue
                left = grant.ends - self._steady()
                if left > 0:
                    self._follow_clock(pattern, grant, left)
                    continue
                try:
                    await self.withdraw(pattern, "its time was up", grant.until)
                except KeyError:
                    continue  # by hand, meanwhile
                except SystemFailure as error:
                    if self._said.get(pattern) != str(error):  # it is tried again and again, and said once
                        self._emit(Noted("error", f"cannot withdraw {pattern} yet: {error}"))
                    self._said[pattern] = str(error)
                else:
                    self._said.pop(pattern, None)

    def _follow_clock(self, pattern: str, grant: Grant, left: float) -> None:
        """Says anew until when it is open, where the clock was set."""
        until = self._clock() + left
        if abs(until - grant.until) > SET_SECONDS and self.granted.get(pattern) is grant:
            self.granted[pattern] = replace(grant, until=until)
            self._say(self.granted[pattern])

    async def _apply(self) -> None:
        boot, allowlist = self._boot, self.allowlist
        await boot.services.configure(guard_step.configuration(boot, allowlist))
        await boot.services.change_names(allowlist)
        await boot.services.gate.change(allowlist)
        self._changed()

    async def _tell(self) -> None:
        """Tells Claude. It is waited for, but not for long: the file is the agent's, and may be a pipe that nobody reads."""
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._brief())
        await asyncio.wait((self._telling,), timeout=TELL_SECONDS)

    async def _brief(self) -> None:
        told: Allowlist | None = None
        while told != (now := self.allowlist):
            told = now
            try:
                await asyncio.to_thread(briefing.write, self._boot.settings, self._boot.paths, now)
            except SystemFailure as error:
                self._emit(Noted("warning", f"Claude is not told how the list has changed: {error}"))
