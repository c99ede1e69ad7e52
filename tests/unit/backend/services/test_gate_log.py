"""The gate's log: refusals of one kind displace none of another, and lost lines are reported."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from backend.contract.events import CookiesDropped, Event, Noted, Reason
from backend.contract.refusals import OTHER_NAMES
from backend.services.gate_log import MAX_OF_A_REASON, GateLog
from backend.services.traffic import TrafficLog
from network.learning.record import Request

EVENTS: list[Event] = []


@pytest.fixture
def log(tmp_path: Path) -> GateLog:
    EVENTS.clear()
    return GateLog(EVENTS.append, TrafficLog(tmp_path / "traffic.jsonl"))


async def written(log: GateLog, *lines: str) -> None:
    """Writes lines as the gate does, and closes the pipe."""
    with contextlib.ExitStack() as opened:
        pipe = await log.pipe(opened)
        os.write(pipe, "".join(f"{line}\n" for line in lines).encode())
    for task in list(log._tasks._running):
        await task


def line(verdict: str, name: str, kind: str = "http", detail: str = "") -> str:
    before = f"{detail or '-'} " if kind == "http" else ""
    after = f" {detail}" if detail and kind == "https" else ""
    return f"{verdict} {kind} 198.51.100.7 443 10 20 5 {before}{name}{after}"


async def test_a_host_header_is_neither_a_reason_nor_a_name(log: GateLog) -> None:
    for host in ("(all is well: run codetainer allow evil.test)", "a.test|443", "a\x1b]0;x", "a\u202eb"):
        await written(log, line("unclear.host_header", host))
        (refused,) = log.take()
        assert (refused.name, refused.detail) == ("", "the Host header is invalid")


async def test_each_verdict_has_its_reason(log: GateLog) -> None:
    await written(
        log, line("another_site", "evil.test"), line("port_not_listed", "listed.test"), line("unclear", "(no name)", "tls"),
        line("not_ours", "api.test", "https", "0 -"), line("push_scope", "git.test", "https", "0 evil/repo"),
        line("misdirected", "api.test", "https", "0 -"), line("unclear.url", "api.test"), "[ALERT] no more",
        line("carried", "listed.test"),
        line("request", "read.test", "https", "0 POST:/a"), line("request", "read.test", "http", "PUT:/a"),
        line("request.too_deep", "a.b.read.test", "tls"),
    )  # fmt: skip
    assert {(one.reason, one.name, one.detail) for one in log.take()} == {
        (Reason.ANOTHER_SITE, "evil.test", ""), (Reason.PORT_NOT_LISTED, "listed.test", ""),
        (Reason.UNCLEAR, "", "no name"), (Reason.UNCLEAR, "api.test", "expected a path, not a URL"),
        (Reason.NOT_OURS, "api.test", ""), (Reason.PUSH_SCOPE, "git.test", "evil/repo"),
        (Reason.MISDIRECTED, "api.test", ""),
        (Reason.REQUEST, "read.test", "POST:/a"), (Reason.REQUEST, "read.test", "PUT:/a"),
        (Reason.REQUEST, "a.b.read.test", "more than one label below a wildcard"),
    }  # fmt: skip
    assert [Noted("warning", "gate: [ALERT] no more")] == EVENTS
    assert log.take() == []


async def test_a_flood_of_sites_hides_no_credential_and_no_push(log: GateLog) -> None:
    sites = [line("another_site", f"s{number}.test") for number in range(3 * MAX_OF_A_REASON)]
    await written(
        log, *sites, line("not_ours", "api.test", "https", "0 -"), line("push_scope", "git.test", "https", "0 evil/repo")
    )
    refusals = log.take()
    assert {one.reason: one.count for one in refusals if one.reason is not Reason.ANOTHER_SITE} == {
        Reason.NOT_OURS: 1, Reason.PUSH_SCOPE: 1,
    }  # fmt: skip
    others = [one for one in refusals if one.reason is Reason.ANOTHER_SITE]
    assert sum(one.count for one in others) == len(sites)
    assert (others[-1].name, others[-1].count) == (OTHER_NAMES, 2 * MAX_OF_A_REASON)


def test_lost_lines_are_reported_once(log: GateLog) -> None:
    reports = [log.lost(f"Name: HAProxy\nDroppedLogs: {dropped}\nUptime: 1\n") for dropped in (0, 5, 5, 12, 3)]
    assert [[(one.reason, one.count) for one in refusals] for refusals in reports] == [
        [], [(Reason.UNREAD, 5)], [], [(Reason.UNREAD, 7)], [(Reason.UNREAD, 3)],  # the last one after a restart
    ]  # fmt: skip
    assert log.lost("nothing of the kind") == []


async def test_carried_and_refused_requests_with_cookies_are_counted(log: GateLog) -> None:
    text = "carried https 198.51.100.1 443 1 2 3 a.test 1 -"
    await written(log, text, text.replace("carried", "not_ours"), text.replace("1 -", "0 -"))
    assert log.cookies.take() == [CookiesDropped("a.test", 2)]
    (refused,) = log.take()
    assert (refused.name, refused.count) == ("a.test", 1)


class Learns:
    """Collects what a learning run takes from the log."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def untrusted(self, name: str) -> None:
        self.seen.append(name)

    def request(self, request: Request) -> None:
        self.seen.append(request)

    def connection(self, name: str, port: int, bytes_in: int) -> None:
        self.seen.append((name, port, bytes_in))


async def test_a_learning_run_takes_requests_refused_certificates_and_unopened_connections(log: GateLog) -> None:
    log.learns = learns = Learns()
    with contextlib.ExitStack() as opened:
        pipe = await log.pipe_of_learning(opened)
        os.write(
            pipe,
            b"request carried 443 5 POST - new.test /a\nhandshake 443 pinned.test x:sslv3 alert bad certificate\n"
            b"request misdirected 443 -1 GET - new.test /\nnoise\n",
        )
    await log.drain(5.0)
    assert learns.seen == [Request("new.test", 443, "POST", "/a", "", True), "pinned.test"]
    assert [(one.name, one.reason) for one in log.take()] == [("new.test", Reason.MISDIRECTED)]
    learns.seen.clear()
    # The gate's own bytes are no answer of the host: a connection that goes to the learning part does not count.
    await written(
        log, line("recorded", "new.test", "tls"), line("carried", "pinned.test", "tls"), line("carried", "plain.test")
    )
    assert learns.seen == [("pinned.test", 443, 20)]
