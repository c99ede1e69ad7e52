"""The guard's main loop: the channel to the supervisor, the refresh of the allowlist, refusals once a second.

The arguments are inherited descriptors: the channel, a UDP socket and a TCP listener, both bound to the guard's address. The
channel closes when the supervisor has ended. The guard then exits, too, and leaves the firewall unchanged.
Length: the guard's state, and all messages that read or change it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import socket
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from backend import system
from backend.contract import events
from backend.contract.events import CLAUDE, Event, ListMeasured, Noted, Reason, Stamped
from backend.contract.refusals import OTHER_NAMES, Severity, severity
from backend.guard import channel, learning, nflog, openings, upstream
from backend.guard.channel import MESSAGE_BYTES, Amend, Configure, Configured, Done, Happened, ListedName, Message, Request
from backend.guard.conntrack import Conntrack
from backend.guard.explanation import NOT_RESOLVED, about_address, addresses_of, is_address
from backend.guard.nftables import Nftables, NftError
from backend.guard.openings import Openings
from backend.guard.refusals import MAX_ROWS, Place, Refusals, destination_totals
from backend.guard.server import Failing, Server, serve
from backend.guard.upstream import Upstreams
from backend.system import SystemFailure
from network.allowlist import Allowlist, Check, Entry, Port
from network.firewall import elements, ruleset

MAX_AT_ONCE = 100  # names resolved in parallel by a refresh
MAX_AT_ONCE_LATER = 20  # by one that nothing waits for, so that queries do not wait for it
MAX_FAILING = 50  # names without an address in the journal
MAX_TOLD = 5  # of them in the answer to a refresh


class Guard:
    """The state and the tasks of the guard process."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self.nft = Nftables()
        self.openings = Openings(self.nft, time.monotonic)
        self.server = Server(self.openings, self.report)
        self.refusals = Refusals(
            lambda address: self.openings.last_names.get(address, ""), lambda name: self.server.allowlist.match(name),
            frozen=lambda: self.server.paused,
        )  # fmt: skip
        self.settings: Configure | None = None
        self._in_force = 0  # the id of the configuration that DNS, sets and flows match, 0 if that failed
        self._configured = asyncio.Event()
        self.refreshed_at = self.next_at = 0.0
        self._left: tuple[Entry, ...] = ()  # entries that boot did not wait for
        self._has_left = asyncio.Event()
        self._measured: ListMeasured | None = None
        self._dns_refused: dict[Severity, dict[str, events.Refused]] = {each: {} for each in Severity}

    # --- messages to the supervisor ---

    def report(self, event: Event) -> None:
        """Sends an event to the journal. Collects DNS refusals for up to a second, like refused packets."""
        if isinstance(event, events.Refused):
            self._collect(event)
            return
        self._send_message(Happened(events.encode(Stamped(time.time(), 0, event))))

    def _collect(self, event: events.Refused) -> None:
        """Adds a DNS refusal. Each severity has its own limit, so a flood of unlisted names displaces nothing else."""
        rows = self._dns_refused[severity(event)]
        if event.key not in rows and len(rows) >= MAX_ROWS:
            # Keep a private address, because the severity depends on it.
            event = replace(event, name=OTHER_NAMES, address=event.address if event.reason is Reason.PRIVATE else "")
        previous = rows.get(event.key)
        rows[event.key] = replace(event, count=event.count + (previous.count if previous else 0))

    def _send_message(self, message: Message) -> None:
        self._send(channel.encode(message))

    def measure(self) -> None:
        """Reports the state of the allowlist if it has changed."""
        failing = dict(sorted(self.server.failing.items(), key=lambda item: (item[0] != CLAUDE, item[0]))[:MAX_FAILING])
        measured = ListMeasured(
            len(self.server.allowlist.entries), self.openings.addresses, self.refreshed_at, self.next_at,
            {name: one.since for name, one in failing.items()}, {name: one.reason for name, one in failing.items()},
            sum(reason == NOT_RESOLVED for reason in self.unresolved().values()),
        )  # fmt: skip
        if measured != self._measured:
            self._measured = measured
            self.report(measured)

    # --- messages from the supervisor ---

    async def handle(self, message: Message) -> None:
        """Acts on a message and answers it."""
        if isinstance(message, Configure | Amend):
            try:
                await (self._configure(message) if isinstance(message, Configure) else self._amend(message))
            except (NftError, SystemFailure, OSError, ValueError) as error:
                self._send_message(Configured(message.id, str(error)))
            else:
                self._send_message(Configured(message.id))
        elif isinstance(message, Request):
            try:
                done = await self._do(message)
            except (NftError, SystemFailure, ValueError) as error:
                done = Done(message.id, False, str(error))
            self._send_message(done)

    async def _configure(self, message: Configure) -> None:
        self._in_force = 0
        entries = _entries(message.entries)
        resolvers = tuple(upstream.parse(text) for text in message.upstreams)
        self.openings.grace_seconds = message.grace_seconds
        self.openings.keep_seconds = message.keep_seconds
        self.openings.gate = message.gate
        first = self.settings is None
        if first:
            self.openings.read_back()
            for totals, kind in self._totals():
                self.refusals.begin(totals, kind)
        else:
            self.openings.restore()
        previous = self.server.upstreams
        self.server.upstreams = Upstreams(resolvers, time.monotonic, previous.health if previous else {})
        self.server.answer_addresses = message.answer_addresses
        self.server.allowlist = Allowlist(entries)
        self.server.learner = learning.configured(self.server.learner, message, self.server.allowlist, self._send_message)
        self.settings = message
        self._configured.set()
        self.server.paused = message.paused
        if message.paused:
            await openings.cut(self.openings.empty())
        elif not first:
            # Not after a restart: the names of addresses are not known yet, and their leases end anyway.
            await openings.cut(self.openings.close_unlisted(self.server.allowlist.match))
        self._changed(message.id)

    async def _amend(self, message: Amend) -> None:
        """Changes some entries; looks only at the openings that they may concern."""
        if message.base != self._in_force:
            raise ValueError("cannot amend the allowlist: the guard has another one")
        self._in_force = 0
        before, entries = self.server.allowlist, _entries(message.entries)
        gone = tuple(entry for pattern in message.removed if (entry := before.listed(pattern)))
        self.server.allowlist = before.amended(entries, message.removed)
        if self.server.learner is not None:
            self.server.learner.changed(lambda name: self.server.allowlist.match(name) is not None)
        # Openings from before a restart have no names: they may belong to an entry that was changed or removed.
        narrows = bool(gone) or any(before.match(entry.name) or before.listed(entry.pattern) for entry in entries)
        concerned = openings.concerned((*entries, *gone), nameless=narrows)
        await openings.cut(self.openings.close_unlisted(self.server.allowlist.match, concerned))
        self._changed(message.id)

    def _changed(self, number: int) -> None:
        """Records that a configuration is in force."""
        self.server.failing = {n: t for n, t in self.server.failing.items() if self.server.allowlist.match(n)}
        self._in_force = number
        self.measure()

    async def _do(self, request: Request) -> Done:
        match request:
            case channel.Ping():
                return Done(request.id, True)
            case channel.Refresh(most):
                names = self._names()
                first = names[: most or None]
                left = names[len(first) :]
                resolved, failed = await self.refresh(first)
                text = self._refreshed(resolved)
                if left:
                    text += f", {len(left)} more are being resolved"
                    self._left = left
                    self._has_left.set()
                return Done(request.id, True, text, {"resolved": resolved, "failed": failed, "left": len(left)})
            case channel.Resolve(host):
                return await self._resolve(request.id, host)
            case channel.Explain(host, port):
                return Done(request.id, True, data=self._explain(host, port))
            case channel.Unresolved():
                return Done(request.id, True, data=self.unresolved())
            case _:
                return Done(request.id, False, f"unknown request {request.name}")

    async def _resolve(self, number: int, host: str) -> Done:
        entry = self.server.allowlist.match(host)
        if entry is None:
            return Done(number, False, f"{host}: {Reason.NOT_LISTED}")
        addresses, reason = await self.server.look_up(host, entry)
        self.measure()
        return Done(number, bool(addresses), reason or ", ".join(addresses), {"addresses": sorted(addresses)})

    def _explain(self, host: str, port: int) -> dict[str, Any]:
        """About an address as in `about_address`; about a name: its open `addresses`, and `lack`, the reason if it has none."""
        if is_address(host):
            return about_address(host, port, self.openings, self.refusals.reason)
        addresses = addresses_of(host, self.openings)
        return {"addresses": addresses, "lack": self._lack(host) if not addresses or host in self.server.failing else ""}

    def _lack(self, name: str) -> str:
        failing = self.server.failing.get(name)
        return failing.reason if failing else NOT_RESOLVED

    def unresolved(self) -> dict[str, str]:
        """The names of entries without a wildcard that have no open address or could not be resolved, and the reason."""
        now = self.openings.clock()
        resolved = {name for opening in self.openings.open.values() if opening.until > now for name in opening.names}
        names = (entry.name for entry in self.server.allowlist.entries if not entry.below)
        return {name: self._lack(name) for name in names if name not in resolved or name in self.server.failing}

    def _refreshed(self, resolved: int) -> str:
        """The result of a refresh: `22 names resolved, 1 without an address: ghost.example (does not exist (NXDOMAIN))`."""
        text = f"{resolved} name{'' if resolved == 1 else 's'} resolved"
        failing = sorted(self.server.failing.items())
        if not failing:
            return text
        each = [f"{name} ({one.reason})" for name, one in failing[:MAX_TOLD]]
        more = [f"and {len(failing) - MAX_TOLD} more"] if len(failing) > MAX_TOLD else []
        return f"{text}, {len(failing)} without an address: {', '.join([*each, *more])}"

    # --- periodic tasks ---

    def _names(self) -> tuple[Entry, ...]:
        """The entries without a wildcard."""
        return tuple(entry for entry in self.server.allowlist.entries if not entry.below)

    async def refresh(self, entries: Sequence[Entry] | None = None, at_once: int = MAX_AT_ONCE) -> tuple[int, int]:
        """Resolves entries, by default all without a wildcard, to keep their addresses open.

        Returns the counts of successes and failures.
        """
        slots = asyncio.Semaphore(at_once)

        async def one(entry: Entry) -> bool:
            async with slots:
                try:
                    addresses, _ = await self.server.look_up(entry.name, entry)
                except NftError as error:
                    addresses = ()
                    self.server.failing.setdefault(entry.name, Failing(time.time(), str(error)))
            return bool(addresses)

        results = await asyncio.gather(*(one(entry) for entry in (self._names() if entries is None else entries)))
        self.refreshed_at = time.time()
        self.measure()
        return sum(results), len(results) - sum(results)

    async def keep_refreshing(self) -> None:
        await self._configured.wait()
        assert self.settings is not None
        while True:
            pause = self.settings.refresh_seconds * random.uniform(0.9, 1.0)
            self.next_at = time.time() + pause
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._has_left.wait()
            left, self._left = self._left, ()
            has_left = self._has_left.is_set()
            self._has_left.clear()
            if self.server.paused:
                continue
            await (self.refresh(left, MAX_AT_ONCE_LATER) if has_left else self.refresh())
            self.openings.expire()
            try:
                self.openings.keep_used(await openings.flows())
            except (NftError, SystemFailure) as error:
                self.report(Noted("error", str(error)))

    async def keep_counting(self) -> None:
        """Reports refusals once a second. The kernel's counters correct the totals if its log has dropped packets."""
        busy = False
        while True:
            await asyncio.sleep(1.0)
            with contextlib.suppress(NftError):  # the table is missing, which the supervisor's self-test reports
                # A query makes the library read every set. So ask only while the log may have dropped packets, and once more
                # for those after the last report.
                busy, before = self.refusals.reported >= ruleset.NFLOG_RATE // 2, busy
                if busy or before:
                    for totals, kind in self._totals():
                        self.refusals.add_totals(totals, kind)
            self.report_refused()
            self.measure()

    def _totals(self) -> Iterator[tuple[Mapping[Place, int], Severity]]:
        """Yields the kernel's counters of refused destinations for each severity. Raises NftError."""
        for name, kind in ((elements.REFUSED, Severity.POLICY), (elements.SERIOUS, Severity.SERIOUS)):
            yield destination_totals(self.nft.query(elements.list_set(name))), kind

    def report_refused(self) -> None:
        """Reports the refusals since the last call."""
        refused = [*self.refusals.take(), *(event for rows in self._dns_refused.values() for event in rows.values())]
        self._dns_refused = {each: {} for each in Severity}
        for row in refused:
            self._send_message(Happened(events.encode(Stamped(time.time(), 0, row))))


def _entries(listed: Sequence[ListedName]) -> tuple[Entry, ...]:
    return tuple(
        Entry(e.name, e.below, tuple(Port(number, Check(check)) for number, check in e.ports), e.source) for e in listed
    )


async def _main(channel_fd: int, udp_fd: int, tcp_fd: int) -> None:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=channel_fd), limit=MESSAGE_BYTES)
    guard = Guard(writer.write)
    packets, conntrack = nflog.open_socket(), Conntrack(guard.report)

    def read_packets() -> None:
        for report in nflog.receive(packets):
            (conntrack if report.prefix == ruleset.REUSED else guard.refusals).add(report)

    asyncio.get_running_loop().add_reader(packets, read_packets)
    await serve(guard.server, socket.socket(fileno=udp_fd), socket.socket(fileno=tcp_fd))
    gc.freeze()
    pending: set[asyncio.Task[None]] = set()

    def begin(work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        pending.add(task)
        task.add_done_callback(pending.discard)

    async with asyncio.TaskGroup() as group:  # a failed task ends the guard, which the supervisor then restarts
        running = [group.create_task(task) for task in (guard.keep_refreshing(), guard.keep_counting())]
        while line := await reader.readline():
            message = channel.decode(line)
            if isinstance(message, Configure | Amend):
                await guard.handle(message)  # in order, so that the latest configuration is the one in force
            else:
                begin(guard.handle(message))
        for task in running:
            task.cancel()


def run(descriptors: Sequence[str]) -> int:
    """The process `python3 -I -m backend guard CHANNEL UDP TCP`."""
    channel_fd, udp_fd, tcp_fd = map(int, descriptors)
    system.watch_children()
    asyncio.run(_main(channel_fd, udp_fd, tcp_fd))
    return 0
