"""Requests to the model: the cost of reading them, compared with a host whose requests the gate does not read.

Both hosts have a credential, so the gate ends the TLS of both, and both are served by the same program.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.contract.paths import AGENT_UID, READER_UID
from tests.bench.network import TOP
from tests.bench.rows import Row, measures
from tests.bench.sandbox import command, resident, running

READ, UNREAD = "read.example", "unread.example"
HEADER = "x-bench: codetainer-holds-BENCH_TOKEN"
LARGE, SMALL = 2 << 20, 34 << 10
ROUNDS = 4
INTERNET = "".join(
    f'\n[[name]]\nname = "{name}"\naddresses = ["198.51.100.7{i}"]\nttl = 300\n' for i, name in enumerate((READ, UNREAD))
)
CREDENTIALS = '[[credential]]\nvariable = "BENCH_TOKEN"\nheader = "x-bench"\n' + "".join(
    f'\n[[host]]\nname = "{name}"\ncredentials = ["BENCH_TOKEN"]\nwrites = ["POST /v1/messages"]\nmodel_api = {reads}\n'
    for name, reads in ((READ, "true"), (UNREAD, "false"))
)


@measures("messages_added", "messages_first_byte", "messages_throughput", "messages_gate_resident", "messages_reader_resident")
def messages() -> Iterator[Row]:
    """Measures requests of 2 MB, the first byte of the answer to a small one, and 500 requests of 2 MB, four at once."""
    large: dict[str, list[float]] = {READ: [], UNREAD: []}
    small: dict[str, list[float]] = {READ: [], UNREAD: []}
    seconds = dict.fromkeys(large, 0.0)
    with TemporaryDirectory(prefix="codetainer-bench-") as folder:
        file = Path(folder) / "credentials.toml"
        file.write_text(CREDENTIALS)
        domains = f"github.com\n{READ}\n{UNREAD}\n"
        with running(f"--credentials={file}", pretend=TOP + INTERNET, domains=domains, BENCH_TOKEN="bench-token") as sandbox:
            for _ in range(ROUNDS):  # alternate, because the machine's speed varies
                for host in large:
                    large[host] += sandbox.run("messages", host, LARGE, 10, 1, HEADER, uid=AGENT_UID, seconds=120)["ms"]
                    small[host] += sandbox.run("messages", host, SMALL, 50, 1, HEADER, uid=AGENT_UID)["ms"]
                    done = sandbox.run("messages", host, LARGE, 32, 4, HEADER, uid=AGENT_UID, seconds=300)
                    seconds[host] += done["seconds"]
            held = next(resident(process) for process in sandbox.processes() if "haproxy" in command(process)[:1])
            reader = next(resident(p) for p in sandbox.processes() if p.uids().real == READER_UID)
    for name, times, most in (("messages_added", large, 15.0), ("messages_first_byte", small, 2.0)):
        unread = statistics.median(times[UNREAD])
        yield Row(name, statistics.median(times[READ]) - unread, "ms", most=most, yardstick="unread, all", beside=unread)
    count = ROUNDS * 32 * 4
    yield Row(
        "messages_throughput", count / seconds[READ], "/s", least=count / seconds[UNREAD] / 2,
        yardstick="unread", beside=count / seconds[UNREAD],
    )  # fmt: skip
    yield Row("messages_gate_resident", held, "MB", most=45)
    yield Row("messages_reader_resident", reader, "MB", most=25)
