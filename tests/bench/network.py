"""The network: the cost of rotating addresses, the guard's latency and rate, and the effects of a flood of refusals."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Iterator

from backend.contract.control import Refresh, decode_reply, encode_request
from backend.contract.events import Refused, decode
from backend.contract.paths import COREDNS_UID, GUARD_UID
from backend.contract.state import fold_all
from network.firewall.ruleset import COREDNS_ADDRESS, GUARD_ADDRESS
from tests.bench.rows import Row, measures
from tests.bench.sandbox import Sandbox, cpu, resident, running

RESOLVER = "203.0.113.53"
CONNECTS = 10_000
NAMES = 1_000
LATENCY_MS = 50
ONE_BY_ONE = 40  # names that the yardstick resolves; the others would take as long each
QUERIES = 500
RATE_QUERIES = 20_000
FLOOD_RATE, FLOOD_SECONDS = 20_000, 30
FLOOD_ADDRESS, FLOOD_PORT = "198.51.100.200", 9

# No name has 192.0.2.1: the self-test uses that address.
TOP = (
    f'resolver = "{RESOLVER}"\n[git]\nhost = "github.com"\nrepository = "example/demo"\n'
    """
[[name]]
name = "github.com"
addresses = ["198.51.100.10"]
"""
)
ROTATING = """
[[name]]
name = "rotating.example"
rotate = "198.51.100.0/24"
ttl = 0
[[name]]
name = "refreshed.example"
rotate = "203.0.113.0/25"
ttl = 0
"""
STEADY = """
[[name]]
name = "steady.example"
addresses = ["198.51.100.77"]
ttl = 0
"""


@measures("rotation_refused")
def rotation() -> Iterator[Row]:
    """Connects to a name whose address changes with every answer; yardstick: addresses refreshed every 5 minutes."""
    with running(pretend=TOP + ROTATING, domains="github.com\nrotating.example\nrefreshed.example\n") as sandbox:
        guarded = sandbox.run("connect", "rotating.example", 80, CONNECTS, seconds=300)
        # Boot resolved this name once, like a refresh; the connections go to addresses that DNS would have returned since.
        refreshed = sandbox.run("connect", "203.0.113.0/25", 80, CONNECTS, seconds=300)
    assert guarded["addresses"] > 200, "the address did not change"
    value = float(guarded["refused"] + guarded["failed"])
    yield Row(
        "rotation_refused", value, "", most=0, yardstick="addresses refreshed every 5 min", beside=float(refreshed["refused"])
    )


@measures("coredns_start_1000", "refresh_1000")
def refresh() -> Iterator[Row]:
    """Measures CoreDNS's start with a long allowlist and a refresh of that list; yardstick: one name after the other."""
    names = [f"name{number}.example" for number in range(NAMES - 1)]  # and the git host
    described = "".join(
        f'[[name]]\nname = "{name}"\naddresses = ["198.51.100.{number % 250 + 1}"]\nttl = 0\nlatency_ms = {LATENCY_MS}\n'
        for number, name in enumerate(names)
    )
    with running(pretend=TOP + described, domains="\n".join(["github.com", *names]) + "\n") as sandbox:
        # The step writes the Corefile and waits until CoreDNS reports that it is ready.
        started = fold_all(map(decode, sandbox.paths.journal.read_text().splitlines())).steps["names"].seconds
        began = time.monotonic()
        reply = _request(sandbox)
        took = time.monotonic() - began
        assert reply["ok"], reply
        single = sandbox.run("ask", COREDNS_ADDRESS, ONE_BY_ONE, 1, *names[:ONE_BY_ONE])
    yield Row("coredns_start_1000", started, "s", most=1)
    beside = single["seconds"] * NAMES / ONE_BY_ONE
    yield Row("refresh_1000", took, "s", most=2, yardstick="one after the other", beside=beside)


def _request(sandbox: Sandbox) -> dict[str, object]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(90)
        sock.connect(str(sandbox.paths.control))
        sock.sendall(encode_request(Refresh()).encode() + b"\n")
        reply = decode_reply(sock.makefile().readline())
    return {"ok": reply.ok, "text": reply.text}


@measures("dns_miss_added", "dns_rate")
def names() -> Iterator[Row]:
    """Measures the guard's added latency for an uncached query, and how many queries it answers with one core."""
    with running(pretend=TOP + ROTATING + STEADY, domains="github.com\nrotating.example\nsteady.example\n") as sandbox:
        direct = sandbox.run("ask", RESOLVER, QUERIES, 1, "rotating.example", uid=GUARD_UID)
        guarded = sandbox.run("ask", GUARD_ADDRESS, QUERIES, 1, "rotating.example", uid=COREDNS_UID)
        assert guarded["codes"] == {"0": QUERIES}, guarded["codes"]
        guard = sandbox.service("guard")
        before = cpu(guard)
        many = sandbox.run("ask", GUARD_ADDRESS, RATE_QUERIES, 32, "steady.example", uid=COREDNS_UID)
        busy = cpu(guard) - before
    upstream = statistics.median(direct["ms"])
    added = statistics.median(guarded["ms"]) - upstream
    yield Row("dns_miss_added", added, "ms", most=1, yardstick="upstream alone", beside=upstream)
    answered = len(many["ms"])
    # Resolver, guard and client share the machine, so the rate is for each second of the guard's own CPU time.
    yield Row(
        "dns_rate", answered / busy, "/s", least=2000, yardstick="of all parts together", beside=answered / many["seconds"]
    )


@measures("refusals_rate", "refusals_lost", "refusals_guard", "refusals_journal", "refusals_dns_p99")
def refusals() -> Iterator[Row]:
    """Floods the firewall with refused packets: all must be counted, memory and journal stay small, and DNS stays fast."""
    with running(pretend=TOP + STEADY, domains="github.com\nsteady.example\n") as sandbox:
        flood: dict[str, float] = {}
        thread = threading.Thread(
            target=lambda: flood.update(sandbox.run("flood", FLOOD_ADDRESS, FLOOD_PORT, FLOOD_RATE, FLOOD_SECONDS))
        )
        thread.start()
        time.sleep(FLOOD_SECONDS / 3)  # query DNS in the middle of the flood
        asked = sandbox.run("ask", COREDNS_ADDRESS, QUERIES, 1, "steady.example")
        thread.join()
        counted = _settled(sandbox, flood["sent"])
        held = resident(sandbox.service("guard"))
        journal = sandbox.paths.journal.stat().st_size / (1 << 20)
    yield Row("refusals_rate", flood["rate"], "/s", least=FLOOD_RATE * 0.99)
    yield Row("refusals_lost", abs(flood["sent"] - counted), "", most=0)
    yield Row("refusals_guard", held, "MB", most=60)
    yield Row("refusals_journal", journal, "MB", most=9)
    yield Row("refusals_dns_p99", statistics.quantiles(asked["ms"], n=100)[98], "ms", most=5)


def _settled(sandbox: Sandbox, expected: float) -> int:
    """Returns the number of refusals in the journal once it reaches `expected`, or after 20 seconds."""
    deadline = time.monotonic() + 20
    while (total := _refused(sandbox)) < expected and time.monotonic() < deadline:
        time.sleep(0.2)
    return total


def _refused(sandbox: Sandbox) -> int:
    events = (stamped.event for stamped in sandbox.events())
    return sum(
        event.count
        for event in events
        if isinstance(event, Refused) and event.protocol == "udp" and event.address == FLOOD_ADDRESS
    )
