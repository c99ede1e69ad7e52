"""CoreDNS with the allowlist: changes without lost queries, and long lists."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from backend.contract.events import Refused
from tests.netns.sandbox import CODETAINER, Running, eventually, start
from tests.netns.test_cases import AAAA, RESOLVER, TXT, A, connect, query

pytestmark = pytest.mark.netns

ASK = """
import json, socket, struct, sys
wire = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + b"\\x06github\\x03com\\0" + struct.pack("!2H", 1, 1)
sys.stdout.write("asking\\n"); sys.stdout.flush()
asked, lost = 0, 0
import threading
done = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), done.set()), daemon=True).start()
while not done.is_set() or asked < 200:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        sock.connect(("127.0.0.53", 53))
        try:
            sock.send(wire)
            answer = sock.recv(512)
            lost += answer[3] & 15 != 0
        except OSError:
            lost += 1
    asked += 1
print(json.dumps([asked, lost]))
"""


def test_no_query_is_lost_while_the_list_changes(sandbox: Running) -> None:
    command = [*CODETAINER, "enter", "--name", sandbox.name, "--", "/usr/bin/python3", "-I", "-c", ASK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdin is not None
        assert asking.stdout is not None
        assert asking.stdout.readline() == "asking\n"
        for number in range(5):
            assert sandbox.codetainer("allow", f"name{number}.test").returncode == 0
            assert sandbox.codetainer("revoke", f"name{number}.test").returncode == 0
        asking.stdin.write("\n")
        asking.stdin.flush()
        asked, lost = json.loads(asking.stdout.readline())
    assert asked >= 200
    assert lost == 0


def test_the_program_that_queried_an_unlisted_name_is_named(sandbox: Running) -> None:
    asked = itertools.count()

    def reported() -> set[str]:
        """On a busy machine the program may end before the guard has found it, so each attempt queries another name."""
        sandbox.agent("getent", "ahostsv4", f"who-{next(asked)}.unlisted.example")
        time.sleep(0.3)
        return {event.program for event in sandbox.events(Refused) if event.name.startswith("who-")} - {""}

    assert eventually("a program is named", reported) == {"getent"}


@pytest.mark.parametrize("names", [1000, 1500])
def test_a_long_list(tmp_path: Path, names: int) -> None:
    """Up to 1,000 names, CoreDNS has a block for each; above that the guard decides. The same names are open."""
    listed = "github.com\n" + "".join(f"name{number}.test\n" for number in range(names - 1))
    sandbox = start(tmp_path, f"long-{names}-{os.getpid()}", listed=listed)
    try:
        assert sandbox.state.boot == "ready", sandbox.state.reason
        assert connect(sandbox, "name998.test") == "open"
        assert query(sandbox, "127.0.0.53", "name998.test.evil.test")["rcode"] == 3
        assert query(sandbox, "127.0.0.53", "sub.name998.test")["rcode"] == 3
        assert sandbox.asked(kind="dns", name="sub.name998.test") == 0
        assert connect(sandbox, "192.0.2.50") == "refused"
    finally:
        sandbox.stop()


LOCAL = {
    "python": ["/usr/bin/python3", "-c", "import socket; print({a[4][0] for a in socket.getaddrinfo('app.localhost', 80)})"],
    "node": ["node", "-e", "require('dns').lookup('app.localhost', {all: true}, (e, a) => console.log(e ? e.code : a))"],
    "resolver of node": ["node", "-e", "require('dns').resolve4('app.localhost', (e, a) => console.log(e ? e.code : a))"],
}


@pytest.mark.parametrize("program", LOCAL)
def test_names_below_localhost_are_the_sandbox_itself(sandbox: Running, program: str) -> None:
    """RFC 6761, 6.3."""
    done = sandbox.agent(*LOCAL[program])
    assert "127.0.0.1" in done.stdout, done.stdout + done.stderr
    assert sandbox.asked(kind="dns", name="app.localhost") == 0


def test_queries_for_the_sandboxs_own_name_are_not_refused(sandbox: Running) -> None:
    host = sandbox.agent("hostname").stdout.strip().lower()
    for kind in (A, AAAA, TXT):
        assert query(sandbox, RESOLVER, host, kind)["rcode"] == 0
    assert query(sandbox, RESOLVER, "localhost", AAAA)["rcode"] == 0
    assert query(sandbox, RESOLVER, f"below.{host}")["rcode"] == 3
    eventually("it is reported", lambda: f"below.{host}" in {refused.name for refused in sandbox.events(Refused)})
    assert not {refused.name for refused in sandbox.events(Refused)} & {host, "localhost", "app.localhost"}
