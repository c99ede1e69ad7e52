"""The gate's own DNS queries: a negative answer ends a connection at once, and only a lost query is repeated."""

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
from tests.netns.test_gate import GITHUB, hello, resolve, say

pytestmark = pytest.mark.netns

# Without an address for all other names, those that are not described do not exist.
WITHOUT_OTHERS = INTERNET.replace('others = "198.51.100.200"\n', "")
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
def test_a_negative_answer_is_final(sandbox: Running, name: str) -> None:
    """HAProxy asks for an IPv6 address after each negative answer for IPv4."""
    before = sent(sandbox)
    assert say(sandbox, GITHUB, 443, hello(name)) in ("reset", "closed")
    assert sent(sandbox) - before == 2


def test_a_negative_answer_is_final_for_plain_http_too(sandbox: Running) -> None:
    before = sent(sandbox)
    done = sandbox.agent("curl", "-sS", "--connect-to", "gone-too.test:80:plain.test:80", "http://gone-too.test/")
    assert "codetainer: gone-too.test: no address in DNS" in done.stdout
    assert sent(sandbox) - before == 2


def test_a_lost_query_is_repeated(sandbox: Running) -> None:
    coredns, before = sandbox.pid("coredns"), sent(sandbox)
    resolve(sandbox, "wild.test")
    os.kill(coredns, signal.SIGSTOP)
    try:
        command = ["timeout", "30", "openssl", "s_client", "-connect", "198.51.100.32:443", "-servername", "wild.test"]
        client = subprocess.Popen(
            [*UNTIL_WE_END, *sandbox.command(AGENT, *command)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        eventually("three queries", lambda: sent(sandbox) - before == 3)
    finally:
        os.kill(coredns, signal.SIGCONT)
    client.wait(timeout=60)
