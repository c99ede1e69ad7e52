"""The guard's DNS server: it resolves a listed name, opens its addresses, and only then answers.

The order matters: no client may get an answer before the kernel has the addresses. In any doubt, the answer is SERVFAIL and
nothing is opened.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from backend.contract.events import Event, Reason, Refused, Via
from backend.guard.learning import Learner
from backend.guard.nftables import NftError
from backend.guard.openings import Openings
from backend.guard.upstream import NO_RESOLVER, UpstreamError, Upstreams
from network.allowlist import Allowlist, Entry
from network.dns import dns_message
from network.dns.corefile import CACHE_SECONDS
from network.dns.dns_message import Answer, MessageError

MAX_CONNECTIONS = 64  # TCP, from CoreDNS
STREAM_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Failing:
    """A name without an address: since when (seconds since the epoch), and the reason in a few words."""

    since: float
    reason: str


@dataclass(slots=True)
class Server:
    """The allowlist and its resolution. `report` takes events for the journal; `paused` answers everything with SERVFAIL."""

    openings: Openings
    report: Callable[[Event], None]
    allowlist: Allowlist = field(default_factory=Allowlist)
    upstreams: Upstreams | None = None
    answer_addresses: int = 64
    paused: bool = False
    failing: dict[str, Failing] = field(default_factory=dict)  # by name, of entries without a wildcard
    learner: Learner | None = None  # in a learning run
    _learning: dict[str, asyncio.Task[Answer | None]] = field(default_factory=dict)
    _asked: dict[str, asyncio.Task[Answer]] = field(default_factory=dict)

    async def reply(self, query: bytes) -> bytes | None:
        """Returns the answer to a datagram, or None if it is not a query."""
        try:
            question = dns_message.parse_query(query)
        except MessageError:
            return self._refused(query)
        entry = self.allowlist.match(question.name)
        if self.upstreams is None or self.paused:
            return dns_message.build_answer(question, dns_message.SERVFAIL)
        if entry is None and self.learner is not None and question.type == dns_message.A:
            try:
                lack = await self._learn(question.name.lower().rstrip("."), self.learner)
            except UpstreamError:
                return dns_message.build_answer(question, dns_message.SERVFAIL)
            if lack is not None:
                return dns_message.build_answer(question, lack.rcode)
            entry = self.allowlist.match(question.name)
        if entry is None:
            self.report(Refused(Via.DNS, Reason.NOT_LISTED, protocol="dns", name=question.name.lower()))
            return dns_message.build_answer(question, dns_message.NXDOMAIN)
        if question.type != dns_message.A:
            return dns_message.build_answer(question, dns_message.NOERROR)
        try:
            answer = await self.resolve(question.name.lower(), entry)
        except (UpstreamError, NftError):
            return dns_message.build_answer(question, dns_message.SERVFAIL)
        return dns_message.build_answer(question, answer.rcode, answer.addresses, answer.ttl)

    async def _learn(self, name: str, learner: Learner) -> Answer | None:
        """Has a name opened that is not listed. Returns None if it is listed now, else the answer. Raises UpstreamError.

        Concurrent queries for a name share the attempt.
        """
        task = self._learning.get(name)
        if task is None:
            task = self._learning[name] = asyncio.create_task(self._open(name, learner))
            task.add_done_callback(lambda _: self._learning.pop(name, None))
        return await asyncio.shield(task)

    async def _open(self, name: str, learner: Learner) -> Answer | None:
        not_listed = Refused(Via.DNS, Reason.NOT_LISTED, protocol="dns", name=name)
        if self.upstreams is None or learner.refuses(name):
            self.report(not_listed)
            return Answer(dns_message.NXDOMAIN, (), 0)
        answer = await self.upstreams.ask(name)
        special = self._report_special(name, answer)
        if all(address in special for address in answer.addresses):
            if not special:
                self.report(not_listed)
            return Answer(answer.rcode, (), 0)
        await learner.open(name)
        return None

    def _refused(self, query: bytes) -> bytes | None:
        """Returns REFUSED. Without an answer, CoreDNS would wait for seconds and count that as latency."""
        refusal = dns_message.refuse(query)
        if refusal is None:
            return None
        name, reply = refusal
        self.report(Refused(Via.DNS, Reason.NOT_LISTED, protocol="dns", name=ascii(name.lower())[1:-1]))
        return reply

    async def resolve(self, name: str, entry: Entry) -> Answer:
        """Resolves a name, opens its addresses and returns the answer. Concurrent queries for a name share the answer.

        Raises UpstreamError and NftError.
        """
        task = self._asked.get(name)
        if task is None:
            task = self._asked[name] = asyncio.create_task(self._resolve(name, entry))
            task.add_done_callback(lambda _: self._asked.pop(name, None))
        return await asyncio.shield(task)

    def _report_special(self, name: str, answer: Answer) -> list[str]:
        """Returns the private and other special addresses of an answer, and reports that they are refused."""
        special = [address for address in answer.addresses if dns_message.is_special(address)]
        for address in special[: self.answer_addresses]:
            reason = Reason.BLOCKED if dns_message.is_unspecified(address) else Reason.PRIVATE
            self.report(Refused(Via.DNS, reason, protocol="dns", name=name, address=address))
        return special

    async def look_up(self, name: str, entry: Entry) -> tuple[tuple[str, ...], str]:
        """Resolves a name as a query would. Returns its addresses, or the reason in a few words why it has none.

        Remembers the names of entries that have none. Raises NftError.
        """
        try:
            answer = await self.resolve(name, entry)
            addresses, reason = answer.addresses, answer.lack
            if not addresses and not answer.special and answer.rcode == dns_message.NOERROR and await self._has_ipv6(name):
                reason = "only IPv6 addresses"
        except UpstreamError as error:
            addresses, reason = (), error.reason
        if entry.below:
            return addresses, reason
        if addresses:
            self.failing.pop(entry.name, None)
        elif self.allowlist.match(entry.name) == entry and not self.paused:  # otherwise it was removed or frozen meanwhile
            known = self.failing.get(entry.name)
            self.failing[entry.name] = Failing(known.since if known else time.time(), reason)
        return addresses, reason

    async def _has_ipv6(self, name: str) -> bool:
        """True if a name without IPv4 addresses has IPv6 addresses, for the reason why it cannot be opened."""
        try:
            return self.upstreams is not None and bool((await self.upstreams.ask(name, dns_message.AAAA)).addresses)
        except UpstreamError:
            return False

    async def _resolve(self, name: str, entry: Entry) -> Answer:
        if self.upstreams is None:
            raise UpstreamError(f"cannot resolve {name}: {NO_RESOLVER}", NO_RESOLVER)
        answer = await self.upstreams.ask(name)
        special = self._report_special(name, answer)
        good = tuple(address for address in answer.addresses if address not in special)[: self.answer_addresses]
        # While the upstream was asked, the allowlist may have changed, or the operator may have frozen the sandbox.
        if self.paused or self.allowlist.match(name) != entry:
            raise UpstreamError(f"cannot resolve {name}: the allowlist has changed", "the allowlist has changed")
        ttl = min(answer.ttl, CACHE_SECONDS)
        if good:
            self.openings.admit(name, entry, good, ttl)
        return Answer(answer.rcode, good, ttl, special=tuple(special))


class Datagrams(asyncio.DatagramProtocol):
    """UDP: one task per query; the kernel's buffer is the queue."""

    MAX_TASKS = 1000

    def __init__(self, server: Server) -> None:
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because asyncio's own transport is not a subclass of this class in every version.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        if len(self._tasks) >= self.MAX_TASKS:
            return
        task = asyncio.create_task(self._answer(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, data: bytes, addr: tuple[str | object, int]) -> None:
        reply = await self._server.reply(data)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)


async def serve_stream(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serves a TCP connection: one query after the other, each preceded by its length (RFC 7766)."""
    try:
        while True:
            async with asyncio.timeout(STREAM_SECONDS):
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                query = await reader.readexactly(length)
            reply = await server.reply(query)
            if reply is None:
                break
            writer.write(struct.pack("!H", len(reply)) + reply)
            await writer.drain()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        pass  # the client has gone
    finally:
        writer.close()


async def serve(server: Server, datagrams: socket.socket, listener: socket.socket) -> None:
    """Begins to answer on inherited sockets, which are already bound."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: Datagrams(server), sock=datagrams)
    slots = asyncio.Semaphore(MAX_CONNECTIONS)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with slots:
            await serve_stream(server, reader, writer)

    await asyncio.start_server(accept, sock=listener)
