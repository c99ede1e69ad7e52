"""The allowlist at run time: entries that the operator or a learning run has opened, until a time or until they are revoked.

Length: one class, whose changes exclude each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from backend.boot import briefing
from backend.context import Boot
from backend.contract.events import TIME_UP, Allowed, Event, Noted, ServiceState, Withdrawn
from backend.contract.immutable import dataclass
from backend.guard.channel import Resolve
from backend.supervision.openers import Opener, in_words, openers
from backend.system import SystemFailure
from network import grant as requests
from network.allowlist import DEFAULT_PORTS, Allowlist, Entry

TELL_SECONDS = 1.0
LOOK_SECONDS = 0.5
SET_SECONDS = 60.0  # a larger difference means that the clock was set: NTP corrects it in small steps
PATIENCE_SECONDS, AGAIN_SECONDS = 15.0, 0.3  # for closing what is revoked: a guard that has crashed is back before that
BY_HAND = "by hand"  # the source of an entry that the operator has opened
LEARNING = "learning run"  # the source of an entry that a learning run has opened, and the name in `by`
REVOCABLE = (BY_HAND, LEARNING)
FROZEN = "nothing is opened"


def elapsed() -> float:
    """Seconds on a clock that nobody can set and that counts while the machine sleeps (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Grant:
    """Ports of a name that were opened together. `until` is in seconds since the epoch, 0: until revoked.

    It ends at `ends`, in seconds of `elapsed`. `closed_by` names who or what has closed it. It is off the allowlist then, but a
    part of the sandbox may not know that yet.
    """

    entry: Entry
    until: float
    by: str
    ends: float = 0.0
    closed_by: str = ""

    def without(self, numbers: Collection[int]) -> Grant | None:
        """The rest without these ports; None if none is left."""
        left = tuple(port for port in self.entry.ports if port.number not in numbers)
        if left == self.entry.ports:
            return self
        return replace(self, entry=replace(self.entry, ports=left)) if left else None

    def only(self, numbers: Collection[int]) -> Grant | None:
        return self.without(self.entry.numbers - set(numbers))


class Grants:
    """The grants. `granted` maps patterns to them; no port of a pattern is in two of its grants.

    Calls `changed` after each change of the allowlist, so that the self-test runs again. Opens nothing while frozen.
    """

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
        self.granted: dict[str, tuple[Grant, ...]] = {}
        self._reported: dict[Grant, str] = {}  # why a grant that has ended is still open
        self._changing = asyncio.Lock()  # two changes at once would leave a part with the older allowlist
        self._telling: asyncio.Task[None] | None = None

    # --- what is open ---

    @property
    def listed(self) -> Allowlist:
        """The allowlist as it was read at boot."""
        return self._boot.policy.listed

    @property
    def by_hand(self) -> Allowlist:
        """The entries that were opened at run time."""
        open_now = (grant.entry for grants in self.granted.values() for grant in grants if not grant.closed_by)
        return Allowlist().merged(*(Allowlist((entry,)) for entry in open_now))

    @property
    def allowlist(self) -> Allowlist:
        """The allowlist in force: with the entries that were opened at run time.

        The narrowest entry decides about a name. An entry that was opened at run time also gets the ports of the
        wildcards above it, because it would close them otherwise.
        """
        by_hand = self.by_hand
        merged = self.listed.merged(by_hand)
        entries = {entry.pattern: entry for entry in merged.entries}
        for pattern in sorted((entry.pattern for entry in by_hand.entries), key=len):  # the wider ones first
            above = merged.above(entries[pattern])
            if above is not None:
                entries[pattern] = entries[pattern].adding(entries[above.pattern].ports)
        return self._boot.policy.governed(Allowlist(tuple(entries.values())))

    def open_for(self, entry: Entry) -> list[Entry]:
        """The entries that open names of this entry now: those of the file, then those opened at run time."""
        found: list[Entry] = []
        for source in (self.listed, self.by_hand):
            same = source.listed(entry.pattern)
            wider = same or source.above(entry)
            found += [wider] if wider else []
            found += [other for other in source.entries if entry.covers(other) and other.pattern != entry.pattern]
        return found

    def openers(self, name: str) -> list[Opener]:
        """The entries that open a name now. Each open port is in exactly one."""
        exact = Entry(name)
        listed = [Opener(part) for entry in self.listed.entries if entry.covers(exact) for part in entry.by_source()]
        open_now = (grant for grants in self.granted.values() for grant in grants if not grant.closed_by)
        by_hand = [Opener(grant.entry, grant.until, grant.by) for grant in open_now if grant.entry.covers(exact)]
        return openers(self.allowlist.match(name), (*listed, *by_hand))

    def overlapping(self, entry: Entry) -> list[Grant]:
        """The grants of a pattern that share a port with an entry: a new grant replaces these."""
        grants = self.granted.get(entry.pattern, ())
        return [grant for grant in grants if not grant.closed_by and grant.entry.numbers & entry.numbers]

    # --- changes ---

    async def grant(self, entry: Entry, until: float, by: str, *, unresolved: bool = False) -> str:
        """Opens an entry in addition to those that are open. On return its name and addresses are open.

        Raises SystemFailure if nothing was opened. A name without an address is such a failure unless `unresolved` is set; then
        the reason why it has none is returned. Otherwise returns "".
        """
        lack = ""
        async with self._changing:
            self._refuse()
            before = dict(self.granted)
            grant = Grant(entry, until, by, self._steady() + until - self._clock() if until else 0.0)
            kept = (other.without(entry.numbers) for other in before.get(entry.pattern, ()))
            self.granted[entry.pattern] = (*(other for other in kept if other), grant)
            try:
                await self._apply()
                if not entry.below:
                    lack = await self._resolve(entry.name, unresolved=unresolved)
                self._refuse()
            except SystemFailure:
                self.granted = before
                with contextlib.suppress(SystemFailure):
                    await self._apply()  # half of it may be open already
                raise
            self._say(grant)
        await self._tell()
        return lack

    async def learn(self, names: Sequence[str]) -> None:
        """Opens names that a learning run has found, so that requests to them are recorded. Raises SystemFailure.

        Names that are open already, or that the run must not open, are left as they are.
        """
        from network.learning import record  # only learning runs need it

        async with self._changing:
            self._refuse()
            never, now, before = self._boot.policy.never, self.allowlist, dict(self.granted)
            new = [Grant(Entry(name, ports=record.PORTS, source=LEARNING), 0.0, LEARNING) for name in dict.fromkeys(names)]
            new = [grant for grant in new if grant.entry.name not in never and now.match(grant.entry.name) is None]
            for grant in new:
                self.granted[grant.entry.pattern] = (*before.get(grant.entry.pattern, ()), grant)
            await self._open(before)

    async def leave_unopened(self, name: str) -> None:
        """Lets TLS to a name that a learning run has opened pass unopened. Raises SystemFailure."""
        from network.learning import record  # only learning runs need it

        async with self._changing:
            self._refuse()
            before = dict(self.granted)
            self.granted[name] = tuple(
                replace(grant, entry=replace(grant.entry, ports=record.UNTRUSTED_PORTS)) if grant.by == LEARNING else grant
                for grant in before.get(name, ())
            )
            await self._open(before)

    async def _open(self, before: dict[str, tuple[Grant, ...]]) -> None:
        """Puts more names into effect. Raises SystemFailure; the allowlist is then the same as before."""
        try:
            await self._boot.policy.open(self.allowlist)
            self._refuse()
        except SystemFailure:
            self.granted = before
            with contextlib.suppress(SystemFailure):
                await self._apply()
            raise

    def _refuse(self) -> None:
        """Raises SystemFailure if nothing may be opened now: a request that waited may be answered after a freeze or a halt."""
        self._boot.policy.refuse_if_frozen(FROZEN)
        if self._boot.services.guard.service.state is ServiceState.STOPPED:
            raise SystemFailure("the guard is not running: nothing is opened", "Run codetainer retry to boot again.")

    async def _resolve(self, name: str, *, unresolved: bool) -> str:
        """Resolves a name. Returns the reason why it has no address; raises SystemFailure instead unless `unresolved`."""
        done = await self._boot.services.guard.ask(Resolve(name))
        if not done.ok and not unresolved:
            raise SystemFailure(
                f"cannot open {name}: {done.text}", "Repeat it with --yes to allow it anyway, for when it has an address."
            )
        return "" if done.ok else done.text

    def _say(self, grant: Grant) -> None:
        words = "; ".join(requests.text(each) for each in grant.entry.grants if each)
        self._emit(Allowed(grant.entry.pattern, written(grant.entry), grant.until, grant.by, words))

    async def withdraw(self, pattern: str, by: str, numbers: Collection[int] | None = None) -> None:
        """Closes a pattern that was opened at run time, or these ports of it, and cuts its connections.

        Raises KeyError if none of these ports was opened at run time. Raises SystemFailure if a part of the sandbox does not
        accept the change in time: the others have, and that one gets it as soon as it answers.
        """
        async with self._changing:
            open_now = [grant for grant in self.granted[pattern] if not grant.closed_by]
            found = [part for grant in open_now if (part := grant if numbers is None else grant.only(numbers))]
            if not found:
                raise KeyError(pattern)
            if any(grant.by == LEARNING for grant in found):
                self._boot.policy.never |= {pattern}  # otherwise the next query would open it again
            await self._close(pattern, found, by, patience=PATIENCE_SECONDS)
        await self._tell()

    async def _close(self, pattern: str, found: Sequence[Grant], by: str, *, patience: float = 0.0) -> None:
        """Closes grants or parts of them, and reports it when every part of the sandbox knows. Raises SystemFailure."""
        numbers = frozenset(number for grant in found for number in grant.entry.numbers)
        kept = tuple(left for grant in self.granted[pattern] if (left := grant.without(numbers)))
        self._keep(pattern, (*kept, *(replace(grant, closed_by=by) for grant in found)))
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            try:
                await self._apply(to_all=True)
                break
            except SystemFailure as error:
                if self._boot.services.guard.service.state is ServiceState.STOPPED:  # everything is closed then
                    break
                if asyncio.get_running_loop().time() >= deadline:
                    raise SystemFailure(
                        f"{pattern} is off the allowlist but may still be open: {error}",
                        "Run codetainer freeze to close everything now; otherwise it is closed as soon as possible.",
                    ) from error
                await asyncio.sleep(AGAIN_SECONDS)
        self._keep(pattern, kept)
        closed = Entry(pattern, ports=tuple(p for grant in found for p in grant.entry.ports))
        ports = written(closed, full=bool(kept))  # if nothing is kept, "" means the default ports and all ports
        self._emit(Withdrawn(pattern, by, ports, in_words(self.open_for(found[0].entry))))

    def _keep(self, pattern: str, grants: tuple[Grant, ...]) -> None:
        self.granted = {**self.granted, pattern: grants}
        if not grants:
            del self.granted[pattern]

    async def withdraw_in_time(self) -> None:
        """Closes grants when their time is up: an hour is an hour even if the clock is set in the meantime.

        Also closes what was revoked while a part of the sandbox did not answer.
        """
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for pattern in list(self.granted):
                for grant in self.granted.get(pattern, ()):
                    left = grant.ends - self._steady()
                    if grant.closed_by or (grant.until and left <= 0):
                        await self._end(pattern, grant)
                    elif grant.until:
                        self._follow_clock(pattern, grant, left)

    async def _end(self, pattern: str, grant: Grant) -> None:
        try:
            async with self._changing:
                if grant not in self.granted.get(pattern, ()):
                    return  # the operator has closed it in the meantime
                await self._close(pattern, [grant], grant.closed_by or TIME_UP)
        except SystemFailure as error:
            known = replace(grant, closed_by="")
            if self._reported.get(known) != str(error):  # repeated until it works, but reported once
                self._emit(Noted("error", f"cannot close {pattern} yet: {error}"))
            self._reported[known] = str(error)
        else:
            self._reported.pop(replace(grant, closed_by=""), None)
            await self._tell()

    def _follow_clock(self, pattern: str, grant: Grant, left: float) -> None:
        """Reports the new end of a grant if the clock was set."""
        until = self._clock() + left
        if abs(until - grant.until) > SET_SECONDS:
            moved = replace(grant, until=until)
            self._keep(pattern, tuple(moved if other is grant else other for other in self.granted[pattern]))
            self._say(moved)

    async def _apply(self, *, to_all: bool = False) -> None:
        """Puts the allowlist into effect. Raises SystemFailure like Policy.apply."""
        try:
            await self._boot.policy.apply(self.allowlist, to_all=to_all)
        finally:
            self._changed()

    async def _tell(self) -> None:
        """Updates the description for Claude. Waits only briefly: the agent's file may be a pipe without a reader."""
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
                self._emit(Noted("warning", f"cannot tell Claude how the allowlist has changed: {error}"))


def written(entry: Entry, *, full: bool = False) -> str:
    """The ports of an entry in allowlist syntax. Unless `full`, the default ports are ""."""
    ports = ",".join(map(str, entry.ports))
    return ports if full or ports != ",".join(map(str, DEFAULT_PORTS)) else ""
