"""The process `python3 -I -m backend send-notification`: delivers one message to one service, with its own uid and no rights.

It resolves the service's host, reports the addresses, waits until the firewall is open for it, and tests the connection; that
explains most failures, and spares loading the library while a service is down. Then the library (Apprise) delivers. The exit
code is the result. From here on nothing is written: the library's log, its results and its exceptions contain tokens.

Only the plugin of the service is imported, so none of the others can run. Only the truth value of the library's result is
used: the service's answer is taken from the HTTP or SMTP status. No other module may import Apprise, which takes half a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import ipaddress
import logging
import os
import resource
import smtplib
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from typing import Any

from backend.guard import upstream
from backend.guard.upstream import UpstreamError, Upstreams
from backend.notify import protocol
from backend.notify.protocol import Order, Outcome
from network.destinations import Library, Tls, is_permitted
from network.dns import dns_message

CONNECT_SECONDS = 10.0
LIBRARY_CONNECT_SECONDS, LIBRARY_READ_SECONDS = 20, 30  # its own 4 s are too short for a busy service
CPU_SECONDS = 30
MEMORY_BYTES = 1 << 30
HERE = "localhost.localdomain"  # this host's name for mail servers; looking it up would take a DNS query
_PLUGINS = {
    Library.NTFY: ("ntfy", "NotifyNtfy"),
    Library.SLACK: ("slack", "NotifySlack"),
    Library.DISCORD: ("discord", "NotifyDiscord"),
    Library.MATRIX: ("matrix", "NotifyMatrix"),
    Library.MAIL: ("email", "NotifyEmail"),
    Library.JSON: ("custom_json", "NotifyJSON"),
    Library.XML: ("custom_xml", "NotifyXML"),
}


class Stopped(Exception):
    """The delivery has failed, with the reason."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.words)
        self.outcome = outcome


def main() -> int:
    """Returns the exit code."""
    limit()
    try:
        order = protocol.decode_order(sys.stdin.buffer.readline(protocol.MAX_LINE))
        addresses = asyncio.run(resolve(order))
        sys.stdout.buffer.write(protocol.encode_addresses(addresses))
        sys.stdout.buffer.flush()
        if sys.stdin.buffer.readline(protocol.MAX_LINE) != protocol.GO:
            return Outcome.FIREWALL
        silence()
        pin(order.host, addresses)
        try_connection(order)
        deliver(order)
    except Stopped as stopped:
        return stopped.outcome
    except Exception:  # its text may contain the address
        return Outcome.FAILED
    return Outcome.DELIVERED


def limit() -> None:
    """Limits this process: it writes no files, and a server's endless answer does not fill the memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def silence() -> None:
    """Discards all further output."""
    logging.disable(logging.CRITICAL)
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    os.close(null)


async def resolve(order: Order) -> tuple[str, ...]:
    """The addresses of the service, in the order of the answer. Raises Stopped."""
    with contextlib.suppress(ValueError):
        return (str(ipaddress.IPv4Address(order.host)),)
    resolvers = tuple(upstream.parse(text) for text in order.upstreams)
    try:
        answer = await Upstreams(resolvers, time.monotonic).ask(order.host)
    except UpstreamError:
        raise Stopped(Outcome.NO_RESOLVER) from None
    if answer.rcode == dns_message.NXDOMAIN:
        raise Stopped(Outcome.NO_SUCH_NAME)
    if not answer.addresses:
        raise Stopped(Outcome.NO_ADDRESS)
    permitted = tuple(address for address in answer.addresses if is_permitted(address))
    if not permitted:
        raise Stopped(Outcome.NOT_PERMITTED)
    return permitted[: protocol.MAX_ADDRESSES]


def pin(host: str, addresses: Sequence[str]) -> None:
    """Makes this process know no other host, whatever the library asks for."""

    def getaddrinfo(name: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        text = name.decode() if isinstance(name, bytes) else name
        if text not in (host, *addresses):
            raise socket.gaierror(socket.EAI_NONAME, "not the notification service")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, int(port))) for address in addresses]

    socket.getaddrinfo = getaddrinfo  # type: ignore[assignment]
    socket.getfqdn = lambda name="": HERE


def try_connection(order: Order) -> None:
    """Connects, and for TLS verifies the certificate. Raises Stopped with the reason if that fails."""
    tls = Tls(order.tls)
    try:
        if tls is Tls.STARTTLS:
            with smtplib.SMTP(order.host, order.port, timeout=CONNECT_SECONDS) as server:
                server.starttls(context=ssl.create_default_context())
            return
        with socket.create_connection((order.host, order.port), timeout=CONNECT_SECONDS) as connection:
            if tls is Tls.IMPLICIT:
                ssl.create_default_context().wrap_socket(connection, server_hostname=order.host).close()
    except (OSError, smtplib.SMTPException) as error:
        raise Stopped(reason(error)) from None


def reason(error: Exception) -> Outcome:
    """The outcome for an error of a connection."""
    match error:
        case ssl.SSLCertVerificationError():
            return Outcome.CERTIFICATE
        case ssl.SSLError() | smtplib.SMTPException():
            return Outcome.TLS
        case ConnectionRefusedError():
            return Outcome.REFUSED
        case TimeoutError():
            return Outcome.TIMED_OUT
        case ConnectionError():
            return Outcome.TLS  # cut during the handshake
        case _:
            return Outcome.UNREACHABLE


def deliver(order: Order) -> None:
    """Lets the library deliver the message. Raises Stopped."""
    library = Library(order.library)
    apprise, common = importlib.import_module("apprise"), importlib.import_module("apprise.common")
    module, name = _PLUGINS[library]
    plugin = getattr(importlib.import_module(f"apprise.plugins.{module}"), name)
    asset = apprise.AppriseAsset(
        app_id="Codetainer", app_desc="Codetainer", app_url="", async_mode=False, http_redirects=False,
        storage_mode=common.PersistentStoreMode.MEMORY,
    )  # fmt: skip
    priority = f"&priority={order.priority}" if library is Library.NTFY else ""
    url = f"{order.url}&cto={LIBRARY_CONNECT_SECONDS}&rto={LIBRARY_READ_SECONDS}{priority}"
    try:
        service = plugin(asset=asset, **plugin.parse_url(url))
    except (TypeError, apprise.exception.AppriseException):
        raise Stopped(Outcome.INVALID) from None
    sender = apprise.Apprise(asset=asset)
    if service.redirects or not service.verify_certificate or not sender.add(service):
        raise Stopped(Outcome.INVALID)
    seen = watch_answers()
    if not bool(
        sender.notify(title=order.title, body=order.body, notify_type=order.type, body_format=common.NotifyFormat.TEXT)
    ):
        raise Stopped(seen.outcome)


class Answers:
    """The last error that the service answered with."""

    outcome = Outcome.NOT_ACCEPTED

    def http(self, status: int) -> None:
        if status >= 300:
            self.outcome = of_http(status)

    def mail(self, code: int) -> None:
        if code >= 400 or code < 0:
            self.outcome = Outcome.LOGIN if code in (530, 534, 535, 538) else Outcome.MAIL_REFUSED


def of_http(status: int) -> Outcome:
    known = {401: Outcome.DENIED, 403: Outcome.DENIED, 404: Outcome.NOT_FOUND, 410: Outcome.NOT_FOUND, 429: Outcome.TOO_MANY}
    if status in known:
        return known[status]
    return Outcome.SERVER_ERROR if status >= 500 else Outcome.CLIENT_ERROR if status >= 400 else Outcome.REDIRECT


def watch_answers() -> Answers:
    """Records the status of every answer from here on: the library logs it, with the address, and returns only false."""
    adapters, answers = importlib.import_module("requests.adapters"), Answers()
    send, reply = adapters.HTTPAdapter.send, smtplib.SMTP.getreply

    def recorded_send(*arguments: Any, **options: Any) -> Any:
        try:
            response = send(*arguments, **options)
        except Exception as error:
            answers.outcome = Outcome.TIMED_OUT if "Timeout" in type(error).__name__ else Outcome.UNREACHABLE
            raise
        answers.http(response.status_code)
        return response

    def recorded_reply(self: smtplib.SMTP) -> tuple[int, bytes]:
        code, text = reply(self)
        answers.mail(code)
        return code, text

    adapters.HTTPAdapter.send = recorded_send
    smtplib.SMTP.getreply = recorded_reply  # type: ignore[method-assign]
    return answers
