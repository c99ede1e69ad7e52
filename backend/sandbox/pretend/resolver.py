"""The upstream resolver: answers for the names in the description, over UDP, TCP and TLS, and records all queries."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import ssl
import struct
from collections.abc import Iterator
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from backend.sandbox.pretend.description import Description, Name
from backend.sandbox.pretend.record import Record

MAX_UDP = 1232


class Resolver:
    def __init__(self, description: Description, record: Record) -> None:
        self._names = {name.name: name for name in description.names}
        self._record = record
        self._others = Name("*", (description.others,)) if description.others else None
        self._rotations: dict[str, Iterator[ipaddress.IPv4Address]] = {
            name.name: itertools.cycle(ipaddress.IPv4Network(name.rotate).hosts()) for name in description.names if name.rotate
        }

    async def answer(self, data: bytes, *, max_size: int = 65535) -> bytes:
        """The answer to a query, both in wire format. b"" if the query is malformed."""
        try:
            query = dns.message.from_wire(data)
            question = query.question[0]
        except (dns.exception.DNSException, IndexError):
            self._record.add("malformed", bytes=len(data))
            return b""
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self._record.add("dns", name=name.lower(), type=kind)
        reply = dns.message.make_response(query, recursion_available=True)
        entry = self._names.get(name.lower()) or self._others
        if entry is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif kind == "A":
            if entry.latency:
                await asyncio.sleep(entry.latency)
            self._fill(reply, question.name.to_text(), entry)
        wire = reply.to_wire(max_size=65535)
        if len(wire) > max_size:
            reply.answer.clear()
            reply.flags |= dns.flags.TC
            wire = reply.to_wire()
        return wire

    def _fill(self, reply: dns.message.Message, owner: str, entry: Name, depth: int = 0) -> None:
        if entry.cname:
            reply.answer.append(dns.rrset.from_text(owner, entry.ttl, "IN", "CNAME", entry.cname + "."))
            target = self._names.get(entry.cname.lower())
            if target is not None and depth < 8:
                self._fill(reply, entry.cname + ".", target, depth + 1)
            return
        addresses = [*entry.addresses, *([str(next(self._rotations[entry.name]))] if entry.rotate else [])]
        if addresses:
            reply.answer.append(dns.rrset.from_text(owner, entry.ttl, "IN", "A", *addresses))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because in some versions asyncio's own class is not a subclass of DatagramTransport.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        task = asyncio.create_task(self._answer(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, data: bytes, addr: tuple[str | object, int]) -> None:
        reply = await self._resolver.answer(data, max_size=MAX_UDP)
        if self._transport is not None and reply:
            self._transport.sendto(reply, addr)


async def serve(resolver: Resolver, address: str, tls: ssl.SSLContext) -> None:
    """Listens on port 53 (UDP and TCP) and on port 853 (TLS, RFC 7858). Raises OSError."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: _Datagrams(resolver), local_addr=(address, 53))

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                reply = await resolver.answer(await reader.readexactly(length))
                writer.write(struct.pack("!H", len(reply)) + reply)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has hung up
        finally:
            writer.close()

    await asyncio.start_server(stream, address, 53)
    await asyncio.start_server(stream, address, 853, ssl=tls)
