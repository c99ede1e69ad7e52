"""Guard, CoreDNS and gate in small, and grants over them: what is open by hand, and who has been told."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from backend import settings
from backend.boot import briefing
from backend.context import Boot
from backend.contract.events import Event, ServiceState
from backend.contract.paths import Paths
from backend.guard.channel import Configure, Done, Refresh, Request, Resolve, Unresolved
from backend.policy import Policy
from backend.services.bundle import Services
from backend.supervision import grants
from backend.supervision.grants import Grants
from backend.system import SystemFailure
from network.allowlist import Allowlist, Entry, parse_entry, parse_words


def listed(text: str) -> Allowlist:
    return parse_words(text, "test").allowlist


def entry(text: str) -> Entry:
    (found,) = listed(text).entries
    return found


def by_hand(text: str) -> Entry:
    return parse_entry(text, grants.BY_HAND)


LISTED = "always.example"
BOTH = {"always.example", "more.example"}


class Parts:
    """Guard, CoreDNS and gate as an allowlist reaches them; each refuses as long as it is in `down`."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.order: list[str] = []  # who was given an allowlist, one after the other
        self.has: dict[str, set[str]] = {}
        self.ports: dict[str, set[int]] = {}  # by name, as the guard has them
        self.paused = False  # as the guard was told last
        self.resolved: list[str] = []
        self.guard = SimpleNamespace(
            service=SimpleNamespace(state=ServiceState.UP, pid=7), change=self._configure, begin_with=self._begin, ask=self._ask
        )
        self.coredns = SimpleNamespace(change=self._change_names)
        self.gate = SimpleNamespace(change=self._change_gate, proxy=None)
        self.goes_on = asyncio.Event()  # set: no change waits
        self.goes_on.set()
        self.held = asyncio.Event()  # one change waits, between the guard's part and CoreDNS's

    def stopped(self) -> None:
        """The guard as it is after a halt."""
        self.guard.service.state, self.guard.service.pid = ServiceState.STOPPED, 0

    def _take(self, part: str, names: set[str]) -> None:
        if part in self.down:
            raise SystemFailure(f"{part} is down")
        self.order.append(part)
        self.has[part] = names

    async def _configure(self, wanted: Configure) -> None:
        self._take("guard", {one.name for one in wanted.entries})
        self._begin(wanted)

    def _begin(self, wanted: Configure) -> None:
        self.ports = {one.name: {number for number, _ in one.ports} for one in wanted.entries}
        self.paused = wanted.paused

    async def _change_names(self, allowlist: Allowlist) -> None:
        if not self.goes_on.is_set() and not self.held.is_set():
            self.held.set()
            await self.goes_on.wait()
        self._take("names", {one.name for one in allowlist.entries})

    async def _change_gate(self, allowlist: Allowlist) -> None:
        self._take("gate", {one.name for one in allowlist.entries})

    async def _ask(self, request: Request, seconds: float = 0.0) -> Done:
        await asyncio.sleep(0)  # others may have their turn
        match request:
            case Resolve(host) if not self.down & {"resolver", host}:
                self.resolved.append(f"resolve {host}")
                return Done(1, True, "198.51.100.1")
            case Unresolved():
                return Done(1, True)
            case Refresh() if "resolver" not in self.down:
                self.resolved.append("refresh")
                return Done(1, True, "2 names resolved")
            case _:
                return Done(1, False, "the name does not exist")


class Case:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, paths: Paths) -> None:
        self.parts, self.events, self.proofs, self.told = Parts(), list[Event](), 0, list[Any]()
        monkeypatch.setattr(briefing, "write", lambda _, __, allowlist: self.told.append(names(allowlist)))
        given = settings.load({"GH_PAT": "ghp_x", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-x"})
        self.policy = Policy(given, cast("Services", self.parts))
        self.policy.listed = listed(LISTED)
        self.policy.upstreams = ("192.0.2.53",)
        boot = SimpleNamespace(settings=given, paths=paths, services=self.parts, policy=self.policy)
        self.now = 1_000_000.0  # by the clock
        self.gone = 50.0  # that have gone by
        self.grants = Grants(
            cast(Boot, boot), self._emit, self._changed,
            clock=lambda: self.now, steady=lambda: self.gone,
        )  # fmt: skip

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.gone += seconds

    def _emit(self, event: Event) -> None:
        self.events.append(event)

    async def said(self, kind: type[Event], *, after: int = 0) -> None:
        """Lets the others have their turns until there is an event of a kind, `after` so many events."""
        for _ in range(1000):
            if any(isinstance(event, kind) for event in self.events[after:]):
                return
            await asyncio.sleep(0)
        raise AssertionError(f"no {kind.__name__} in {self.events[after:]}")

    def _changed(self) -> None:
        self.proofs += 1

    async def looks(self) -> None:
        """What is over is looked for, a few times."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(grants, "LOOK_SECONDS", 0.0)
            watching = asyncio.create_task(self.grants.withdraw_in_time())
            for _ in range(100):
                await asyncio.sleep(0)
            watching.cancel()


def names(allowlist: Allowlist) -> set[str]:
    return {one.name for one in allowlist.entries}
