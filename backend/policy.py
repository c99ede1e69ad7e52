"""What is open: the allowlist in force, and whether the operator has frozen the sandbox. The one owner of both.

`Policy.apply` is the only code that hands an allowlist to the guard, CoreDNS and the gate.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from backend.guard.channel import Configure, ListedName, Refresh
from backend.services.bundle import Services
from backend.settings import Settings
from backend.settings.values import GateMode
from backend.system import SystemFailure
from network.allowlist import Allowlist

REOPEN_SECONDS = 60.0  # for resolving every plain entry


class Policy:
    """`listed` is the allowlist as it was read at boot, `allowlist` the one in force, with what was opened by hand."""

    def __init__(self, settings: Settings, services: Services) -> None:
        self._settings, self._services = settings, services
        self.listed = Allowlist()
        self.allowlist = Allowlist()
        self.upstreams: tuple[str, ...] = ()  # the resolvers that the guard asks
        self.frozen = False  # from the moment a freeze begins until a thaw has succeeded
        self._closed = False  # what the guard is told: opened again just before the agent goes on

    async def begin(self, listed: Allowlist) -> None:
        """Takes the allowlist that was read at boot. Raises SystemFailure."""
        self.listed = listed
        await self.apply(listed)

    async def apply(self, allowlist: Allowlist, *, to_all: bool = False) -> None:
        """Puts an allowlist into effect: the guard first, so that a name that is served can be opened; then CoreDNS, the gate.

        A service that has not been started begins with it. Raises SystemFailure at the first service that does not take it;
        with `to_all` (for closing) only after all have had it.
        """
        self.allowlist = allowlist
        services = self._services
        changes: tuple[Callable[[], Awaitable[None]], ...] = (
            lambda: services.guard.change(self.configuration()),
            lambda: services.coredns.change(allowlist),
            lambda: services.gate.change(allowlist),
        )
        failures: list[SystemFailure] = []
        for change in changes:
            try:
                await change()
            except SystemFailure as error:
                if not to_all:
                    raise
                failures.append(error)
        if failures:
            raise SystemFailure("; ".join(map(str, failures)), failures[0].hint)

    async def use_upstreams(self, upstreams: tuple[str, ...]) -> None:
        """Names the resolvers that the guard asks from now on. Raises SystemFailure."""
        self.upstreams = upstreams
        await self._services.guard.change(self.configuration())

    def configuration(self) -> Configure:
        """What the guard has to know."""
        entries = tuple(
            ListedName(entry.name, entry.below, tuple((port.number, str(port.check)) for port in entry.ports), entry.source)
            for entry in self.allowlist.entries
        )
        return Configure(
            entries,
            self.upstreams,
            keep_seconds=self._settings.keep_seconds,
            refresh_seconds=self._settings.refresh_seconds,
            gate=self._settings.gate is GateMode.ON,
            paused=self._closed,
        )

    def refuse_if_frozen(self, effect: str) -> None:
        """For whatever may have waited until after a freeze. Raises SystemFailure, with the `effect` that frozen rules out."""
        if self.frozen:
            raise SystemFailure(f"the sandbox is frozen: {effect}", "Run codetainer thaw first.")

    async def freeze(self) -> None:
        """Closes every address and cuts all flows until `thaw`. A guard that is started meanwhile opens nothing either.

        Raises SystemFailure if the guard does not answer: it closes everything when it comes back.
        """
        self.frozen = self._closed = True
        await self._services.guard.change(self.configuration())

    async def thaw(self, release: Callable[[], Awaitable[None]]) -> None:
        """Opens the allowlist again, then lets the agent go on (`release`). Raises SystemFailure; it stays closed then."""
        guard = self._services.guard
        self._closed = False
        try:
            if guard.service.pid:
                await guard.change(self.configuration())
                done = await guard.ask(Refresh(), REOPEN_SECONDS)
                if not done.ok:
                    raise SystemFailure(done.text)
            else:
                guard.begin_with(self.configuration())
            await release()
        except SystemFailure:
            with contextlib.suppress(SystemFailure):  # the first failure is the one to report
                await self.freeze()
            raise
        self.frozen = False
