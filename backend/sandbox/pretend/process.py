"""The process of the pretend internet, in its own network and mount namespaces, where all documentation addresses are local."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import threading
from pathlib import Path

from backend import system
from backend.sandbox import layout, namespaces
from backend.sandbox.first_process import FirstProcess
from backend.sandbox.namespaces import Mount, Namespace
from backend.sandbox.pretend import repositories, web
from backend.sandbox.pretend.certificates import Authority
from backend.sandbox.pretend.description import Description
from backend.sandbox.pretend.record import Record
from backend.sandbox.pretend.resolver import Resolver, serve
from backend.tmpfs import limits

RESOLVER_NAME = "dns.example"  # in its certificate, for DNS over TLS
# The sandbox's link: a network with two addresses at the end of a documentation range.
HERE, SANDBOX, PREFIX = "203.0.113.253", "203.0.113.254", 30
CODE = Path(__file__).parents[3]
LOCAL = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/25")


def new() -> FirstProcess:
    return FirstProcess("the pretend internet")


def start(first: FirstProcess, description: Description, record_fd: int, authority: Authority) -> None:
    """Starts the pretend internet and returns when it is ready. It logs requests to `record_fd`, unless -1. Raises OSError."""
    reading, writing = os.pipe()
    try:
        # In a pid namespace of its own, so that no git process started by a request outlives it.
        first.start(Namespace.NET | Namespace.MOUNT | Namespace.PID, lambda: _run(description, record_fd, authority, writing))
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        if pipe.read(1) != b"1":
            raise OSError("cannot make the pretend internet")


def connect(internet: int, sandbox: int) -> None:
    """Connects the two network namespaces with a veth pair. Raises SystemFailure."""
    _ip(
        f"link add sandbox type veth peer name eth0 netns {sandbox}",
        f"address add {HERE}/{PREFIX} dev sandbox",
        "link set sandbox up",
        within=internet,
    )
    _ip(
        "link set lo up",
        f"address add {SANDBOX}/{PREFIX} dev eth0",
        "link set eth0 up",
        f"route add default via {HERE}",
        within=sandbox,
    )


def _ip(*commands: str, within: int = 0) -> None:
    """Runs commands of ip(8), in the network namespace of the process `within` if it is not 0. Raises SystemFailure."""
    enter = ["nsenter", f"--net=/proc/{within}/ns/net", "--"] if within else []
    system.run([*enter, "ip", "-batch", "-"], input="".join(f"{command}\n" for command in commands))


def _run(description: Description, record_fd: int, authority: Authority, ready: int) -> None:
    namespaces.mount("none", Path("/"), flags=Mount.REC | Mount.PRIVATE)
    folder = layout.holder((Path(sys.prefix), CODE, *description.folders.values()))
    namespaces.mount("tmpfs", folder, "tmpfs", Mount.NOSUID | Mount.NODEV, f"{limits(1 << 30)},mode=0700")
    # AnyIP: all addresses of the ranges are local, so those that DNS makes up are served, too.
    _ip("link set lo up", *(f"route add local {network} dev lo" for network in LOCAL))
    record = Record(record_fd)
    bare = folder / "repositories"
    bare.mkdir()
    if description.git_repository:
        repositories.make_repository(bare, description.git_repository, {**repositories.DEMO, **description.git_files})
        repositories.make_repository(bare, repositories.MARKETPLACE, repositories.marketplace())
        repositories.make_parent(bare, description.git_repository)
    for name in description.names:
        if name.certificate:
            system.write(Path(name.certificate), authority.leaf(name.name).decode(), mode=0o600)
    site = web.Site(description, record, bare)
    for listener in description.listeners:
        server = web.listen(listener, site, authority, folder)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    asyncio.run(_serve(description, record, authority.context(RESOLVER_NAME, folder), ready))


async def _serve(description: Description, record: Record, tls: ssl.SSLContext, ready: int) -> None:
    await serve(Resolver(description, record), description.resolver, tls)
    os.write(ready, b"1")
    os.close(ready)
    await asyncio.Event().wait()
