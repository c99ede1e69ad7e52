"""Grants by hand, with the real guard, CoreDNS and gate: each port has its own expiry, and replies report the real state."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.contract.events import Allowed, Froze, Muted, Withdrawn
from tests.netns.sandbox import INTERNET, Begin, Running, eventually
from tests.netns.test_cases import connect

pytestmark = pytest.mark.netns

# Names that are not described do not exist.
WORLD = INTERNET.replace('others = "198.51.100.200"\n', "").replace(
    "name = [",
    """name = [
  { name = "more.test", addresses = ["198.51.100.50"] },
  { name = "inner.test", addresses = ["10.1.2.3"] },
  { name = "a.wild.test", addresses = ["198.51.100.51"] },
""",
)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, begin: Begin) -> Iterator[Running]:
    running = begin(tmp_path_factory.mktemp("grants"), f"grants-{os.getpid()}", internet=WORLD)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def as_before(request: pytest.FixtureRequest) -> Iterator[None]:
    """Revokes all grants after the test."""
    yield
    box: Running = request.getfixturevalue("box")
    for name in {grant.name for grant in box.state.allowed.values()}:
        assert box.codetainer("revoke", name).returncode == 0


def allowed(box: Running, name: str) -> list[tuple[str, str, bool]]:
    entries = json.loads(box.codetainer("allowed", "--json").stdout)
    return [(one["ports"], one["source"], bool(one["until"])) for one in entries if one["name"] == name]


@pytest.mark.parametrize("time", ["0s", "0", "-1h", "400d", "9" * 40])
def test_an_invalid_time_opens_nothing(box: Running, time: str) -> None:
    before = len(box.events(Allowed))
    done = box.codetainer("allow", "more.test", f"--for={time}")
    assert (done.returncode, "as a duration" in done.stderr) == (2, True), done
    assert len(box.events(Allowed)) == before
    assert connect(box, "more.test") == "no such name"


def test_a_port_is_opened_in_addition_to_open_ones(box: Running) -> None:
    assert box.codetainer("allow", "more.test", "--for", "1h").returncode == 0
    done = box.codetainer("allow", "more.test", "--port", "8443", "--for", "2h")
    assert "more.test:8443 is open until " in done.stdout
    assert "also open: 443, 80 by more.test (by hand)" in done.stdout
    assert {port: connect(box, "more.test", port) for port in (443, 80, 8443, 9443)} == {
        443: "open", 80: "open", 8443: "open", 9443: "refused",
    }  # fmt: skip
    assert allowed(box, "more.test") == [("443,80", "by hand, by root", True), ("8443", "by hand, by root", True)]
    assert box.codetainer("revoke", "more.test", "--port", "443").returncode == 0
    assert {port: connect(box, "more.test", port) for port in (443, 80, 8443)} == {443: "refused", 80: "open", 8443: "open"}
    assert box.codetainer("revoke", "more.test").stdout == "more.test is closed again\n"
    assert connect(box, "198.51.100.50", 80) == "refused"


def test_each_port_has_its_own_expiry(box: Running) -> None:
    assert box.codetainer("allow", "more.test").returncode == 0
    before = len(box.events(Withdrawn))
    assert box.codetainer("allow", "more.test", "--port", "8443", "--for", "1s").returncode == 0
    eventually("its time is up", lambda: len(box.events(Withdrawn)) > before)
    last = box.events(Withdrawn)[-1]
    assert (last.ports, last.stays) == ("8443", "443, 80 by more.test (by hand)")
    assert (connect(box, "more.test"), connect(box, "more.test", 8443)) == ("open", "refused")
    assert allowed(box, "more.test") == [("443,80", "by hand, by root", False)]


def test_a_grant_below_a_wildcard_leaves_the_wildcards_ports_open(box: Running) -> None:
    assert box.codetainer("allow", "a.wild.test", "--port", "8443").returncode == 0
    assert {port: connect(box, "a.wild.test", port) for port in (443, 80, 8443)} == {443: "open", 80: "open", 8443: "open"}
    done = box.codetainer("revoke", "a.wild.test")
    assert "it stays open on 443, 80 by *.wild.test (domains.conf:" in done.stdout
    assert {port: connect(box, "a.wild.test", port) for port in (443, 8443)} == {443: "open", 8443: "refused"}


def test_a_revoke_of_a_listed_name_says_that_it_stays_open(box: Running) -> None:
    assert box.codetainer("allow", "github.com", "--for", "1h").returncode == 0
    done = box.codetainer("revoke", "github.com")
    assert "it stays open on 443, 80 by github.com (domains.conf:2)" in done.stdout
    assert connect(box, "github.com") == "open"
    again = box.codetainer("revoke", "github.com")
    assert (again.returncode, again.stdout) == (1, "")
    assert "it is open on 443, 80 by github.com (domains.conf:2)" in again.stderr


@pytest.mark.parametrize(
    ("name", "why"),
    [("nosuch.test", "does not exist (NXDOMAIN)"), ("inner.test", "private or metadata address (10.1.2.3)")],
)
def test_a_name_without_an_address_is_not_reported_as_open(box: Running, name: str, why: str) -> None:
    done = box.codetainer("allow", name, "--for", "1h")
    assert (done.returncode, done.stdout, f"cannot open {name}: {why}" in done.stderr) == (1, "", True)
    assert allowed(box, name) == []
    done = box.codetainer("allow", name, "--yes")
    assert done.stdout == f"{name} is allowed until it is revoked, but cannot be reached: {why}\n"
    assert allowed(box, name) == [("443,80", "by hand, by root", False)]
    assert f"cannot be reached: {why}" in box.codetainer("allowed").stdout
    explained = box.codetainer("explain", name)
    assert (explained.returncode, explained.stdout.startswith(f"{name} cannot be reached: no address in DNS, {why}")) == (
        1,
        True,
    )
    assert f"{name} ({why})" in box.codetainer("refresh").stdout
    assert box.codetainer("revoke", name).returncode == 0
    assert name not in box.codetainer("refresh").stdout  # it did not count as resolved, and is forgotten


EXPLAINED = [
    ("github.com", 0, "github.com is open on 443, 80 (domains.conf:2, as the rules for its credential permit)"),
    ("http://github.com/x", 0, "github.com:80 is open"),
    ("github.com:https", 2, "a port must be a number"),
    ("two words", 2, "cannot explain"),
    ("2001:db8::1", 1, "2001:db8::1 is refused on every port: IPv6 is not allowed"),
    ("[2001:db8::1]:443", 1, "[2001:db8::1]:443 is refused: IPv6 is not allowed"),
    ("nowhere.test:22", 1, "nowhere.test:22 is refused: not on the allowlist"),
]


@pytest.mark.parametrize(("target", "code", "words"), EXPLAINED)
def test_explain_answers_or_rejects_an_invalid_question(box: Running, target: str, code: int, words: str) -> None:
    done = box.codetainer("explain", target)
    assert (done.returncode, words in (done.stderr if code == 2 else done.stdout)) == (code, True), done


def test_an_impossible_name_is_not_muted(box: Running) -> None:
    done = box.codetainer("mute", "zzz")
    assert (done.returncode, "neither a host name nor an address" in done.stderr) == (1, True)
    assert not box.events(Muted)
    assert box.codetainer("mute", "noisy.test", "--for", "0s").returncode == 2
    assert box.codetainer("mute", "noisy.test", "--off").returncode == 1


def test_a_revoke_while_the_guard_is_being_started_again_closes(box: Running) -> None:
    assert box.codetainer("allow", "more.test", "--port", "8443").returncode == 0
    assert connect(box, "more.test", 8443) == "open"
    killed = box.kill("guard")
    assert box.codetainer("revoke", "more.test").stdout == "more.test is closed again\n"
    assert allowed(box, "more.test") == []
    assert (connect(box, "more.test", 8443), connect(box, "198.51.100.50", 8443)) == ("no such name", "refused")
    eventually("the guard is back", lambda: box.came_back("guard", killed))
    assert connect(box, "198.51.100.50", 8443) == "refused"
    assert connect(box, "github.com") == "open"


# Sends each request only after the supervisor has read the one before. Prints the result of each.
IN_TURN = """
import fcntl, json, socket, struct, sys, termios, time
asked = []
for request in json.loads(sys.argv[1]):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect("/run/codetainer/control.sock")
    sock.sendall(json.dumps(request).encode() + b"\\n")
    while struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]:
        time.sleep(0.001)
    asked.append(sock)
print(json.dumps([json.loads(sock.makefile().readline()) for sock in asked]))
"""


def test_a_queued_allow_opens_nothing_after_a_freeze(box: Running) -> None:
    """The guard does not answer: one allow is in progress, another waits for it, and the operator freezes the sandbox."""
    guard, before, frozen = box.pid("guard"), len(box.events(Allowed)), len(box.events(Froze))
    requests = [{"verb": "allow", "name": "more.test"}, {"verb": "allow", "name": "*.unlisted.test"}, {"verb": "freeze"}]
    os.kill(guard, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor() as pool:
            asked = pool.submit(box.python, IN_TURN, json.dumps(requests), root=True)
            eventually("it is frozen", lambda: len(box.events(Froze)) > frozen)
            os.kill(guard, signal.SIGCONT)
            first, second, froze = asked.result()
    finally:
        os.kill(guard, signal.SIGCONT)
        assert box.codetainer("freeze").returncode == 0
        assert box.codetainer("thaw").returncode == 0
    assert (first["ok"], second["ok"], "not closed yet" in froze["text"]) == (False, False, True), (first, second, froze)
    assert "the sandbox is frozen" in second["text"]
    assert len(box.events(Allowed)) == before
    assert connect(box, "a.unlisted.test") == "no such name"
