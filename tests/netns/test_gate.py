"""The gate from the agent's side: the name in the client hello or Host header decides, and attempts to bypass it fail.

Every attack from the design's review is a test here or in test_cases.py.

Length: one table of attacks.
"""

from __future__ import annotations

import json
import os
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.contract.events import BootStarted, Carried, Reason, Refused, Via
from tests.netns import worlds
from tests.netns.sandbox import LISTED, Begin, Running, eventually
from tests.netns.talk import go_on, talking

pytestmark = worlds.BOTH

LIST = LISTED + "*.below.test\ntyped.test:8443/tls\nspoken.test:8080/http\n"
GITHUB, API, SHARED = "198.51.100.10", "198.51.100.20", "198.51.100.32"

# Sends pieces to an address. Prints the result: the first bytes of the response, "reset", "closed" or "silence".
SAY = """
import json, socket, sys, time
address, port, pieces = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
try:
    with socket.create_connection((address, port), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            sock.sendall(bytes.fromhex(piece))
            time.sleep(0.002)
        answer = b""
        while len(answer) < 65536 and (data := sock.recv(65536)):
            answer += data
            if sys.argv[4] == "first":
                break
        print(json.dumps(answer.decode("latin-1") or "closed"))
except (ConnectionResetError, BrokenPipeError):
    print(json.dumps("reset"))
except TimeoutError:
    print(json.dumps("silence"))
except OSError as error:
    print(json.dumps("refused"))
"""


def hello(name: str | None) -> bytes:
    """Returns a ClientHello from OpenSSL, in one record."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return out.read()


def extensions(record: bytes, change: dict[int, bytes] | None = None, more: bytes = b"") -> bytes:
    """Returns the record with the bodies of extensions replaced, others added, and all lengths corrected."""
    body = record[9:]
    at = 34
    at += 1 + body[at]
    at += 2 + struct.unpack_from("!H", body, at)[0]
    at += 1 + body[at]
    head, rest = body[:at], body[at + 2 :]
    extensions = b""
    while rest:
        kind, length = struct.unpack_from("!HH", rest)
        text = (change or {}).get(kind, rest[4 : 4 + length])
        extensions += struct.pack("!HH", kind, len(text)) + text
        rest = rest[4 + length :]
    extensions += more
    inside = head + struct.pack("!H", len(extensions)) + extensions
    handshake = b"\1" + len(inside).to_bytes(3, "big") + inside
    return record[:3] + struct.pack("!H", len(handshake)) + handshake


def names(*hosts: bytes) -> bytes:
    """Returns the body of a server_name extension."""
    inside = b"".join(b"\0" + struct.pack("!H", len(host)) + host for host in hosts)
    return struct.pack("!H", len(inside)) + inside


def in_two_records(record: bytes) -> bytes:
    body = record[5:]
    return b"".join(record[:3] + struct.pack("!H", len(part)) + part for part in (body[:60], body[60:]))


BASE = hello("github.com")
EXTENSION = struct.pack("!HH", 0xFE0D, 8) + bytes(8)
TWICE = struct.pack("!HH", 0, len(names(b"evil.test"))) + names(b"evil.test")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, begin: Begin) -> Iterator[Running]:
    running = begin(tmp_path_factory.mktemp("gate"), f"gate-{os.getpid()}", listed=LIST)
    yield running
    if running.process.poll() is None:
        running.stop()


def resolve(sandbox: Running, *hosts: str) -> None:
    """Resolves these names, which opens their addresses."""
    for host in hosts:
        assert sandbox.agent("getent", "ahostsv4", host).returncode == 0, host


def say(sandbox: Running, address: str, port: int, *pieces: bytes, until: str = "first") -> str:
    parts = "[" + ",".join(f'"{piece.hex()}"' for piece in pieces) + "]"
    return str(sandbox.python(SAY, address, port, parts, until))


def is_server_hello(response: str) -> bool:
    return response[:2] == "\x16\x03"


@pytest.mark.parametrize(
    ("address", "port", "pieces"),
    [
        (GITHUB, 443, [BASE]),
        (GITHUB, 443, [hello("GitHub.COM")]),
        (GITHUB, 443, [BASE[:7], BASE[7:90], BASE[90:]]),
        (GITHUB, 443, [bytes([byte]) for byte in BASE]),
        (GITHUB, 443, [hello("deep.er.wild.test")]),
        (GITHUB, 443, [hello("x.below.test")]),
    ],
    ids=["exact", "case", "segments", "byte by byte", "wildcard", "below"],
)
def test_a_listed_name_is_carried(sandbox: Running, address: str, port: int, pieces: list[bytes]) -> None:
    resolve(sandbox, "github.com")
    assert is_server_hello(say(sandbox, address, port, *pieces))


@pytest.mark.parametrize(
    "record",
    [
        hello("unlisted.test"),
        hello(None),
        extensions(BASE, {0: names(b"github.com..")}),
        hello("evilgithub.com"),
        hello("github.com.evil.test"),
        hello("below.test"),
        extensions(BASE, {0: names(b"x..below.test")}),
        extensions(BASE, {0: names(b".below.test")}),
        extensions(BASE, {0: names(b"github.com\0.evil.test")}),
        extensions(BASE, {0: names(b"evil.test", b"github.com")}),
        extensions(BASE, {0: names(b"github.com", b"evil.test")}),
        extensions(BASE, more=TWICE),
        extensions(BASE, more=EXTENSION),
        extensions(BASE, {0: names(b"x" * 300 + b".below.test")}),
        in_two_records(BASE),
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37),
        b"GET / HTTP/1.1\r\nHost: github.com\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x16\x03\x01\xff\xff" + bytes(100),
    ],
    ids=[
        "unlisted", "no name", "two trailing dots", "longer before", "longer behind", "apex of a wildcard", "empty label",
        "leading dot", "NUL", "two names", "two names, listed first", "two extensions", "encrypted hello", "too long",
        "two records", "SSLv2", "plain HTTP", "SSH", "long record",
    ],
)  # fmt: skip
def test_a_connection_without_a_listed_name_is_closed_without_a_response(sandbox: Running, record: bytes) -> None:
    resolve(sandbox, "github.com")
    assert say(sandbox, GITHUB, 443, record) in ("reset", "closed")


def test_a_name_goes_to_its_own_address_whatever_was_dialled(sandbox: Running) -> None:
    resolve(sandbox, "github.com", "api.anthropic.com")
    done = sandbox.agent(
        "curl", "-sS", "--connect-to", f"api.anthropic.com:443:{GITHUB}:443", "https://api.anthropic.com/there"
    )
    assert done.returncode == 0, done.stderr
    assert sandbox.asked(kind="http", path="/there", host="api.anthropic.com", address=API) == 1
    assert sandbox.asked(kind="http", path="/there", address=GITHUB) == 0


def test_the_gate_itself_cannot_be_dialled(sandbox: Running) -> None:
    assert say(sandbox, "127.0.0.55", 443, BASE) == "refused"
    assert say(sandbox, "127.0.0.55", 80, b"GET / HTTP/1.1\r\nHost: github.com\r\n\r\n") == "refused"


def test_other_ports_are_checked_by_name_too(sandbox: Running) -> None:
    resolve(sandbox, "typed.test", "spoken.test")
    typed = sandbox.agent("getent", "ahostsv4", "typed.test").stdout.split()[0]
    assert is_server_hello(say(sandbox, typed, 8443, hello("typed.test")))
    assert say(sandbox, typed, 8443, hello("unlisted.test")) in ("reset", "closed")
    assert say(sandbox, typed, 8443, hello("github.com")) in ("reset", "closed")  # listed, not on this port


GET = b"GET /%s HTTP/1.1\r\nHost: %s\r\n%s\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (GET % (b"a", b"plain.test", b""), "200"),
        (GET % (b"a", b"Plain.Test:80", b""), "200"),
        (GET % (b"a", b"unlisted.test", b""), "403"),
        (GET % (b"a", b"plain.test.", b""), "200"),
        (GET % (b"a", b"plain.test.:80", b""), "200"),
        (GET % (b"a", b"plain.test..", b""), "403"),
        (GET % (b"a", b"unlisted.test.", b""), "403"),
        (GET % (b"a", b"plain.test.:443", b""), "421"),
        (GET % (b"a", b"github.com:443", b""), "421"),
        (GET % (b"a", b"evilplain.test", b""), "403"),
        (GET % (b"a", b"plain.test@unlisted.test", b""), "400"),
        (GET % (b"a", b"plain.test", b"Host: unlisted.test\r\n"), "400"),
        (b"GET / HTTP/1.1\r\n\r\n", "400"),
        (b"GET http://unlisted.test/ HTTP/1.1\r\nHost: plain.test\r\n\r\n", "400"),
        (b"CONNECT unlisted.test:443 HTTP/1.1\r\nHost: plain.test\r\n\r\n", "40"),
        (GET % (b"a", b"plain.test", b"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n"), "200"),
        (
            GET % (b"a", b"plain.test", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
            "200",
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"),
    ],
)
def test_plain_http_goes_by_its_host(sandbox: Running, request_bytes: bytes, status: str) -> None:
    resolve(sandbox, "plain.test")
    before = sandbox.asked(kind="http", path="/a")
    response = say(sandbox, "198.51.100.35", 80, request_bytes)
    assert response.startswith(f"HTTP/1.1 {status}"), response[:200]
    assert sandbox.asked(kind="http", path="/a") == before + (status == "200")


def test_every_request_of_a_connection_is_checked(sandbox: Running) -> None:
    resolve(sandbox, "plain.test")
    first, second = GET % (b"one", b"plain.test", b""), GET % (b"two", b"unlisted.test", b"Connection: close\r\n")
    response = say(sandbox, "198.51.100.35", 80, first + second, until="end")
    assert "answers /one" in response
    assert response.count("HTTP/1.1 200") == 1
    assert "HTTP/1.1 403" in response
    assert sandbox.asked(kind="http", path="/two") == 0


def test_one_message_has_one_length(sandbox: Running) -> None:
    """Whatever the framing, the server sees one request and never a second one hidden behind it."""
    resolve(sandbox, "plain.test")
    hidden = b"0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: plain.test\r\n\r\n"
    both = b"POST /both HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    twice = b"POST /twice HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 4\r\nContent-Length: 9\r\n\r\nabcdefghi"
    odd = b"POST /odd HTTP/1.1\r\nHost: plain.test\r\nTransfer-Encoding: xchunked\r\nContent-Length: 4\r\n\r\nabcd"
    say(sandbox, "198.51.100.35", 80, both + hidden, until="first")
    # HAProxy 3.2 closes the connection without an answer.
    assert say(sandbox, "198.51.100.35", 80, twice).startswith(("HTTP/1.1 400", "closed"))
    say(sandbox, "198.51.100.35", 80, odd)
    assert sandbox.asked(kind="http", path="/hidden") == 0
    assert sandbox.asked(kind="http", path="/twice") == 0


def test_refusals_are_reported_by_name_and_reason(sandbox: Running) -> None:
    resolve(sandbox, "github.com")
    say(sandbox, GITHUB, 443, hello("fronted.test"))
    say(sandbox, GITHUB, 443, hello(None))
    say(sandbox, GITHUB, 443, extensions(BASE, more=EXTENSION))

    def reported() -> set[tuple[str, str, str]]:
        return {(r.name, r.reason, r.detail) for r in sandbox.events(Refused) if r.via is Via.GATE}

    eventually("the name", lambda: ("fronted.test", Reason.ANOTHER_SITE, "") in reported())
    eventually("no name", lambda: ("", Reason.UNCLEAR, "no name") in reported())
    eventually("an encrypted one", lambda: ("", Reason.UNCLEAR, "encrypted name") in reported())


def test_traffic_is_counted_by_name(sandbox: Running) -> None:
    assert sandbox.agent("curl", "-sS", "https://api.github.com/counted").returncode == 0

    def counted() -> Carried | None:
        return next((c for c in reversed(sandbox.events(Carried)) if c.name == "api.github.com"), None)

    carried = eventually("traffic of the name", counted)
    assert carried.connections >= 1
    assert carried.bytes_in > 0
    assert carried.bytes_out > 0


HOLD = """
import json, resource, socket, sys, time
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = []
for _ in range(int(sys.argv[2])):
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex((sys.argv[1], 443))
    held.append(sock)
deadline = time.monotonic() + 40
while time.monotonic() < deadline:
    try:
        with socket.create_connection((sys.argv[1], 443), timeout=10) as sock:
            sock.sendall(bytes.fromhex(sys.argv[3]))
            if sock.recv(2) == b"\\x16\\x03":
                break
    except OSError:
        pass
else:
    held = []
print(json.dumps(len(held)))
"""


def test_every_connection_is_in_the_traffic_log_without_its_path(sandbox: Running) -> None:
    assert sandbox.agent("curl", "-sS", "https://github.com/a-path-of-ours?a=b").returncode == 0

    def logged() -> list[dict[str, Any]]:
        lines = sandbox.codetainer("logs", "--traffic", "--json").stdout.splitlines()
        return [entry for line in lines if (entry := json.loads(line))["name"] == "github.com" and entry["bytes_in"] > 0]

    assert eventually("it is logged", logged)[-1]["port"] == 443
    assert "github.com:443" in sandbox.codetainer("logs", "--traffic").stdout
    assert "a-path-of-ours" not in sandbox.paths.traffic.read_text() + sandbox.paths.journal.read_text()


def test_silent_connections_block_the_gate_only_briefly(sandbox: Running) -> None:
    """The agent holds more connections than the gate accepts at once."""
    resolve(sandbox, "github.com")
    assert sandbox.python(HOLD, GITHUB, 3000, BASE.hex()) == 3000
    assert is_server_hello(say(sandbox, GITHUB, 443, BASE))


def test_an_upload_alert_marks_the_name(tmp_path: Path, begin: Begin) -> None:
    sandbox = begin(tmp_path, f"much-{os.getpid()}", CODETAINER_MUCH_OUT="100K")
    try:
        script = "head -c 300000 /dev/zero | curl -sS --data-binary @- https://short.test/ && curl -sS https://wild.test/"
        assert sandbox.agent("sh", "-c", script).returncode == 0
        marks = eventually("both are counted", lambda: (m := {
            c.name: c.marked for c in sandbox.events(Carried)}).keys() >= {"short.test", "wild.test"} and m)  # fmt: skip
        assert marks["short.test"] == "large upload"
        assert marks["wild.test"] == ""
    finally:
        sandbox.stop()


def test_a_revoked_name_loses_its_connections_and_its_neighbour_on_the_same_address_does_not(sandbox: Running) -> None:
    """All names share one address, so only the names distinguish the connections."""
    pid = sandbox.state.services["gate"].pid
    for name in ("first.test", "second.test"):
        assert sandbox.codetainer("allow", name).returncode == 0
    first, second = talking(sandbox, "first.test"), talking(sandbox, "second.test")
    assert sandbox.codetainer("revoke", "first.test").returncode == 0
    assert go_on(first) in ("cut", "ended")
    assert go_on(second) == "answered"
    assert sandbox.codetainer("revoke", "second.test").returncode == 0
    assert sandbox.state.services["gate"].pid == pid


def test_a_gate_that_is_killed_lets_nothing_through_and_comes_back(sandbox: Running) -> None:
    killed = sandbox.kill("gate")
    eventually("the gate is back", lambda: sandbox.came_back("gate", killed))
    assert sandbox.agent("curl", "-sS", "https://github.com/").returncode == 0
    assert say(sandbox, GITHUB, 443, hello("unlisted.test")) in ("reset", "closed")


def test_the_agent_reaches_neither_the_admin_socket_nor_the_configuration(sandbox: Running) -> None:
    assert sandbox.agent("ls", "/run/codetainer/gate").returncode != 0
    assert sandbox.root("stat", "-c", "%U %a", "/run/codetainer/gate").stdout.split() == ["root", "700"]


def test_the_gate_has_no_capability_and_its_own_root(sandbox: Running) -> None:
    status = Path(f"/proc/{sandbox.pid('gate')}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["955"] * 4
    assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert sorted(path.name for path in Path(f"/proc/{sandbox.pid('gate')}/root").iterdir()) == [
        "asks.sock",
        "credential-proxy.sock",
        "onward.sock",
        "reader.sock",
    ]


def test_without_the_gate_addresses_decide_and_that_is_reported(tmp_path: Path, begin: Begin) -> None:
    sandbox = begin(tmp_path, f"gateless-{os.getpid()}", CODETAINER_GATE="off")
    try:
        assert not sandbox.events(BootStarted)[-1].gate
        assert "gate" not in sandbox.state.services
        assert sandbox.agent("curl", "-sS", "https://github.com/").returncode == 0
        assert "by address" in sandbox.codetainer("status").stdout
    finally:
        sandbox.stop()
