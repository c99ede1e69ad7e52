"""The gate: its latency, throughput and memory, compared with direct connections.

The firewall does not redirect processes with the gate's uid, so the direct connections are made as that uid.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from backend.contract.paths import AGENT_UID, GATE_UID
from tests.bench.network import TOP
from tests.bench.rows import Row, measures
from tests.bench.sandbox import Sandbox, command, resident, running

HOST = "steady.example"
READ = "read.example"  # its entry grants only reading, so the gate opens TLS
REQUESTS = 400
LARGE = 300 << 20
NAMED = f"""
[[name]]
name = "{HOST}"
addresses = ["198.51.100.77"]
ttl = 300

[[name]]
name = "{READ}"
addresses = ["198.51.100.78"]
ttl = 300
"""


@measures("gate_added", "gate_handshakes", "gate_throughput", "read_grant_throughput", "read_grant_added", "gate_resident")
def gate() -> Iterator[Row]:
    """Measures a TLS handshake with one request, then one large response."""
    with running(pretend=TOP + NAMED, domains=f"github.com\n{HOST}\n{READ} read\n") as sandbox:
        times: dict[int, list[float]] = {AGENT_UID: [], GATE_UID: []}
        seconds = dict.fromkeys(times, 0.0)
        for _ in range(4):  # alternate, because the machine's speed varies
            for uid in times:
                done = sandbox.run("https", HOST, "/", REQUESTS // 4, uid=uid)
                times[uid] += done["ms"]
                seconds[uid] += done["seconds"]
        opened: list[float] = []
        for _ in range(4):
            opened += sandbox.run("https", READ, "/", REQUESTS // 4)["ms"]
        rates = {}
        for name, host, uid in (("agent", HOST, AGENT_UID), ("read", READ, AGENT_UID), ("direct", HOST, GATE_UID)):
            fastest = min(_download(sandbox, host, uid) for _ in range(3))  # the machine has other work, too
            rates[name] = LARGE / 1e6 / fastest
        held = next(resident(process) for process in sandbox.processes() if "haproxy" in command(process)[:1])
    direct = statistics.median(times[GATE_UID])
    yield Row("gate_added", statistics.median(times[AGENT_UID]) - direct, "ms", most=1, yardstick="direct, all", beside=direct)
    yield Row("gate_handshakes", REQUESTS / seconds[AGENT_UID], "/s", yardstick="direct", beside=REQUESTS / seconds[GATE_UID])
    yield Row("read_grant_added", statistics.median(opened) - direct, "ms", yardstick="direct, all", beside=direct)
    for name, rate, part in (("gate_throughput", rates["agent"], 0.5), ("read_grant_throughput", rates["read"], 0.6)):
        yield Row(name, rate, "MB/s", least=rates["direct"] * part, yardstick="direct", beside=rates["direct"])
    yield Row("gate_resident", held, "MB", most=40)


def _download(sandbox: Sandbox, host: str, uid: int) -> float:
    """Returns the seconds of one large response."""
    large = sandbox.run("https", host, f"/bytes/{LARGE}", 1, uid=uid)
    assert large["bytes"] > LARGE, large["bytes"]
    return float(large["seconds"])
