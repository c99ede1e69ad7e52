"""One refusal, one wording: each refusal of gate, DNS and firewall is provoked once, and all surfaces agree about it.

Length: the cases share one sandbox.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from backend.contract.events import Reason, Refused, Stamped, Via, encode
from backend.contract.refusals import added_up
from backend.contract.state import fold_all
from backend.hooks import refusals as hook
from backend.settings import credentials_file
from backend.system import AGENT
from codetainer_tui.plain import Lines
from codetainer_tui.refusal import listable_name, place
from codetainer_tui.view.refusals import refused as rows
from network import reasons
from network.gate import haproxy, wording
from network.gate.credentials import Host, parse, variables
from tests.netns import refusal_cases
from tests.netns.refusal_cases import GRAPHQL, NONE, OF_GRANTS, OF_HTTP, REPOSITORIES, Request, credential, expected, matched
from tests.netns.sandbox import INTERNET, LISTED, Running, eventually, start
from tests.netns.test_cases import SEND
from tests.netns.test_gate import EXTENSION, extensions, hello

pytestmark = pytest.mark.netns

OWN = """
[[credential]]
variable = "FORGE_TOKEN"
header = "private-token"
placeholder = "forge-placeholder-of-the-agent"

[[host]]
name = "forge.test"
credentials = ["FORGE_TOKEN"]
"""
SHIPPED = credentials_file.shipped()
HOSTS: dict[str, Host] = {host.name: host for host in (*SHIPPED, *parse(OWN, "own", variables(SHIPPED)))}
NAMES = """
  { name = "empty.test", addresses = [] },
  { name = "blocked.test", addresses = ["0.0.0.0"] },
  { name = "spoken.test", addresses = ["198.51.100.36"] },
  { name = "granted.test", addresses = ["198.51.100.37"] },
  { name = "lapsed.test", addresses = ["198.51.100.38"] },
  { name = "read.test", addresses = ["198.51.100.46"] },
  { name = "forge.test", addresses = ["198.51.100.39"], ttl = 1 },
"""
WORLD = INTERNET.replace('  { name = "unlisted.test"', NAMES.strip("\n") + '\n  { name = "unlisted.test"')
ENTRIES = (
    LISTED
    + "empty.test\nblocked.test\nspoken.test:8080/http\nlapsed.test\nread.test read\n*.deep.test read\n"
    + "".join(f"{name}\n" for name in HOSTS)
)
SPOKEN, PLAIN, SITE = ("198.51.100.36", 8080), ("198.51.100.35", 80), ("198.51.100.10", 443)

# Makes exchanges, eight at a time. Each: address, port, TLS name ("": none), protocol, bytes in hexadecimal.
EXCHANGE = """
import json, socket, ssl, sys
from concurrent.futures import ThreadPoolExecutor
def one(exchange):
    address, port, name, protocol, data = exchange
    answer = b""
    try:
        with socket.create_connection((address, port), timeout=20) as sock:
            if name:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                context.set_alpn_protocols([protocol])
                sock = context.wrap_socket(sock, server_hostname=name)
            sock.sendall(bytes.fromhex(data))
            while data := sock.recv(65536):
                answer += data
                if protocol == "h2" and b"codetainer" in answer:
                    break
        return answer.decode("latin-1") or "closed"
    except TimeoutError:
        return "silence"
    except OSError as error:
        return answer.decode("latin-1") or ("reset" if isinstance(error, ConnectionResetError) else "refused")
with ThreadPoolExecutor(8) as pool:
    print(json.dumps(list(pool.map(one, json.load(open(sys.argv[1]))))))
"""
Exchange = tuple[str, int, str, str, str]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("reasons")
    (folder / "credentials.toml").write_text(OWN)
    running = start(
        folder, f"reasons-{os.getpid()}", "--credentials", str(folder / "credentials.toml"), internet=WORLD, listed=ENTRIES,
        GH_PAT="ghp_the-operators-own", CLAUDE_CODE_OAUTH_TOKEN="sk-ant-oat01-the-operators-own", FORGE_TOKEN="forge-own",
        REPO_URL="https://github.com/example/demo", CODETAINER_PUSH=" ".join(REPOSITORIES[1:]),
    )  # fmt: skip
    names = ["github.com", "plain.test", "spoken.test", "lapsed.test", "forge.test"]
    running.agent("sh", "-c", "for name; do getent ahostsv4 $name; done", "sh", *names)
    yield running
    running.stop()


def bytes_of(request: Request, name: str) -> bytes:
    """The request on the wire."""
    if request.version == 2:
        return over_http2(name, dict(request.headers))
    body = request.body.encode("latin-1")
    host = [] if request.host == NONE else [("host", request.host or name)]
    headers = [*host, ("connection", "close"), *request.headers]
    if request.chunked:
        headers, body = [*headers, ("transfer-encoding", "chunked")], b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    elif request.method not in ("GET", "TRACE") or body:
        headers.append(("content-length", str(len(body))))
    head = [f"{request.method} {request.target} HTTP/1.1", *(f"{key}: {value}" for key, value in headers)]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def over_http2(name: str, more: Mapping[str, str]) -> bytes:
    """A request with the scheme http, all headers as literals (RFC 9113; RFC 7541, 6.2.2)."""
    headers = {":method": "GET", ":scheme": "http", ":authority": name, ":path": "/", **more}
    block = b"".join(bytes([0, len(k)]) + k.encode() + bytes([len(v)]) + v.encode() for k, v in headers.items())

    def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
        return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body

    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 5, 1, block)


def exchanged(sandbox: Running, exchanges: Iterable[Exchange]) -> list[str]:
    """The answers, each as text."""
    (sandbox.paths.root / "tmp/exchanges").write_text(json.dumps(list(exchanges)))
    return [str(answer) for answer in sandbox.python(EXCHANGE, "/tmp/exchanges")]


def through_tls(name: str, request: Request) -> Exchange:
    protocol = "h2" if request.version == 2 else "http/1.1"
    return (*SITE, name, protocol, bytes_of(request, name).hex())


def message(answer: str) -> str:
    """The gate's sentence in an answer over HTTP, without "codetainer: ". Clients show one of these members of a JSON body."""
    answer = answer.replace("\r\n", "\n")
    begin = re.search(r'{"(?:type|errors)"|codetainer: ', answer)  # after the frames of HTTP/2
    assert begin, answer[:400]
    body = answer[begin.start() :]
    if body.startswith("{"):
        told = json.loads(body)
        texts = {told["message"], told["error"]["message"]} if "message" in told else {one["message"] for one in told["errors"]}
        (body,) = texts
    assert body.startswith("codetainer: "), answer[:400]
    return body.removeprefix("codetainer: ").rstrip("\n")


@dataclass(frozen=True, slots=True)
class Expected:
    """A refusal in the journal. `detail` None: any."""

    via: Via
    reason: Reason
    name: str = ""
    detail: str | None = None
    address: str = ""
    port: int = 0

    def found(self, events: Iterable[Refused]) -> Refused | None:
        wanted = {"via": self.via, "reason": self.reason, "name": self.name, "address": self.address, "port": self.port}
        for event in events:
            fits = all(getattr(event, key) == value for key, value in wanted.items() if value)
            if fits and self.detail in (None, event.detail) and not added_up(event):
                return event
        return None


def in_journal(sandbox: Running, *wanted: Expected) -> list[Refused]:
    """Waits for refusals in the journal and checks that all surfaces agree about each. Returns them."""

    def missing() -> list[Expected]:
        events = sandbox.events(Refused)
        return [one for one in wanted if one.found(events) is None]

    try:
        eventually("all are in the journal", lambda: not missing(), 20)
    except AssertionError as error:
        told = [(r.via, r.reason, r.name, r.detail, r.address, r.port) for r in sandbox.events(Refused)]
        raise AssertionError(f"{missing()} not in {told[-40:]}") from error
    events = sandbox.events(Refused)
    found = [event for one in wanted if (event := one.found(events))]
    for event in found:
        agree_about(event)
    return found


def agree_about(event: Refused) -> None:
    """Compares what the hook, the text log, and the rows and details of dashboard and `status` say about a refusal."""
    stamped = Stamped(time.time(), 1, event)
    (row,) = rows(fold_all([stamped]), stamped.at, seen_at=stamped.at, pending={})
    remedy = event.reason.advice(listable_name(event), event.port)
    hooked = hook.sentence(json.loads(encode(stamped)))
    (_, logged) = Lines().of(stamped)
    assert row.why == event.reason
    assert f": {event.reason}" in logged
    assert f": {event.reason}. " in hooked
    assert any(line.startswith(f"{event.reason}, refused by") for line in row.full)
    assert remedy in row.full
    if not event.detail or event.reason not in reasons.LISTABLE:
        assert hooked.endswith(f": {reasons.sentence(event.reason, remedy)}")
    if event.detail:
        assert all(event.detail[:100] in text for text in (row.what, logged, hooked))


def explained(sandbox: Running, target: str) -> tuple[str, str]:
    """Returns what `explain` says, and the reason in it."""
    done = sandbox.codetainer("explain", target)
    assert (done.returncode, done.stderr) == (1, ""), done.stdout + done.stderr
    words = re.escape(target.partition("://")[2] or target) + r" is refused(?: on every port)?: ([^.]+)\. "
    found = re.match(words, done.stdout)
    assert found, done.stdout
    return done.stdout, found[1]


def configuration(sandbox: Running) -> str:
    return (sandbox.paths.gate / "gate.cfg").read_text()


# --- the gate ---


SETS_VERDICT = re.compile(r"set-var\(txn\.verdict\) str\(([a-z_.]+)\)")


def test_each_rule_has_a_case_and_its_own_words(sandbox: Running) -> None:
    """The answer in each rule belongs to the verdict that the rule before it sets for the log."""
    found = refusal_cases.rules(configuration(sandbox))
    table = matched(found)
    assert (table.unknown, table.unused) == ([], [])
    for rule in found:
        answer = re.search(r'(?:lf-)?string "(.*)\\n"', rule.text)
        if answer is None or "%[" in answer[1] or "status 404" in rule.condition:
            continue
        condition = "" if rule.section == "http" else rule.condition.removesuffix(f" {refusal_cases.ACCEPTS_JSON}")
        before = configuration(sandbox).split(f"{rule.text}\n", 1)[0].splitlines()[:-5:-1]
        verdict = next(v for line in before if line.endswith(condition) and (v := SETS_VERDICT.search(line)))
        parsed = wording.parse_verdict(verdict[1])
        assert parsed, verdict[1]
        words = wording.sentence(parsed[0], verdict[1].partition(".")[2], REPOSITORIES)
        assert words in answer[1].replace("\\", ""), rule


def test_each_call_of_refuse_has_a_case() -> None:
    known = {*GRAPHQL, *refusal_cases.OTHER_CALLS}
    assert refusal_cases.calls(haproxy.GITHUB) == known
    absent = set(refusal_cases.ABSENT.findall(haproxy.HELLO.read_text()))
    assert absent == set(HELLOS)


def test_each_rule_about_a_credential_refuses_with_the_same_words_everywhere(sandbox: Running) -> None:
    table = matched(refusal_cases.rules(configuration(sandbox)))
    exchanges, cases = [], []
    for rule, case in table.matched:
        host = HOSTS[rule.host or "api.github.com"]
        for request in case.make(host):
            more = (("accept", "application/json"),) if rule.as_json else ()
            exchanges.append(through_tls(host.name, replace(request, headers=(*request.headers, *more))))
            cases.append((rule, case, host))
    answers = exchanged(sandbox, exchanges)
    wanted = set()
    for (rule, case, host), answer in zip(cases, answers, strict=True):
        reason = expected(case, host)
        remedy = reasons.advice(reason, repositories=", ".join(REPOSITORIES))
        assert message(answer) == reasons.sentence(reason, remedy, case.phrase), (rule, answer)
        assert not rule.as_json or "application/json" in answer or case.condition.startswith("{ fc_http_major 2 }")
        detail = {"-": ""}.get(case.logged or "", case.logged)
        wanted.add(Expected(Via.GATE, reason, host.name, case.phrase or detail))
    in_journal(sandbox, *wanted)


def test_each_refusal_of_graphql_has_the_same_words_everywhere(sandbox: Running) -> None:
    host = HOSTS["api.github.com"]
    requests = [Request("/graphql", "POST", (credential(host),), case.body) for case in GRAPHQL.values()]
    answers = exchanged(sandbox, [through_tls(host.name, request) for request in requests])
    wanted = []
    for (key, case), answer in zip(GRAPHQL.items(), answers, strict=True):
        phrase = reasons.DETAILS[key].replace("{}", case.named)
        remedy = reasons.advice(case.reason, repositories=", ".join(REPOSITORIES))
        assert message(answer) == reasons.sentence(case.reason, remedy, phrase), key
        wanted.append(Expected(Via.GATE, case.reason, host.name, phrase))
    in_journal(sandbox, *wanted)


def test_a_forbidden_request_to_the_model(sandbox: Running) -> None:
    """The reader refuses it in the API's own words for errors, which Claude Code shows. The journal has the gate's."""
    host = HOSTS["api.anthropic.com"]
    headers = (credential(host), ("content-type", "application/json"))
    tool, body = "web_search_20250305", '{"messages": [], "tools": [{"type": "web_search_20250305"}]}'
    requests = [Request("/v1/messages", "POST", headers, body), Request("/v1/messages", "POST", headers, "hello")]
    tools, unclear = exchanged(sandbox, [through_tls(host.name, request) for request in requests])
    assert message(tools).startswith(f"the agent may not use the tool {tool}")
    assert message(unclear).startswith("this request is not plain JSON")
    found = in_journal(sandbox, Expected(Via.GATE, Reason.MODEL, host.name, f"the tool {tool}"))
    assert "CODETAINER_MODEL_TOOLS" in message(tools)
    assert "CODETAINER_MODEL_TOOLS" in found[0].reason.advice(host.name, 443)


def test_a_repository_without_a_default_branch(sandbox: Running) -> None:
    host = HOSTS["api.github.com"]
    request = Request("/repos/friend/empty/git/refs/heads/work", "DELETE", (credential(host),))
    (answer,) = exchanged(sandbox, [through_tls(host.name, request)])
    phrase = reasons.DETAILS["default_branch"]
    assert message(answer) == reasons.sentence(Reason.UNANSWERED, Reason.UNANSWERED.advice(), phrase)
    in_journal(sandbox, Expected(Via.GATE, Reason.UNANSWERED, host.name, phrase))


def test_each_rule_for_plain_http(sandbox: Running) -> None:
    exchanges = []
    for request, reason, _ in OF_HTTP.values():
        address = SPOKEN if reason is Reason.PORT_NOT_LISTED else PLAIN
        host = request.host if address == PLAIN else f"{request.host}:8080"
        exchanges.append((*address, "", "", bytes_of(replace(request, host=host), "").hex()))
    for (request, reason, detail), answer in zip(OF_HTTP.values(), exchanged(sandbox, exchanges), strict=True):
        name = "" if request.host == NONE else request.host.partition(":")[0]
        port = 8080 if reason is Reason.PORT_NOT_LISTED else 80
        words = reasons.sentence(reason, reason.advice(name, port), reasons.DETAILS[detail] if detail else "")
        assert message(answer) == (words if detail else f"{name}: {words}")
        phrase = reasons.DETAILS[detail] if detail else ""
        listed = "" if detail == "host_header" else name  # any text may stand in an invalid header
        (event,) = in_journal(sandbox, Expected(Via.GATE, reason, listed, phrase, port=port))
        if reason is Reason.PORT_NOT_LISTED:
            assert explained(sandbox, place(event))[1] == reason


@pytest.mark.parametrize("section", ["granted", "granted_http"])
def test_each_rule_for_an_entry_that_grants_only_reading(sandbox: Running, section: str) -> None:
    cases = [
        (rule, *OF_GRANTS[key])
        for rule in refusal_cases.rules(configuration(sandbox))
        if rule.section == section
        for key in OF_GRANTS
        if rule.condition.startswith(key)
    ]
    assert len(cases) == 2 * len(OF_GRANTS)
    exchanges = []
    for rule, request, *_ in cases:
        more = (("accept", "application/json"),) if rule.as_json else ()
        told = replace(request, headers=(*request.headers, *more), host="read.test")
        plain = (*PLAIN, "", "", bytes_of(told, "read.test").hex())
        exchanges.append(through_tls("read.test", told) if section == "granted" else plain)
    wanted = set()
    for (rule, _, reason, detail, logged), answer in zip(cases, exchanged(sandbox, exchanges), strict=True):
        phrase = reasons.DETAILS[detail] if detail else ""
        shown = logged if reason is Reason.REQUEST else ""
        assert message(answer) == reasons.sentence(reason, reason.advice(), phrase or shown), (rule, answer)
        assert not rule.as_json or "application/json" in answer
        wanted.add(Expected(Via.GATE, reason, "read.test", phrase or logged, port=443 if section == "granted" else 80))
    in_journal(sandbox, *wanted)


TWO_HOSTS = b"GET / HTTP/1.1\r\nHost: %s\r\nHost: other.test\r\n\r\n"


def test_what_is_not_http(sandbox: Running) -> None:
    """HAProxy answers it before any rule, in its own words. The journal has ours."""
    exchanges = [
        (*PLAIN, "", "", hello("plain.test").hex()), (*PLAIN, "", "", (TWO_HOSTS % b"plain.test").hex()),
        (*SITE, "api.github.com", "http/1.1", (TWO_HOSTS % b"api.github.com").hex()), (*PLAIN, "", "", "00"),
    ]  # fmt: skip
    assert [answer.split("\r\n")[0] for answer in exchanged(sandbox, exchanges)] == ["HTTP/1.1 400 Bad request"] * 4
    phrase = reasons.DETAILS["not_http"]
    in_journal(
        sandbox, Expected(Via.GATE, Reason.UNCLEAR, "", phrase, *PLAIN),
        Expected(Via.GATE, Reason.UNCLEAR, "api.github.com", phrase, port=443),
    )  # fmt: skip
    assert explained(sandbox, "https://plain.test:80")[1] == f"{Reason.UNCLEAR}: {phrase}"


def test_a_connection_without_a_request_is_no_refusal(sandbox: Running) -> None:
    before = len(sandbox.events(Refused))
    sandbox.python("import json, socket; socket.create_connection(('198.51.100.35', 80)).close(); print(json.dumps(1))")
    exchanged(sandbox, [(*PLAIN, "", "", b"GET / HTTP/1.0\r\nHost: after.test\r\n\r\n".hex())])
    in_journal(sandbox, Expected(Via.GATE, Reason.ANOTHER_SITE, "after.test"))
    assert [one for one in sandbox.events(Refused)[before:] if one.reason is Reason.UNCLEAR] == []


HELLOS = {
    "no_tls": b"GET / HTTP/1.1\r\nHost: github.com\r\n\r\n",
    "no_name": hello(None),
    "encrypted_name": extensions(hello("github.com"), more=EXTENSION),
    "unreadable_hello": b"\x16\x03\x01\xff\xff" + bytes(100),
}
TLS_NAMES = {"fronted.test": Reason.ANOTHER_SITE, "plain.test": Reason.PORT_NOT_LISTED, "empty.test": Reason.NO_ADDRESS,
             "a.b.deep.test": Reason.REQUEST}  # fmt: skip
DEEP = {"a.b.deep.test": reasons.DETAILS["too_deep"]}


def test_a_client_hello(sandbox: Running) -> None:
    """A TLS client gets no words, but the journal has them."""
    pieces = [*HELLOS.values(), *map(hello, TLS_NAMES)]
    assert set(exchanged(sandbox, [(*SITE, "", "", piece.hex()) for piece in pieces])) <= {"reset", "closed"}
    wanted = [Expected(Via.GATE, Reason.UNCLEAR, detail=reasons.DETAILS[key], port=443) for key in HELLOS]
    wanted += [Expected(Via.GATE, reason, name, DEEP.get(name, ""), port=443) for name, reason in TLS_NAMES.items()]
    in_journal(sandbox, *wanted)
    assert explained(sandbox, "plain.test:443")[1] == Reason.PORT_NOT_LISTED
    assert explained(sandbox, "a.b.deep.test:443")[1] == f"{Reason.REQUEST}: {reasons.DETAILS['too_deep']}"
    assert f"cannot be reached: {Reason.NO_ADDRESS}, " in sandbox.codetainer("explain", "empty.test:443").stdout


def test_a_silent_client_is_disconnected_and_not_reported(sandbox: Running) -> None:
    """There is no decision about it: it has asked for nothing."""
    before = sandbox.events(Refused)
    assert exchanged(sandbox, [(*SITE, "", "", "")])[0] in ("reset", "closed")
    exchanged(sandbox, [(*SITE, "", "", hello("after-the-silent-one.test").hex())])
    in_journal(sandbox, Expected(Via.GATE, Reason.ANOTHER_SITE, "after-the-silent-one.test"))
    more = sandbox.events(Refused)[len(before) :]
    assert [one for one in more if one.port == 443 and not one.name and one.via is Via.GATE] == []


def test_a_hidden_repository_is_github_s_refusal(sandbox: Running) -> None:
    host = HOSTS["github.com"]
    target, name, token = "/example/hidden.git/info/lfs/locks/verify", *credential(host)
    (answer,) = exchanged(sandbox, [through_tls(host.name, Request(target, "POST", ((name, token),), "{}"))])
    assert message(answer) == reasons.HIDDEN


def test_each_certificate_has_a_backend(sandbox: Running) -> None:
    """So the last refusal of the proxy, for a host without one, cannot be provoked."""
    names = {path.stem for path in (sandbox.paths.gate / "certificates").iterdir()}
    assert "\nbackend granted\n" in configuration(sandbox)
    read = {"read.test", "+.deep.test"}
    assert names - read == {name for name in HOSTS if f"backend host_{name}\n" in configuration(sandbox)}
    assert read <= names


GATES_OWN = "insert rule inet codetainer loopback_socket ip daddr 127.0.0.55 tcp dport { 80, 443 } accept"


def test_the_gates_own_address_is_refused_by_the_firewall_and_by_the_gate(sandbox: Running) -> None:
    """The rule of the gate takes over if the one of the firewall is gone."""
    own = [("127.0.0.55", 443, "", "", hello("github.com").hex()), ("127.0.0.55", 80, "", "", b"GET / HTTP/1.1\r\n".hex())]
    assert exchanged(sandbox, own) == ["refused", "refused"]
    found = in_journal(sandbox, *(Expected(Via.FIREWALL, Reason.OWN, address="127.0.0.55", port=port) for port in (443, 80)))
    assert {explained(sandbox, place(event))[1] for event in found} == {Reason.OWN}
    assert sandbox.root("nft", "--echo", "--handle", *GATES_OWN.split()).returncode == 0
    try:
        assert set(exchanged(sandbox, own)) <= {"reset", "closed"}
    finally:
        listed = sandbox.root("nft", "--handle", "list", "chain", "inet", "codetainer", "loopback_socket").stdout
        handle = re.search(r"127\.0\.0\.55 tcp dport \{ 80, 443 \} accept # handle (\d+)", listed)
        assert handle
        assert sandbox.root(*f"nft delete rule inet codetainer loopback_socket handle {handle[1]}".split()).returncode == 0


# --- DNS and the firewall ---

QUERY = """
import json, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    sock.connect(("127.0.0.53", 53))
    codes = []
    for text, kind, group in json.loads(sys.argv[1]):
        name = b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\\0"
        sock.send(struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + name + struct.pack("!2H", kind, group))
        codes.append(sock.recv(4096)[3] & 15)
print(json.dumps(codes))
"""


def reasons_in(file: str) -> set[Reason]:
    """The reasons that a module of the guard uses."""
    text = (Path(__file__).parents[2] / "backend/guard" / file).read_text()
    return {Reason[name] for name in re.findall(r"\bReason\.([A-Z_0-9]+)\b", text)}


def test_each_refusal_of_dns(sandbox: Running) -> None:
    queries = [("unlisted.test", 1, 1), ("unlisted.test", 16, 1), ("github.com", 1, 3), ("private.test", 1, 1),
               ("metadata.test", 1, 1), ("blocked.test", 1, 1)]  # fmt: skip
    assert sandbox.python(QUERY, json.dumps(queries)) == [3, 3, 5, 0, 0, 0]
    wanted = [
        Expected(Via.DNS, Reason.NOT_LISTED, "unlisted.test", ""), Expected(Via.DNS, Reason.NOT_LISTED, "unlisted.test", "TXT"),
        Expected(Via.DNS, Reason.PRIVATE, "private.test"), Expected(Via.DNS, Reason.PRIVATE, "metadata.test"),
        Expected(Via.DNS, Reason.BLOCKED, "blocked.test"),
    ]  # fmt: skip
    assert {one.reason for one in wanted} == reasons_in("server.py") | {Reason.NOT_LISTED}
    in_journal(sandbox, *wanted)
    assert explained(sandbox, "unlisted.test")[1] == Reason.NOT_LISTED
    for name, lack in (("private.test", Reason.PRIVATE), ("blocked.test", Reason.BLOCKED)):
        assert f"cannot be reached: {Reason.NO_ADDRESS}, {lack} (" in sandbox.codetainer("explain", name).stdout


def test_each_refusal_of_the_firewall(sandbox: Running) -> None:
    assert sandbox.codetainer("allow", "granted.test").returncode == 0
    assert sandbox.agent("getent", "ahostsv4", "granted.test").returncode == 0
    assert sandbox.codetainer("revoke", "granted.test").returncode == 0
    lapsed = "delete element inet codetainer open4 { 198.51.100.38 . 443 }"
    assert sandbox.root("nft", *lapsed.split()).returncode == 0
    dialled = {
        ("127.0.0.54", 53): Reason.OWN,
        ("10.1.2.3", 443): Reason.PRIVATE,
        ("169.254.169.254", 80): Reason.PRIVATE,
        ("2001:db8::1", 443): Reason.IPV6,
        ("192.0.2.88", 443): Reason.NEVER_RESOLVED,
        ("198.51.100.37", 443): Reason.NOT_LISTED,
        ("198.51.100.10", 8443): Reason.PORT_NOT_LISTED,
        ("198.51.100.38", 443): Reason.EXPIRED,
    }
    route = "ip -6 route replace 2001:db8::/32 dev"  # without a route, the kernel refuses before the firewall
    device = sandbox.root("sh", "-c", "ip -o route get 203.0.113.53 | sed 's/.* dev \\([^ ]*\\).*/\\1/'").stdout.strip()
    done = sandbox.root(*route.split(), device)
    assert done.returncode == 0, done.stderr
    answers = exchanged(sandbox, [(*destination, "", "", "") for destination in dialled])
    assert answers == ["refused"] * len(dialled)
    sandbox.python(SEND, 2, 2, 17, "198.51.100.10", 443)
    wanted = [Expected(Via.FIREWALL, reason, address=address, port=port) for (address, port), reason in dialled.items()]
    in_journal(sandbox, *wanted, Expected(Via.FIREWALL, Reason.NOT_TCP, address="198.51.100.10", port=443))
    assert {*dialled.values(), Reason.NOT_TCP, Reason.FROZEN} == reasons_in("refusals.py")
    for (address, port), reason in dialled.items():
        target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        if reason is not Reason.EXPIRED:  # the guard does not look into the kernel's sets
            assert explained(sandbox, target)[1] == reason


def test_a_frozen_sandbox(sandbox: Running) -> None:
    assert sandbox.codetainer("freeze").returncode == 0
    try:
        assert exchanged(sandbox, [(*SITE, "", "", "")]) == ["refused"]
        in_journal(sandbox, Expected(Via.FIREWALL, Reason.FROZEN, "", address=SITE[0]))
        for target in ("198.51.100.10:443", "github.com:443"):
            text, reason = explained(sandbox, target)
            assert reason.startswith(Reason.FROZEN)
            assert Reason.FROZEN.advice() in text
        assert explained(sandbox, "unlisted.test")[1] == Reason.NOT_LISTED
        for argv in (("allow", "unlisted.test"), ("refresh",)):
            assert str(Reason.FROZEN) in sandbox.codetainer(*argv).stderr
    finally:
        assert sandbox.codetainer("thaw").returncode == 0


# --- the real programs ---


def test_the_programs_say_what_the_journal_says(sandbox: Running) -> None:
    """The text log, `status` and Claude's hook, as they are installed."""
    events = [one for one in sandbox.events(Refused) if not added_up(one)]
    log = sandbox.codetainer("logs").stdout
    serious = sandbox.codetainer("status").stdout
    for reason in {one.reason for one in events}:
        assert f": {reason}" in log, reason
    for reason in {one.reason for one in events if one.via is Via.GATE} & {Reason.NOT_OURS, Reason.TWO_WAYS, Reason.UNCLEAR}:
        assert f"  {reason}" in serious, reason
    call = json.dumps({"hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_response": "codetainer: refused"})
    command, environment = sandbox.called(
        AGENT, "/opt/codetainer/venv/bin/python3", "-I", "-S", "/opt/codetainer/lib/backend/hooks/refusals.py",
        "/home/claude/.codetainer/session.json", "/run/codetainer/events.jsonl",
    )  # fmt: skip
    exchanged(sandbox, [(*SITE, "", "", hello("told-to-claude.test").hex())])
    (event,) = in_journal(sandbox, Expected(Via.GATE, Reason.ANOTHER_SITE, "told-to-claude.test"))
    done = subprocess.run(command, env=environment, input=call, capture_output=True, text=True, check=True, timeout=60)
    told = json.loads(done.stdout)["hookSpecificOutput"]["additionalContext"]
    assert hook.sentence(json.loads(encode(Stamped(0, 1, event)))) in told.splitlines()


# Repeats a request over one connection until the gate itself answers.
REPEAT = """
import json, socket, ssl, sys, time
name, address = sys.argv[1:]
context = ssl.create_default_context()
with context.wrap_socket(socket.create_connection((address, 443), 20), server_hostname=name) as sock:
    for number in range(300):
        sock.sendall(f"GET / HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n".encode())
        answer = sock.recv(65536).decode()
        if "codetainer" in answer:
            break
        if not number:
            print("begun", flush=True)
        time.sleep(0.1)
print(answer)
"""


def test_a_host_that_has_lost_its_address(sandbox: Running) -> None:
    """Within one connection: at its beginning the gate resolves the name, too. HAProxy remembers an answer for ten seconds."""
    guard = sandbox.pid("guard")
    command = sandbox.command(AGENT, "/usr/bin/python3", "-I", "-c", REPEAT, "forge.test", "198.51.100.39")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "begun\n"
        os.kill(guard, signal.SIGSTOP)
        try:
            answer = process.communicate(timeout=60)[0]
        finally:
            os.kill(guard, signal.SIGCONT)
    assert message(answer) == reasons.sentence(Reason.NO_ADDRESS, Reason.NO_ADDRESS.advice())
    in_journal(sandbox, Expected(Via.GATE, Reason.NO_ADDRESS, "forge.test"))
