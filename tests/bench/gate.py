"""The gate: its latency, throughput and memory, compared with direct connections.

The firewall does not redirect processes with the gate's uid, so the direct connections are made as that uid.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from backend.contract.paths import AGENT_UID, GATE_UID
from tests.bench.network import TOP
from tests.bench.rows import Row, measures
from tests.bench.sandbox import command, resident, running

HOST = "steady.example"
REQUESTS = 400
LARGE = 300 << 20
NAMED = f"""
[[name]]
name = "{HOST}"
addresses = ["198.51.100.77"]
ttl = 300
"""


@measures("gate_added", "gate_handshakes", "gate_throughput", "gate_resident")
def gate() -> Iterator[Row]:
    """Measures a TLS handshake with one request, then one large response."""
    with running(pretend=TOP + NAMED, domains=f"github.com\n{HOST}\n") as sandbox:
        times: dict[int, list[float]] = {AGENT_UID: [], GATE_UID: []}
        seconds = dict.fromkeys(times, 0.0)
        for _ in range(4):  # alternate, because the machine's speed varies
            for uid in times:
                done = sandbox.run("https", HOST, "/", REQUESTS // 4, uid=uid)
                times[uid] += done["ms"]
                seconds[uid] += done["seconds"]
        rates = {}
        for uid in times:
            large = sandbox.run("https", HOST, f"/bytes/{LARGE}", 1, uid=uid)
            assert large["bytes"] > LARGE, large["bytes"]
            rates[uid] = LARGE / 1e6 / large["seconds"]
        held = next(resident(process) for process in sandbox.processes() if "haproxy" in command(process)[:1])
    direct = statistics.median(times[GATE_UID])
    yield Row("gate_added", statistics.median(times[AGENT_UID]) - direct, "ms", most=1, yardstick="direct, all", beside=direct)
    yield Row("gate_handshakes", REQUESTS / seconds[AGENT_UID], "/s", yardstick="direct", beside=REQUESTS / seconds[GATE_UID])
    yield Row(
        "gate_throughput", rates[AGENT_UID], "MB/s", least=rates[GATE_UID] / 2, yardstick="direct", beside=rates[GATE_UID]
    )
    yield Row("gate_resident", held, "MB", most=40)
