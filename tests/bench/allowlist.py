"""Long allowlists: the time to boot with one, and the time of a grant beside it."""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from backend.contract.control import Allow, decode_reply, encode_request
from backend.contract.events import LockReleased
from tests.bench.network import TOP
from tests.bench.rows import Row, measures
from tests.bench.sandbox import Sandbox, running

NAMES = 5_000
GRANTS = 20
LATENCY_MS = 20  # of the resolver


@measures("boot_5000_names", "grant_time", "grants_at_once")
def long() -> Iterator[Row]:
    """Boots with 5,000 names; then grants names one after the other, and as many at once."""
    listed = [f"name{number}.example" for number in range(NAMES - 1)]  # and the git host
    granted = [f"granted{number}.example" for number in range(2 * GRANTS)]
    described = "".join(
        f'[[name]]\nname = "{name}"\naddresses = ["198.51.100.{number % 250 + 1}"]\nttl = 0\nlatency_ms = {LATENCY_MS}\n'
        for number, name in enumerate((*listed, *granted))
    )
    with running(pretend=TOP + described, domains="\n".join(["github.com", *listed]) + "\n") as sandbox:
        booted = sandbox.first(LockReleased).at - sandbox.started_at
        took = [_grant(sandbox, name) for name in granted[:GRANTS]]
        began = time.monotonic()
        with ThreadPoolExecutor(GRANTS) as pool:
            list(pool.map(lambda name: _grant(sandbox, name), granted[GRANTS:]))
        at_once = time.monotonic() - began
    yield Row("boot_5000_names", booted, "s", most=10)
    yield Row("grant_time", statistics.median(took), "s", most=0.3)
    yield Row("grants_at_once", at_once, "s", most=0.3 * GRANTS)


def _grant(sandbox: Sandbox, name: str) -> float:
    """Allows a name; returns the seconds until it was open."""
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(120)
        sock.connect(str(sandbox.paths.control))
        sock.sendall(encode_request(Allow(name)).encode() + b"\n")
        reply = decode_reply(sock.makefile().readline())
    assert reply.ok, reply
    return time.monotonic() - began
