"""Queries to the upstream resolvers: UDP with a new port, id and letter case each time; TCP on truncation or doubt; TLS."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from network.dns import dns_message
from network.dns.dns_message import Answer, MessageError, Question
from network.firewall.ruleset import Upstream

UDP_SECONDS = 1.5
TCP_SECONDS = 3.0
LONGEST_PAUSE = 30.0
NO_RESOLVER = "no upstream resolver is set"


class UpstreamError(Exception):
    """No upstream resolver gave a trustworthy answer: "cannot resolve NAME: reasons". `reason` is that in a few words."""

    def __init__(self, text: str, reason: str = "the resolver failed") -> None:
        super().__init__(text)
        self.reason = reason


def _silence(error: BaseException) -> str:
    """The words for an error without a text."""
    return "no answer" if isinstance(error, TimeoutError) else type(error).__name__


def parse(text: str) -> tuple[Upstream, str]:
    """Parses `203.0.113.53`, `203.0.113.53:5353` or `tls://203.0.113.53#dns.example` into resolver and certificate name.

    Raises OSError or ValueError.
    """
    rest, tls = (text[6:], True) if text.startswith("tls://") else (text, False)
    place, _, name = rest.partition("#")
    address, _, port = place.partition(":")
    socket.inet_pton(socket.AF_INET, address)
    return Upstream(address, int(port) if port else (853 if tls else 53), tls), name or address


@dataclass(slots=True)
class Health:
    """The failures of an upstream. After each one it is avoided for a while, twice as long each time."""

    failures: int = 0
    not_before: float = 0.0

    def failed(self, now: float) -> None:
        self.failures += 1
        self.not_before = now + min(LONGEST_PAUSE, 0.5 * 2 ** min(self.failures, 10))

    def answered(self) -> None:
        self.failures, self.not_before = 0, 0.0


@dataclass(slots=True)
class Upstreams:
    """The resolvers, in the operator's order. A query goes to the first healthy one, and to the others if it fails."""

    resolvers: tuple[tuple[Upstream, str], ...]
    clock: Callable[[], float]
    health: dict[Upstream, Health] = field(default_factory=dict)

    async def ask(self, name: str, kind: int = dns_message.A) -> Answer:
        """Returns the answer to a query for addresses (A or AAAA). Raises UpstreamError."""
        now = self.clock()
        ordered = sorted(self.resolvers, key=lambda r: self._health(r[0]).not_before > now)
        reasons: list[str] = []
        for upstream, certificate in ordered:
            try:
                answer = await self._ask_one(upstream, certificate, name, kind)
            except (OSError, MessageError, TimeoutError, asyncio.IncompleteReadError, ssl.SSLError) as error:
                self._health(upstream).failed(self.clock())
                reasons.append(f"{upstream.address}: {error or _silence(error)}")
                continue
            if answer.rcode in (dns_message.NOERROR, dns_message.NXDOMAIN):
                self._health(upstream).answered()
                return answer
            self._health(upstream).failed(self.clock())
            reasons.append(f"{upstream.address}: {dns_message.rcode_name(answer.rcode)}")
        if not reasons:
            raise UpstreamError(f"cannot resolve {name}: {NO_RESOLVER}", NO_RESOLVER)
        raise UpstreamError(f"cannot resolve {name}: {'; '.join(reasons)}", f"the resolver failed ({'; '.join(reasons)})")

    def _health(self, upstream: Upstream) -> Health:
        return self.health.setdefault(upstream, Health())

    async def _ask_one(self, upstream: Upstream, certificate: str, name: str, kind: int) -> Answer:
        if upstream.tls:
            return await _over_stream(upstream, name, kind, ssl.create_default_context(), certificate)
        with contextlib.suppress(TimeoutError):
            answer = await asyncio.wait_for(_over_udp(upstream, name, kind), UDP_SECONDS)
            if not answer.truncated:
                return answer
        # UDP brought no trustworthy answer: the resolver changes the case of names, or someone spoofs. TCP settles it.
        return await _over_stream(upstream, name, kind, None, None)


async def _over_udp(upstream: Upstream, name: str, kind: int) -> Answer:
    question = Question(secrets.randbits(16), dns_message.mixed_case(name, secrets.randbits(256)), kind)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.connect((upstream.address, upstream.port))
        await loop.sock_sendall(sock, dns_message.build_query(question))
        while True:
            data = await loop.sock_recv(sock, 65535)
            with contextlib.suppress(MessageError):  # spoofed or damaged; the real answer may still come
                return dns_message.parse_answer(data, question)


async def _over_stream(upstream: Upstream, name: str, kind: int, tls: ssl.SSLContext | None, certificate: str | None) -> Answer:
    question = Question(secrets.randbits(16), name, kind)
    async with asyncio.timeout(TCP_SECONDS):
        reader, writer = await asyncio.open_connection(
            upstream.address, upstream.port, ssl=tls, server_hostname=certificate if tls else None
        )
        try:
            query = dns_message.build_query(question)
            writer.write(struct.pack("!H", len(query)) + query)
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            return dns_message.parse_answer(await reader.readexactly(length), question)
        finally:
            writer.close()
