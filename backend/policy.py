"""Owns the allowlist in force and the frozen state of the sandbox.

`Policy.apply` is the only code that passes an allowlist to the guard, CoreDNS and the gate.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from backend.guard.channel import Configure, ListedName, Refresh
from backend.services.bundle import Services
from backend.settings import Settings
from backend.settings.values import GateMode
from backend.system import SystemFailure
from network import grant, reasons
from network.allowlist import Allowlist

REOPEN_SECONDS = 60.0  # limit for resolving all entries that are not wildcards


class Policy:
    """`listed` is the allowlist read at boot; `allowlist`, the one in force, adds the operator's grants."""

    def __init__(self, settings: Settings, services: Services) -> None:
        self._settings, self._services = settings, services
        self.read = Allowlist()  # `listed`, without the grants that the rules for credentials replace
        self.listed = Allowlist()
        self.allowlist = Allowlist()
        self.never: frozenset[str] = self.credential_hosts  # names that a learning run must not open
        self.upstreams: tuple[str, ...] = ()  # the resolvers that the guard asks
        self.frozen = False  # from the moment a freeze begins until a thaw has succeeded
        self.held = False  # the agent's processes are stopped for a moment, while its files are read
        self._closed = False  # the guard opens nothing; a thaw resets it before `frozen`, to open the allowlist first

    @property
    def stands_still(self) -> bool:
        """True while the agent's processes are stopped, so that its tmux does not answer."""
        return self.frozen or self.held

    @property
    def own_ports(self) -> tuple[int, ...]:
        """The ports of sshd and of the metrics, which the agent may not reach."""
        metrics = self._settings.metrics
        return tuple(port for port in (self._settings.open_ssh_port, metrics.port if metrics else 0) if port)

    async def begin(self, listed: Allowlist) -> None:
        """Applies the allowlist read at boot. Raises SystemFailure."""
        self.read, self.listed = listed, self.governed(listed)
        await self.apply(self.listed)

    def governed(self, allowlist: Allowlist) -> Allowlist:
        """Returns an allowlist in which the rules for credentials decide at hosts whose credential is set.

        If the agent has the credential, every request is granted.
        """
        return allowlist.governed(self.credential_hosts, grant.BY_CREDENTIAL if self._settings.outside else grant.ANYTHING)

    @property
    def credential_hosts(self) -> frozenset[str]:
        """The hosts whose credential is set."""
        settings = self._settings
        configured = settings.secrets.by_variable
        return frozenset(host.name for host in settings.hosts if any(c.variable in configured for c in host.credentials))

    async def open(self, allowlist: Allowlist) -> None:
        """Puts an allowlist with more names into effect, in a learning run. Raises SystemFailure.

        The gate comes first, because the guard lets a program continue as soon as it knows the name. CoreDNS serves all names.
        """
        await self._services.gate.change(allowlist)
        self.allowlist = allowlist
        await self._services.guard.change(self.configuration())

    async def apply(self, allowlist: Allowlist, *, to_all: bool = False) -> None:
        """Puts an allowlist into effect in guard, CoreDNS and gate. The guard comes first: it opens what CoreDNS serves.

        A service that does not run yet will start with it. Raises SystemFailure at the first service that fails; with `to_all`
        (for closing) only after all services have been tried.
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
        """Sets the resolvers that the guard queries. Raises SystemFailure."""
        self.upstreams = upstreams
        await self._services.guard.change(self.configuration())

    def configuration(self) -> Configure:
        """The guard's configuration."""
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
            learning=self._settings.learns,
            never=tuple(sorted(self.never)) if self._settings.learns else (),
        )

    def refuse_if_frozen(self, effect: str) -> None:
        """Raises SystemFailure if frozen. `effect` is the consequence, for the message. Call it after any wait."""
        if self.frozen:
            raise SystemFailure(f"{reasons.FROZEN}: {effect}", "Run codetainer thaw first.")

    async def freeze(self) -> None:
        """Closes all addresses and cuts all flows until `thaw`. A guard that restarts meanwhile opens nothing, either.

        Raises SystemFailure if the guard does not answer; it will close everything when it comes back.
        """
        self.frozen = self._closed = True
        await self._services.guard.change(self.configuration())

    async def thaw(self, release: Callable[[], Awaitable[None]]) -> None:
        """Opens the allowlist again, then lets the agent continue (`release`). Stays frozen if that raises SystemFailure."""
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
            with contextlib.suppress(SystemFailure):  # report the first failure
                await self.freeze()
            raise
        self.frozen = False
