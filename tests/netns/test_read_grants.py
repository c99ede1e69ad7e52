"""Entries that grant only some requests: the agent tries everything else, and the pretend internet's log is the judge.

Length: tables of requests that pass, and of attacks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from backend.contract.events import Allowed, Reason, Refused, Via
from backend.contract.paths import Paths
from backend.sandbox.pretend.certificates import EXPIRED, OTHER_NAME, SELF_SIGNED
from backend.settings import credentials_file
from tests.netns import worlds
from tests.netns.sandbox import INTERNET, LISTED, Begin, Running, eventually

pytestmark = worlds.BOTH

READ, TRACK, PLAIN, OTHER = "short.test", "alias.test", "plain.test", "wild.test"
LIST = (
    LISTED.replace("short.test:443,8443\n", "short.test:443,80,8443/tls read\n")
    .replace("alias.test\n", "alias.test GET:/v1/items/* POST:/v1/track/**\n")
    .replace("plain.test:80\n", "plain.test:80 read\n")
    .replace("*.wild.test\n", "*.wild.test read\nopen.wild.test open\ntrack.wild.test POST:/v1/track/**\n")
)

# Sends raw requests over connections of their own; prints for each the status line, or the error.
RAW = """
import json, socket, ssl, sys
context, results = ssl.create_default_context(), []
context.set_alpn_protocols(["http/1.1"])
for one in json.load(open(sys.argv[1])):
    try:
        with socket.create_connection((one["host"], one["port"]), timeout=10) as plain:
            plain.settimeout(10)
            sock = plain if one["port"] == 80 else context.wrap_socket(plain, server_hostname=one["host"])
            sock.sendall(one["text"].encode("latin-1"))
            answer = sock.recv(65536).decode("latin-1")
            results.append(answer or "closed")
    except OSError as error:
        results.append(f"{type(error).__name__}: {error}")
print(json.dumps(results))
"""

# One HTTP/2 request with a body that no header announces (RFC 9113). Prints the status, or "" for a reset.
H2 = r"""
import json, socket, ssl, struct, sys
host, method, path, body, extra = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4].encode(), json.loads(sys.argv[5])
def frame(kind, flags, stream, payload):
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload
def literal(name, value):  # RFC 7541, 6.2.2
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
context = ssl.create_default_context()
context.set_alpn_protocols(["h2"])
with socket.create_connection((host, 443), timeout=10) as plain, context.wrap_socket(plain, server_hostname=host) as sock:
    headers = [(":method", method), (":scheme", "https"), (":path", path), (":authority", host), *extra]
    block = b"".join(literal(name, value) for name, value in headers)
    text = frame(1, 4 if body else 5, 1, block) + (frame(0, 1, 1, body) if body else b"")
    sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + text)
    data = b""
    def read(size):
        global data
        while len(data) < size:
            more = sock.recv(65536)
            if not more:
                return None
            data += more
        part, data = data[:size], data[size:]
        return part
    result = ""
    while (head := read(9)) is not None:
        payload = read(int.from_bytes(head[:3], "big"))
        if head[3] == 1:  # HEADERS: the status is an indexed field or a literal with an indexed name (RFC 7541, appendix A)
            indexed = {0x88: "200", 0x89: "204", 0x8a: "206", 0x8b: "304", 0x8c: "400", 0x8d: "404", 0x8e: "500"}
            result = indexed.get(payload[0]) or payload[2:5].decode("latin-1")
            break
        if head[3] in (3, 7):
            break
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, begin: Begin) -> Iterator[Running]:
    running = begin(tmp_path_factory.mktemp("read"), f"read-{os.getpid()}", listed=LIST, internet=INTERNET)
    yield running
    if running.process.poll() is None:
        running.stop()


def request(line: str, host: str = READ, *headers: str, body: str = "", port: int = 443) -> dict[str, Any]:
    text = "\r\n".join((f"{line} HTTP/1.1", f"Host: {host}", *headers, "", body))
    return {"host": host, "port": port, "text": text}


def arrived(sandbox: Running, requests: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    """Sends each request with a mark in its target. Returns the status line, and whether the mark reached the internet."""
    marks = []
    for one in requests:
        marks.append(os.urandom(8).hex())
        line, _, rest = one["text"].partition("\r\n")
        method, target, version = line.split(" ", 2)
        target += f"{'&' if '?' in target else '?'}mark={marks[-1]}"
        one["text"] = f"{method} {target} {version}\r\n{rest}"
    (sandbox.paths.root / "tmp/requests").write_text(json.dumps(requests))
    results = sandbox.python(RAW, "/tmp/requests")
    seen = sandbox.seen.read_text()
    return [(result.partition("\r\n")[0], mark in seen) for result, mark in zip(results, marks, strict=True)]


def sent(line: str, host: str = READ, *headers: str, port: int = 443) -> dict[str, Any]:
    """A request with a body."""
    return request(line, host, "Content-Length: 5", *headers, body="hello", port=port)


PASSES = [
    request("GET /a/b"),
    request("HEAD /a"),
    request("OPTIONS /a"),
    request("GET /a", READ, "Content-Length: 0"),
    request("GET /a", READ, "Authorization: Bearer of-a-private-registry"),
    request("GET /@scope%2fname"),
    request("GET /debian/./Packages"),
    request("GET /pool/g%2b%2b_4%3a12_amd64.deb"),
    request("GET /a", READ, "Upgrade: h2c", "Connection: Upgrade"),
    request("GET /a", f"{READ}:443"),
    request("GET /a", PLAIN, port=80),
    request("GET /a", READ, port=80),
    request("GET /v1/items/7", TRACK),
    request("GET /v1/items/7/", TRACK),
    request("HEAD /v1/items/7", TRACK),
    sent("POST /v1/track/a/b", TRACK),
    sent("POST /v1/tr%61ck/a", TRACK),
    sent("POST /v1/track/a", TRACK, port=80),
    request("GET /a", "x.wild.test"),
    sent("POST /a", "open.wild.test"),
    sent("POST /v1/track/a", "track.wild.test"),
    sent("POST /a", OTHER),
]
for one in PASSES:
    one["host"] = one["host"].partition(":")[0]
REFUSED = [
    # methods
    *(sent(f"{method} /a") for method in ("POST", "PUT", "PATCH", "DELETE", "PROPFIND", "MKCOL")),
    request("POST /a", READ, "Content-Length: 0"),
    request("post /a"), request("get /a"), request("GETX /a"), request("TRACE /a"), request("CONNECT short.test:443"),
    request("POST /a", READ, "Transfer-Encoding: chunked", body="5\r\nhello\r\n0\r\n\r\n"),
    # bodies
    sent("GET /a", READ), sent("HEAD /a", READ),
    sent("OPTIONS /a", READ),
    request("GET /a", READ, "Transfer-Encoding: chunked", body="5\r\nhello\r\n0\r\n\r\n"),
    request("GET /a", READ, "Transfer-Encoding: chunked", body="0\r\n\r\n"),
    sent("GET /a", READ, "Expect: 100-continue"),
    request("GET /a", READ, "Content-Length: 5", "Transfer-Encoding: chunked", body="5\r\nhello\r\n0\r\n\r\n"),
    # another method in a header or the query
    *(request("GET /a", READ, f"{name}: PUT") for name in (
        "X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method", "x_http_method_override", "X-Http_Method", "x-method",
    )),
    *(request(f"GET /a?{query}") for query in (
        "_method=PUT", "x=1&_method=put", "x=1;_method=put", "%5fmethod=PUT", "_%6Dethod",
    )),
    # other protocols
    request("GET /a", READ, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
    request("GET /a", READ, "Upgrade: h2c, websocket", "Connection: Upgrade"),
    # two spellings
    *(request(f"GET {path}") for path in (
        "//a", "/a//b", "/a/../b", "/a/%2e%2e/b", "/a/.%2E", "/a;b=c", "/a%3bb", "/a\\b", "/a%5cb", "/a%252fb", "/a%00b",
        "/a%0ab", "/a%zz%25%32%66",
    )),
    # whole URLs, and other hosts
    request("GET https://short.test/a"), request("GET http://github.com/a"), request("OPTIONS *"),
    {**request("GET /a", "rotating.test"), "host": READ}, {**request("GET /a", "open.wild.test"), "host": "x.wild.test"},
    {**request("GET /a", f"{READ}:8443"), "host": READ},
    # paths
    request("GET /v1/items", TRACK), request("GET /v1/items/7/8", TRACK), request("GET /v1/ITEMS/7", TRACK),
    sent("POST /v1/items/7", TRACK), sent("PUT /v1/track/a", TRACK),
    sent("POST /v1/track", TRACK), sent("POST /v1/tracking/a", TRACK),
    sent("POST /v1/track/../admin", TRACK), sent("POST /v1/track%2fa", TRACK),
    sent("POST /v1/track/a%2f..%2fadmin", TRACK), sent("POST /v1/track/./a", TRACK),
    sent("POST /v1//track/a", TRACK), sent("POST /x/v1/track/a", TRACK),
    sent("POST /v1/track/a", TRACK, "X-HTTP-Method-Override: DELETE"),
    sent("GET /v1/items/7", TRACK),
    # plain HTTP
    *(sent("POST /a", host, port=80) for host in (PLAIN, READ)),
    sent("POST /v1/items/7", TRACK, port=80),
    sent("GET /a", PLAIN, port=80), request("GET /a", PLAIN, "X-HTTP-Method: PUT", port=80),
    request("GET /a/../b", PLAIN, port=80), request("GET http://plain.test/a", PLAIN, port=80),
    request("GET /a", PLAIN, "Upgrade: websocket", "Connection: Upgrade", port=80),
    # wildcards: the most specific entry decides, and a certificate covers one label
    sent("POST /a", "x.wild.test"), sent("POST /a", "track.wild.test"),
    request("GET /a", "track.wild.test"), request("GET /a", "deep.x.wild.test"),
]  # fmt: skip


def test_granted_requests_arrive(sandbox: Running) -> None:
    results = arrived(sandbox, PASSES)
    assert [
        (one["text"].split("\r\n")[0], result) for one, (result, there) in zip(PASSES, results, strict=True) if not there
    ] == []


def test_no_other_request_arrives(sandbox: Running) -> None:
    results = arrived(sandbox, REFUSED)
    passed = [one["text"] for one, (_, there) in zip(REFUSED, results, strict=True) if there]
    assert passed == []
    late = [
        (one["text"].split("\r\n")[0], result)
        for one, (result, _) in zip(REFUSED, results, strict=True)
        if not result.startswith(("HTTP/1.1 4", "HTTP/1.1 100")) and "deep" not in one["host"]
    ]
    assert late == []


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "passes"),
    [
        ("GET", "/a", "", [], True),
        ("GET", "/a", "hello", [], False),
        ("GET", "/a", "hello", [("content-length", "5")], False),
        ("POST", "/a", "hello", [], False),
        ("GET", "/a", "", [("x-http-method-override", "PUT")], False),
        ("GET", "/a", "", [("x_http_method", "PUT")], False),
        ("GET", "/a?_method=PUT", "", [], False),
        ("GET", "/a/../b", "", [], False),
        ("CONNECT", "/a", "", [], False),
        ("GET", "https://github.com/a", "", [], False),
    ],
)
def test_http_2_follows_the_same_rules(
    sandbox: Running, method: str, path: str, body: str, headers: list[tuple[str, str]], passes: bool
) -> None:
    mark = os.urandom(8).hex()
    status = sandbox.python(H2, READ, method, f"{path}{'&' if '?' in path else '?'}mark={mark}", body, json.dumps(headers))
    assert (mark in sandbox.seen.read_text()) is passes, status
    assert (status == "200") is passes, status


def test_another_port_is_opened_at_the_gate_too(sandbox: Running) -> None:
    ask = ("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}")
    assert sandbox.agent(*ask, f"https://{READ}:8443/a").stdout == "200"
    assert sandbox.agent(*ask, "-d", "hello", f"https://{READ}:8443/a").stdout == "403"


def test_a_refusal_names_the_request_and_is_reported(sandbox: Running) -> None:
    done = sandbox.agent("curl", "-sS", "-d", "hello", f"https://{READ}/pkg/9")
    assert f"{Reason.REQUEST}: POST:/pkg/*. {Reason.REQUEST.advice()}" in done.stdout, done.stdout

    def reported() -> list[Refused]:
        return [e for e in sandbox.events(Refused) if (e.name, e.detail) == (READ, "POST:/pkg/*")]

    (event, *_) = eventually("it is reported", reported)
    assert (event.via, event.reason) == (Via.GATE, Reason.REQUEST)


@pytest.mark.parametrize("label", [EXPIRED, SELF_SIGNED, OTHER_NAME])
def test_nothing_is_sent_to_a_host_without_a_valid_certificate(sandbox: Running, label: str) -> None:
    """The agent sees the gate's certificate, so the gate has to say why it does not connect."""
    host = f"{label}.{OTHER}"
    done = sandbox.agent("curl", "-sS", "-w", "\n%{http_code}", f"https://{host}/x")
    assert done.returncode == 0, done.stderr
    text, _, status = done.stdout.rpartition("\n")
    assert status == "503"
    assert "codetainer: no trusted connection to this host, so nothing was sent" in text
    assert sandbox.asked(kind="http", host=host) == 0
    assert sandbox.agent("curl", "-sSf", f"https://valid.{OTHER}/x").returncode == 0


def test_the_certificate_of_the_real_host_is_verified(sandbox: Running) -> None:
    """The gate must verify the name that the client asked for."""
    text = (sandbox.paths.gate / "gate.cfg").read_text()
    granted = text.partition("\nbackend granted\n")[2].partition("\nbackend ")[0]
    assert f"ssl verify required ca-file {Paths().gate}/authorities.pem sni var(txn.name)" in granted


def test_the_gates_authority_is_limited_to_what_it_opens(sandbox: Running) -> None:
    (authority,) = gates_authorities(sandbox)
    names = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or ()
    opened = {READ, TRACK, "wild.test", "track.wild.test"}  # plain.test has no TLS port
    assert opened <= {name.value for name in names}
    assert {name.value for name in names} - opened <= {host.name for host in credentials_file.shipped()}


def gates_authorities(sandbox: Running) -> list[x509.Certificate]:
    text = sandbox.paths.trusted.read_text()
    parts = text.split("# A CA of this sandbox's gate.")[1:]
    return [x509.load_pem_x509_certificate(part[part.index("-----BEGIN") :].encode()) for part in parts]


def post(sandbox: Running, name: str, *options: str) -> str:
    """The status of a POST, or what curl says instead."""
    done = sandbox.agent("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-d", "x", *options, f"https://{name}/a")
    return done.stdout if done.returncode == 0 else done.stderr


def get(sandbox: Running, name: str) -> str:
    return post(sandbox, name, "-G")


def test_reading_is_granted_at_run_time(begin: Begin, tmp_path: Path) -> None:
    sandbox = begin(tmp_path, f"runtime-{os.getpid()}", listed=LIST, internet=INTERNET)
    name = "unlisted.test"
    before = len(gates_authorities(sandbox))
    done = sandbox.codetainer("allow", name, "--read", "--for", "1h")
    assert done.returncode == 0, done.stderr
    assert f"{name} read is open until" in done.stdout
    *_, authority = gates_authorities(sandbox)
    assert len(gates_authorities(sandbox)) == before + 1
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or ()
    assert [constraint.value for constraint in constraints] == [name]
    assert (get(sandbox, name), post(sandbox, name)) == ("200", "403")
    assert "only read" in sandbox.codetainer("explain", f"https://{name}").stdout
    rows = json.loads(sandbox.codetainer("allowed", "--json").stdout)
    assert [row["grant"] for row in rows if row["name"] == name] == ["read"]
    assert f"{name} read" in sandbox.codetainer("status").stdout
    (event,) = [e for e in sandbox.events(Allowed) if e.name == name]
    assert event.grant == "read"
    # The gate has the certificate after a restart, too.
    since = sandbox.kill("gate")
    eventually("the gate is back", lambda: sandbox.came_back("gate", since))
    assert (get(sandbox, name), post(sandbox, name)) == ("200", "403")
    # More, on the same name, replaces it, and needs no other authority.
    assert sandbox.codetainer("allow", name, "--grant", "read POST:/a", "--for", "1h").returncode == 0
    assert (post(sandbox, name), post(sandbox, name, "-X", "PUT")) == ("200", "403")
    assert len(gates_authorities(sandbox)) == before + 1
    assert sandbox.codetainer("allow", name).returncode == 0
    assert post(sandbox, name, "-X", "PUT") == "200"
    assert sandbox.codetainer("revoke", name).returncode == 0
    assert get(sandbox, name) not in ("200", "403")
    # A mistake opens nothing, and says what is wrong.
    wrong = sandbox.codetainer("allow", name, "--grant", "post:/a")
    assert wrong.returncode != 0
    assert "capital letters" in wrong.stderr + wrong.stdout
    assert get(sandbox, name) not in ("200", "403")
    sandbox.stop()


HELD = """
import json, os, socket, ssl, sys
context, name = ssl.create_default_context(), sys.argv[1]
with socket.create_connection((name, 443), timeout=60) as plain, context.wrap_socket(plain, server_hostname=name) as s:
    s.sendall(b"GET /held HTTP/1.1\\r\\nHost: %b\\r\\n\\r\\n" % name.encode())
    s.recv(65536)
    open("/tmp/go").read()  # a pipe: until the grant has changed
    try:
        s.sendall(b"POST /held HTTP/1.1\\r\\nHost: %b\\r\\nContent-Length: 1\\r\\n\\r\\nx" % name.encode())
        while s.recv(65536):
            pass
    except OSError:
        pass
print(json.dumps(True))
"""


def test_a_connection_ends_when_its_grant_gets_smaller(begin: Begin, tmp_path: Path) -> None:
    """A connection that was made while any request was granted must not be used for writes afterwards."""
    sandbox = begin(tmp_path, f"smaller-{os.getpid()}", listed=LIST, internet=INTERNET)
    name = "unlisted.test"
    assert sandbox.codetainer("allow", name).returncode == 0
    assert sandbox.agent("mkfifo", "/tmp/go").returncode == 0
    with ThreadPoolExecutor() as pool:
        held = pool.submit(sandbox.python, HELD, name)
        eventually("it is open", lambda: sandbox.asked(host=name, method="GET", path="/held"))
        assert sandbox.codetainer("allow", name, "--read").returncode == 0
        (sandbox.paths.root / "tmp/go").write_text("")
        assert held.result() is True
    assert sandbox.asked(host=name, method="POST", path="/held") == 0
    assert (get(sandbox, name), post(sandbox, name)) == ("200", "403")
    sandbox.stop()
