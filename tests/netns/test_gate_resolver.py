"""The gate's own DNS queries: a connection never waits after a negative answer, and no lost query refuses one."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from backend.system import AGENT
from tests.netns.sandbox import INTERNET, LISTED, UNTIL_WE_END, Running, eventually, start
from tests.netns.test_gate import GITHUB, hello, is_server_hello, resolve, say

pytestmark = pytest.mark.netns

# Without an address for all other names, those that are not described do not exist.
WITHOUT_OTHERS = INTERNET.replace('others = "198.51.100.200"\n', "")
# HAProxy asks for an IPv6 address after each negative answer for IPv4, and the rules ask twice.
QUERIES = 4
NO_ADDRESS = {"NXDOMAIN": "gone.test", "no record": "private.test"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    listed = LISTED + "gone.test\ngone-too.test:80\n"
    running = start(tmp_path_factory.mktemp("resolver"), f"resolver-{os.getpid()}", internet=WITHOUT_OTHERS, listed=listed)
    resolve(running, "github.com", "plain.test")
    yield running
    running.stop()


def sent(sandbox: Running) -> int:
    """Returns the number of queries that the gate has sent."""
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(str(sandbox.paths.gate / "admin.sock"))
        admin.sendall(b"show resolvers names\n")
        answer = b"".join(iter(lambda: admin.recv(65536), b"")).decode()
    (number,) = re.findall(r"sent: +(\d+)", answer)
    return int(number)


@pytest.mark.parametrize("name", NO_ADDRESS.values(), ids=NO_ADDRESS)
def test_after_a_negative_answer_the_gate_asks_once_more(sandbox: Running, name: str) -> None:
    before = sent(sandbox)
    assert say(sandbox, GITHUB, 443, hello(name)) in ("reset", "closed")
    assert sent(sandbox) - before == QUERIES


def test_after_a_negative_answer_it_asks_once_more_for_plain_http_too(sandbox: Running) -> None:
    before = sent(sandbox)
    done = sandbox.agent("curl", "-sS", "--connect-to", "gone-too.test:80:plain.test:80", "http://gone-too.test/")
    assert "codetainer: gone-too.test: no address in DNS" in done.stdout
    assert sent(sandbox) - before == QUERIES


def test_a_name_that_was_asked_in_capitals_first_is_open(sandbox: Running) -> None:
    """CoreDNS answers the gate with the records of the agent's question, and HAProxy rejects a name in another case."""
    resolve(sandbox, "ALIAS.Test")
    assert is_server_hello(say(sandbox, "198.51.100.33", 443, hello("alias.test")))


def connecting(sandbox: Running) -> subprocess.Popen[str]:
    """The agent begins a connection to wild.test."""
    command = ["timeout", "30", "openssl", "s_client", "-connect", "198.51.100.32:443", "-servername", "wild.test"]
    return subprocess.Popen(
        [*UNTIL_WE_END, *sandbox.command(AGENT, *command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def accepted(sandbox: Running) -> int:
    """Returns the number of connections at the gate's frontend for TLS."""
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(str(sandbox.paths.gate / "admin.sock"))
        admin.sendall(b"show stat tls 1 -1\n")
        answer = b"".join(iter(lambda: admin.recv(65536), b"")).decode()
    (line,) = (line for line in answer.splitlines() if line.startswith("tls,FRONTEND,"))
    return int(line.split(",")[7])


def test_a_lost_query_is_repeated_for_all_that_wait_for_it(sandbox: Running) -> None:
    """The second connection joins the query of the first, so it waits for less time than a query has."""
    coredns = sandbox.pid("coredns")
    resolve(sandbox, "wild.test")
    before, connections = sent(sandbox), accepted(sandbox)
    os.kill(coredns, signal.SIGSTOP)
    try:
        clients = [connecting(sandbox)]
        eventually("the first query", lambda: sent(sandbox) - before == 1)
        clients.append(connecting(sandbox))
        eventually("two connections", lambda: accepted(sandbox) - connections == 2)
        assert sent(sandbox) - before == 1
        eventually("the query is repeated", lambda: sent(sandbox) - before >= 2)
    finally:
        os.kill(coredns, signal.SIGCONT)
    for client in clients:
        assert "BEGIN CERTIFICATE" in client.communicate(timeout=60)[0]


def test_a_query_that_is_lost_twice_is_repeated(sandbox: Running) -> None:
    resolve(sandbox, "wild.test")
    coredns, before = sandbox.pid("coredns"), sent(sandbox)
    os.kill(coredns, signal.SIGSTOP)
    try:
        client = connecting(sandbox)
        eventually("three queries", lambda: sent(sandbox) - before == 3)
    finally:
        os.kill(coredns, signal.SIGCONT)
    assert "BEGIN CERTIFICATE" in client.communicate(timeout=60)[0]
