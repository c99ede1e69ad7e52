"""The learning run: opens the names that programs ask for, records their requests, and writes the allowlist that they need.

The guard asks for a name to be opened (backend/guard/learning.py), the gate logs the requests to it
(network/gate/learning.py), and CoreDNS says which program asked. The record is in memory; the allowlist is written to a file
that only root can read, regularly and at the end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from backend import system
from backend.context import Boot
from backend.contract.events import Event, Learned, Noted, Refused
from backend.contract.state import State
from backend.supervision.grants import BY_HAND, LEARNING, Grants
from backend.system import SystemFailure
from network.learning import file
from network.learning.record import Record, Request, line

WRITE_SECONDS = 2.0
MAX_ENTRY = 400  # characters of an entry in an event
MAX_TOLD = 64  # events in one round; the others follow in the next


def _reason(refused: Refused) -> str:
    return f"{refused.reason}: {refused.detail}" if refused.detail else str(refused.reason)


class Learning:
    """What a run has learned. `state` is the sandbox's state, which contains the refusals."""

    def __init__(
        self,
        boot: Boot,
        grants: Grants,
        emit: Callable[[Event], None],
        state: Callable[[], State],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._boot, self._grants, self._emit, self._state, self._clock = boot, grants, emit, state, clock
        self.record = Record()
        self._began = clock()
        self._found: dict[str, None] = {}
        self._untrusted: dict[str, None] = {}
        self._news = asyncio.Event()
        self._told: dict[str, Learned] = {}
        self._said = ""  # the last error

    # --- what the services report ---

    def found(self, name: str) -> None:
        """A program waits for a name that is public and not open."""
        self._found[name] = None
        self._news.set()

    def asked(self, name: str, program: str) -> None:
        """CoreDNS: a program has asked for a name."""
        self.record.asked(name, program)

    def request(self, request: Request) -> None:
        """The gate: a request has ended."""
        self.record.request(request, self._clock())

    def connection(self, name: str, port: int, bytes_in: int) -> None:
        """The gate: a TLS connection has ended."""
        self.record.connection(name, port, bytes_in, self._clock())

    def untrusted(self, name: str) -> None:
        """The gate: a client has refused the gate's certificate for a name."""
        if self.record.untrusted(name):
            self._untrusted[name] = None
            self._news.set()

    # --- tasks ---

    async def open_found(self) -> None:
        """Opens names as they are found. Several that are found meanwhile are opened together."""
        while True:
            await self._news.wait()
            self._news.clear()
            names, self._found = tuple(self._found), {}
            untrusted, self._untrusted = tuple(self._untrusted), {}
            try:
                await self._open(names)
                for name in untrusted:
                    await self._grants.leave_unopened(name)
                    self._emit(Noted("warning", f"learning run: a client refused the gate's certificate for {name}; "
                                     "its TLS passes unopened from now on, and its requests are not seen"))  # fmt: skip
                self._said = ""
            except SystemFailure as error:
                if str(error) != self._said:
                    self._emit(Noted("error", f"learning run: cannot open a name: {error}"))
                self._said = str(error)

    async def _open(self, names: tuple[str, ...]) -> None:
        """Opens names together or, if that fails, one by one: one of them must not keep the others closed.

        Raises SystemFailure for the last one that failed.
        """
        failure: SystemFailure | None = None
        together = [names] if names else []
        while together:
            some = together.pop(0)
            try:
                await self._grants.learn(some)
            except SystemFailure as error:
                failure = error
                together += [(name,) for name in some] if len(some) > 1 else []
                continue
            for name in some:
                if self._ours(name):
                    self.record.opened(name, self._clock())
            self.tell()
        if failure is not None:
            raise failure

    def _ours(self, name: str) -> frozenset[int]:
        """The ports of a name that this run has opened, without those that the operator has closed or allowed since."""
        grants = (grant for grant in self._grants.granted.get(name, ()) if grant.by == LEARNING and not grant.closed_by)
        return frozenset(number for grant in grants for number in grant.entry.numbers)

    def _notice_closed(self) -> None:
        """Records the ports that the operator has closed, or given another grant."""
        for name in self.record.names:
            self.record.keep(name, self._ours(name))

    async def keep_writing(self) -> None:
        """Writes the allowlist, and reports names whose entry has changed."""
        self.write()
        spent = 0.0
        while True:
            await asyncio.sleep(max(WRITE_SECONDS, 10 * spent))
            began = time.monotonic()
            self._notice_closed()
            if self.record.changed:
                self.write()
                self.tell()
            spent = time.monotonic() - began

    def tell(self, most: int = MAX_TOLD) -> None:
        """Emits an event for each name whose entry has changed, at most `most`."""
        for each in self.record.take_changed(most):
            entry = " / ".join(map(line, each.entries))[:MAX_ENTRY]
            event = Learned(each.name, entry, tuple(each.programs), each.standing, "; ".join(each.why_open))
            if event != self._told.get(each.name):
                self._told[each.name] = event
                self._emit(event)

    def write(self) -> None:
        """Writes the allowlist to the sandbox's own file."""
        try:
            system.write(self._boot.paths.learned, self.text(), mode=0o600)
        except (OSError, ValueError) as error:
            self._emit(Noted("error", f"cannot write what the learning run has learned: {error}"))

    def text(self) -> str:
        """The allowlist that permits again what the run has used."""
        self._notice_closed()
        state, policy = self._state(), self._boot.policy
        by_hand = [
            grant.entry for grants in self._grants.granted.values() for grant in grants
            if grant.entry.source == BY_HAND and not grant.closed_by
        ]  # fmt: skip
        refused = [
            file.Refused(view.latest.name, view.latest.address, view.latest.port, _reason(view.latest), view.count)
            for view in state.refusals.values()
        ]
        used = {name for name, carried in state.carried.items() if carried.connections}
        run = file.Run(
            state.name, self._began, self._clock(), policy.read.entries, tuple(by_hand), frozenset(used), tuple(refused),
            tuple(sorted(policy.credential_hosts)),
        )  # fmt: skip
        return file.render(self.record, run)

    def finish(self) -> None:
        """Writes and reports everything, when the services have ended."""
        self.write()
        self.tell(len(self.record.names) + 1)
