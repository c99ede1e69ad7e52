"""The list at run time: what the operator has opened by hand, for a time or until it is revoked."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from backend.boot import briefing
from backend.boot.context import Boot
from backend.boot.steps import guard as guard_step
from backend.contract.events import Allowed, Event, Noted, Withdrawn
from backend.system import SystemFailure
from network.allowlist import Allowlist, Entry

TELL_SECONDS = 1.0


class Grants:
    """`granted` by pattern: the entry, and until when (seconds since the epoch, 0: until revoked).

    `changed` is called after each change, so that the walls are tried again.
    """

    def __init__(self, boot: Boot, emit: Callable[[Event], None], changed: Callable[[], None]) -> None:
        self._boot, self._emit, self._changed = boot, emit, changed
        self.granted: dict[str, tuple[Entry, float]] = {}
        self._changing = asyncio.Lock()  # two changes at once would leave a part with the older list
        self._telling: asyncio.Task[None] | None = None

    @property
    def allowlist(self) -> Allowlist:
        """The list with what was allowed by hand."""
        return self._boot.allowlist.merged(Allowlist(tuple(entry for entry, _ in self.granted.values())))

    async def grant(self, entry: Entry, until: float, by: str) -> None:
        """Opens an entry now; on return name and address are open. Raises SystemFailure: then it is not."""
        async with self._changing:
            before = dict(self.granted)
            self.granted[entry.pattern] = (entry, until)
            try:
                await self._apply()
                if not entry.below:
                    await self._boot.services.do("resolve", entry.name)
            except SystemFailure:
                self.granted = before
                with contextlib.suppress(SystemFailure):
                    await self._apply()  # half of it may be open already
                raise
            ports = "" if str(entry) == entry.pattern else str(entry).partition(":")[2]
            self._emit(Allowed(entry.pattern, ports, until, by))
        await self._tell()

    async def withdraw(self, pattern: str, by: str, until: float | None = None) -> None:
        """Closes what was opened by hand (`until` then, where that is given), and cuts its flows.

        Raises SystemFailure; KeyError where it is not open, or has been opened anew meanwhile.
        """
        async with self._changing:
            kept = self.granted[pattern]
            if until is not None and kept[1] != until:
                raise KeyError(pattern)
            del self.granted[pattern]
            try:
                await self._apply()
            except SystemFailure:
                self.granted[pattern] = kept
                raise
            self._emit(Withdrawn(pattern, by))
        await self._tell()

    async def withdraw_in_time(self) -> None:
        """Closes what was opened for a time, when that is over."""
        while True:
            await asyncio.sleep(0.5)
            now = time.time()
            for pattern, (_, until) in list(self.granted.items()):
                if until and until <= now:
                    try:
                        await self.withdraw(pattern, "its time was up", until)
                    except KeyError:
                        continue  # by hand, meanwhile
                    except SystemFailure as error:
                        self._emit(Noted("error", f"cannot withdraw {pattern} yet: {error}"))

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
