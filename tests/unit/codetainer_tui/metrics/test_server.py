"""The server of /metrics: reading the journal, responses, and limits."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.contract import events as e
from backend.contract.paths import Paths
from backend.journal import Journal
from codetainer_tui.journal import MAX_BYTES
from codetainer_tui.metrics import server
from codetainer_tui.metrics.server import MAX_CONNECTIONS, Server, Source


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path)
    found.journal.parent.mkdir(parents=True)
    return found


def refused(name: str = "x.example") -> e.Refused:
    return e.Refused(e.Via.DNS, e.Reason.NOT_LISTED, 1, "dns", name)


def counted(text: bytes) -> float:
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(b"codetainer_refused_total{"))


@contextlib.contextmanager
def serving(paths: Paths) -> Iterator[int]:
    """Runs a server and yields its port."""
    with Server(socket.create_server(("127.0.0.1", 0)), Source(paths)) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield found.socket.getsockname()[1]
        finally:
            found.shutdown()
            thread.join()


def test_a_journal_longer_than_one_poll_is_counted_to_its_end(paths: Paths) -> None:
    journal = Journal(paths, segment_bytes=1 << 30)
    written = 0
    while paths.journal.stat().st_size <= 2 * MAX_BYTES if written else True:
        for _ in range(1000):
            journal.emit(refused("x" * 200))
        written += 1000
    assert counted(Source(paths).text()) == written


def test_responses_are_reused_for_a_second(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, source = Journal(paths), Source(paths)
    monkeypatch.setattr(server, "OFTEN", 3600.0)
    journal.emit(refused())
    assert counted(source.text()) == 1
    journal.emit(refused())
    assert counted(source.text()) == 1
    monkeypatch.setattr(server, "OFTEN", 0.0)
    assert counted(source.text()) == 2


def test_segments_are_read_before_they_are_deleted_even_without_requests(paths: Paths) -> None:
    """Snapshots do not have the number of self-tests."""
    journal, source = Journal(paths, segment_bytes=0), Source(paths)  # one event per segment
    with Server(socket.create_server(("127.0.0.1", 0)), source) as found:
        journal.emit(refused())
        found.service_actions()
        for _ in range(5):
            journal.emit(e.ProofFinished(1, results={"x": ""}))
            found.service_actions()
    assert b'codetainer_proofs_total{result="held"} 5.0' in source.text()


def test_a_response_and_its_headers(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    Journal(paths).emit(refused())
    with serving(paths) as port:
        asking = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        asking.request("GET", "/metrics?whoever=asks")
        answer = asking.getresponse()
        body = answer.read()
    assert (answer.status, counted(body)) == (200, 1)
    assert (answer.headers["Server"], answer.headers["Content-Length"]) == ("codetainer ", str(len(body)))
    assert capsys.readouterr() == ("", "")


def test_a_new_connection_closes_the_oldest_if_all_slots_are_taken(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle connections must not lock out clients with requests."""
    monkeypatch.setattr(server, "SECONDS", 3600.0)
    monkeypatch.setattr(server, "YIELD_SECONDS", 30.0)
    Journal(paths).emit(refused())
    with serving(paths) as port, contextlib.ExitStack() as held:
        silent = [held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in range(MAX_CONNECTIONS)]
        with socket.create_connection(("127.0.0.1", port), timeout=30) as late:
            late.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert late.recv(100).startswith(b"HTTP/1.0 200")
        assert silent[0].recv(1) == b""


def test_a_connection_is_closed_in_time_whatever_the_client_sends(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SECONDS", 0.1)
    with serving(paths) as port, socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        slow.sendall(b"GET /met")
        assert slow.recv(1) == b""


@pytest.mark.parametrize(
    ("error", "said"), [(ConnectionResetError("gone"), ""), (ValueError("a defect"), "ValueError: a defect\n")]
)
def test_defects_are_reported_but_broken_connections_are_not(
    paths: Paths, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    with Server(socket.create_server(("127.0.0.1", 0)), Source(paths)) as found:
        try:
            raise error
        except type(error):
            found.handle_error(None, None)
    assert capsys.readouterr().err == said


def test_without_a_journal_it_exits_with_2(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    assert server.once(paths) == 2
    assert "no sandbox has booted" in capsys.readouterr().err
    Journal(paths).emit(refused())
    assert server.once(paths) == 0
    assert counted(capsys.readouterr().out.encode()) == 1
