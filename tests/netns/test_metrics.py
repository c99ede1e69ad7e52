"""/metrics over the network: reachable from outside, served by a process without rights, bounded, and up if boot halts."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from backend.contract.events import BootFinished, BootState
from codetainer_tui.metrics.server import MAX_CONNECTIONS
from tests.netns.sandbox import Running, eventually, start

pytestmark = pytest.mark.netns

PORT = 9464
ADDRESS = "203.0.113.254"
ASK = """
import json, socket, sys
request, most = sys.argv[1].encode().decode("unicode_escape").encode(), float(sys.argv[2])
try:
    with socket.create_connection(("203.0.113.254", 9464), timeout=most) as sock:
        sock.sendall(request)
        answer = b""
        while data := sock.recv(65536):
            answer += data
    print(json.dumps(answer.decode()))
except OSError as error:
    print(json.dumps(type(error).__name__))
"""
GET = r"GET {} HTTP/1.1\r\nHost: sandbox\r\n\r\n"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(tmp_path_factory.mktemp("metrics"), f"metrics-{os.getpid()}", CODETAINER_METRICS=f"0.0.0.0:{PORT}")
    yield running
    running.stop()


def outside(sandbox: Running) -> list[str]:
    """Returns a command prefix that runs a program in the network namespace of the sandbox's pretend internet."""
    ours = {Path("/proc/self/ns/net").stat().st_ino, Path(f"/proc/{sandbox.init}/ns/net").stat().st_ino}
    for process in psutil.Process(sandbox.process.pid).children(recursive=True):
        with contextlib.suppress(OSError):
            if (net := Path(f"/proc/{process.pid}/ns/net")).stat().st_ino not in ours:
                return ["nsenter", f"--net={net}"]
    raise AssertionError("there is no pretend internet")


def ask(sandbox: Running, request: str = GET.format("/metrics"), most: float = 30) -> str:
    done = subprocess.run(
        [*outside(sandbox), "/usr/bin/python3", "-I", "-c", ASK, request, str(most)], capture_output=True, text=True, check=True
    )
    return str(json.loads(done.stdout))


def samples(answer: str) -> dict[str, float]:
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.0 200 "), head
    assert "application/openmetrics-text; version=1.0.0" in head
    return {
        sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
        for family in parse(body)  # type: ignore[no-untyped-call]
        for sample in family.samples
    }


def test_the_sandboxs_condition_can_be_read_from_outside(watched: Running) -> None:
    values = samples(ask(watched))
    condition = json.loads(watched.codetainer("status", "--json").stdout)["condition"]
    assert values[f'codetainer_condition{{"codetainer_condition": "{condition}"}}'] == 1
    assert values['codetainer_service_up{"service": "metrics"}'] == 1
    assert values['codetainer_proof_held{"probe": "unlisted name"}'] == 1
    watched.agent("curl", "-s", "-m", "30", "https://counted.test/")
    eventually(
        "it is counted",
        lambda: samples(ask(watched)).get(
            'codetainer_refused_names_total{"name": "counted.test", "reason": "not on the allowlist"}'
        ),
    )


@pytest.mark.parametrize(
    ("request_line", "code"),
    [(GET.format("/"), 404), (GET.format("/metrics/../../etc/passwd"), 404), (GET.format("/etc/passwd"), 404),
     (r"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 501)],
)  # fmt: skip
def test_there_is_one_path(watched: Running, request_line: str, code: int) -> None:
    assert f" {code} " in ask(watched, request_line).splitlines()[0]


def test_the_agent_cannot_reach_it(watched: Running) -> None:
    for address in ("127.0.0.1", ADDRESS):
        done = watched.agent("curl", "-sS", "-m", "30", f"http://{address}:{PORT}/metrics")
        assert done.returncode == 7, (done.stdout, done.stderr)


def test_its_process_can_read_the_journal_and_nothing_else(watched: Running) -> None:
    status = Path(f"/proc/{watched.pid('metrics')}/status").read_text()
    assert "Uid:\t956\t956\t956\t956" in status
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    environment = Path(f"/proc/{watched.pid('metrics')}/environ").read_bytes()
    assert {entry.partition(b"=")[0] for entry in environment.split(b"\0") if entry} == {b"PATH", b"LANG"}


HOLD = """
import socket, sys
held = [socket.create_connection(("203.0.113.254", 9464), timeout=30) for _ in range(int(sys.argv[1]))]
print("held", flush=True)
for sock in held:
    try:
        sock.sendall(b"GET /met")  # and never more
        while sock.recv(1000):
            pass
    except OSError:
        pass
print("over", flush=True)
"""


def test_silent_connections_are_closed(watched: Running) -> None:
    """There are more of them than the server accepts, and it still answers afterwards."""
    argv = [*outside(watched), "/usr/bin/python3", "-I", "-c", HOLD, str(3 * MAX_CONNECTIONS)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout is not None
        assert held.stdout.readline() == "held\n"
        assert samples(ask(watched))  # the server closes the oldest one
        assert held.stdout.readline() == "over\n"
    assert samples(ask(watched))
    status = Path(f"/proc/{watched.pid('metrics')}/status").read_text()
    assert int(status.split("Threads:\t")[1].split()[0]) <= 2 * MAX_CONNECTIONS + 2


def test_it_is_restarted_after_a_kill_and_its_port_is_never_free(watched: Running) -> None:
    killed = watched.kill("metrics")
    bind = f"import socket; socket.create_server(('0.0.0.0', {PORT}))"
    assert "Address already in use" in watched.agent("/usr/bin/python3", "-I", "-c", bind).stderr
    eventually("it is up again", lambda: watched.came_back("metrics", killed))
    assert samples(ask(watched))['codetainer_service_restarts_total{"service": "metrics"}'] >= 1


def test_it_reports_a_halted_boot(tmp_path: Path) -> None:
    halted = start(
        tmp_path, f"metrics-halts-{os.getpid()}", CODETAINER_METRICS=f"{ADDRESS}:{PORT}", CODETAINER_TMPFS_HOME="900000G"
    )
    try:
        assert halted.events(BootFinished)[-1].state is BootState.HALTED
        assert samples(ask(halted))['codetainer_condition{"codetainer_condition": "closed"}'] == 1
    finally:
        halted.stop()


def test_it_is_off_by_default(sandbox: Running) -> None:
    assert "metrics" not in sandbox.state.services
    assert "956" not in sandbox.root("nft", "list", "chain", "inet", "codetainer", "in").stdout
    assert ask(sandbox, most=2) == "TimeoutError"
    assert "codetainer_condition" in sandbox.agent("codetainer", "metrics").stdout  # the same inside, without the server
