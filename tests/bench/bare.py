"""The processor time of the gate for a host whose TLS it opens, compared with an HAProxy that has the same TLS and no rules.

The difference is what the gate's rules, filters and lookups cost; the rest is the price of opening TLS.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from backend.contract.paths import AGENT_UID
from network.gate.haproxy import Places
from tests.bench.install import timed
from tests.bench.network import TOP
from tests.bench.rows import Row, measures
from tests.bench.sandbox import Sandbox, command, cpu, running

HOST, ADDRESS = "github.com", "198.51.100.10"
BARE = "127.0.0.1:9443"
TO_BARE = ["--connect-to", f"{HOST}:443:{BARE}"]
BYTES, ROUNDS = 300 << 20, 5
MOST = 1.35  # times the time of the bare one
# As the gate (network/gate/gate.template): one thread, its buffers, and one socket between two frontends.
CONFIGURATION = """
global
    nbthread 1
    tune.bufsize 98304
defaults
    timeout connect 10s
    timeout client 1h
    timeout server 1h
frontend tls
    mode tcp
    bind {bare}
    default_backend terminate
backend terminate
    mode tcp
    server second unix@{folder}/second.sock send-proxy-v2
frontend second
    mode http
    option http-no-delay
    bind unix@{folder}/second.sock accept-proxy ssl crt {folder}/certificate.pem alpn http/1.1
    default_backend host
backend host
    mode http
    option http-no-delay
    server host {address}:443 ssl verify required ca-file {folder}/authorities.pem sni str({host}) alpn http/1.1
"""


@measures("opened_gate_cpu")
def opened_gate() -> Iterator[Row]:
    """Measures large downloads, in turn through the gate and through the bare HAProxy."""
    url = f"https://{HOST}/bytes/{BYTES}"
    fetch = ["curl", "-sSfk", "-o", "/dev/null", url]
    gate_used, bare_used = [], []
    with running(pretend=TOP, domains=f"{HOST}\n", GH_PAT="ghp_of_the_bench") as sandbox, _bare(sandbox) as (bare, client):
        gate = next(process for process in sandbox.processes() if "haproxy" in command(process)[:1])
        for _ in range(ROUNDS):
            before = cpu(gate)
            timed(sandbox, AGENT_UID, fetch)
            gate_used.append(cpu(gate) - before)
            before = cpu(bare)
            subprocess.run([*client, *fetch, *TO_BARE], check=True, timeout=120)
            bare_used.append(cpu(bare) - before)
    value, beside = (statistics.median(used) * (100 << 20) / BYTES for used in (gate_used, bare_used))
    yield Row("opened_gate_cpu", value, "s/100 MiB", most=beside * MOST, yardstick="bare HAProxy", beside=beside)


@contextlib.contextmanager
def _bare(sandbox: Sandbox) -> Iterator[tuple[psutil.Process, list[str]]]:
    """Runs the bare HAProxy in the network of the pretend internet; yields it and a prefix for a client's command there."""
    places = Places(sandbox.paths.gate)
    network = _pretend_internet(sandbox)
    with tempfile.TemporaryDirectory(prefix="codetainer-bench-") as name:
        folder = Path(name)
        shutil.copyfile(places.certificate(HOST), folder / "certificate.pem")
        shutil.copyfile(places.authorities, folder / "authorities.pem")
        (folder / "bare.cfg").write_text(CONFIGURATION.format(bare=BARE, folder=folder, address=ADDRESS, host=HOST))
        process = subprocess.Popen([*network, "haproxy", "-db", "-q", "-f", str(folder / "bare.cfg")])
        try:
            wait = ["curl", "-sSfk", "--retry", "20", "--retry-connrefused", "--retry-delay", "1", "-o", "/dev/null"]
            subprocess.run([*network, *wait, *TO_BARE, f"https://{HOST}/"], stderr=subprocess.DEVNULL, check=True, timeout=60)
            yield psutil.Process(process.pid), network
        finally:
            process.terminate()
            process.wait()


def _pretend_internet(sandbox: Sandbox) -> list[str]:
    """Returns a prefix that runs a command in the network of the pretend internet."""
    ours = {Path("/proc/self/ns/net").stat().st_ino, Path(f"/proc/{sandbox.init}/ns/net").stat().st_ino}
    for process in psutil.Process(sandbox.up).children(recursive=True):
        with contextlib.suppress(OSError):
            if (net := Path(f"/proc/{process.pid}/ns/net")).stat().st_ino not in ours:
                return ["nsenter", f"--net={net}", "--"]
    raise RuntimeError("there is no pretend internet")
