"""What `explain` says beforehand is what happens: 10 000 random requests, in a real sandbox.

All are made by the agent through the real CoreDNS, guard, firewall and gate. The seed is fixed; a failure prints it with the
first requests that went another way. An explanation must also have the reason that the journal has afterwards.

Length: the world and its requests are easier to read together.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import pytest

from backend.contract.control import Explain, Reply, decode_reply, encode_request
from backend.contract.events import Refused, Via
from backend.contract.refusals import added_up
from tests.netns.sandbox import INTERNET, LISTED, Running, eventually, start
from tests.netns.test_gate import hello

pytestmark = pytest.mark.netns

SEED = 20_261_128
PHASES = {"before": 4000, "granted": 3000, "revoked": 2500, "frozen": 500}  # requests
PORTS = (443, 80, 8443, 8080, 22, 9418, 9000, 21, 1, 65535)
LOCAL = 7777  # the agent listens there
QUIET_SECONDS = 2.0

NAMES = """
  { name = "empty.test", addresses = [] },
  { name = "blocked.test", addresses = ["0.0.0.0"] },
  { name = "direct.test", addresses = ["198.51.100.41"] },
  { name = "twin.test", addresses = ["198.51.100.41"] },
  { name = "typed.test", addresses = ["198.51.100.42"] },
  { name = "spoken.test", addresses = ["198.51.100.43"] },
  { name = "granted.test", addresses = ["198.51.100.44"] },
  { name = "brief.test", addresses = ["198.51.100.41"] },
"""
WORLD = INTERNET.replace('  { name = "unlisted.test"', NAMES.strip("\n") + '\n  { name = "unlisted.test"') + "".join(
    f'[[listener]]\nport = {port}\nspeaks = "{speaks}"\n'
    for port, speaks in ((443, "https"), (8443, "https"), (80, "http"), (8080, "http"), (9000, "echo"), (22, "echo"))
)
ENTRIES = LISTED.replace("short.test:443,8443", "short.test:443,9000") + (
    "empty.test\nblocked.test\ndirect.test:443,9000\ntwin.test\ntyped.test:8443/tls\nspoken.test:8080/http,22\n*.below.test\n"
)
LISTED_NAMES = [line.partition(":")[0] for line in ENTRIES.split() if not line.startswith("*")]
LISTED_NAMES.remove("rotating.test")  # another address each time
CLOSED = ["unlisted.test", "example.org", "evil.test", "a.b.c.test", "xn--mnchen-3ya.test", "granted.test", "brief.test"]
ADDRESSES = [
    *(f"198.51.100.{number}" for number in (10, 20, 31, 32, 33, 35, 41, 42, 43, 44, 99, 200)), "192.0.2.1", "203.0.113.53",
    "203.0.113.9", "10.0.0.7", "172.16.3.4", "192.168.7.7", "169.254.169.254", "100.64.0.1", "198.18.0.1", "224.0.0.1",
    "255.255.255.255", "0.0.0.1", "2001:db8::1", "fd00::1", "fe80::1", "::ffff:198.51.100.10", "::ffff:192.0.2.1",
    "::ffff:10.0.0.7", "64:ff9b::a00:7",
]  # fmt: skip
OWN = [("127.0.0.53", 53), ("127.0.0.53", 8180), ("127.0.0.54", 53), ("127.0.0.55", 443), ("127.0.0.55", 80),
       ("127.0.0.1", LOCAL), ("127.9.9.9", LOCAL), ("::1", LOCAL), ("::1", 22), ("::ffff:127.0.0.1", LOCAL),
       ("localhost", LOCAL), ("app.localhost", LOCAL), ("HOST", LOCAL), ("127.0.0.11", 53)]  # fmt: skip
TLS, PLAIN_HTTP, ANY = "tls", "http", "any"
SCHEMES = {"https": TLS, "wss": TLS, "http": PLAIN_HTTP, "ws": PLAIN_HTTP, "ssh": ANY, "git": ANY, "ftp": ANY}
SCHEME_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443, "ssh": 22, "git": 9418, "ftp": 21}


VIA = {"no name": Via.DNS, "refused": Via.FIREWALL, "closed": Via.GATE}


@dataclass(frozen=True, slots=True)
class Request:
    """A request: what `explain` is asked, and what the agent does. `port` 0: it only looks the name up.

    `speaks` is the protocol, `names` what it says there: a name in TLS or in the Host header, "" for none.
    """

    target: str
    host: str
    port: int
    speaks: str = TLS
    says: str = ""


def lookalike(dice: random.Random, name: str) -> str:
    """A name that resembles another one."""
    changes: tuple[Callable[[str], str], ...] = (
        lambda n: "x" + n, lambda n: n + ".evil.test", lambda n: "sub." + n, lambda n: n.replace("t", "7", 1),
        lambda n: n.replace(".", "-", 1) + ".test", lambda n: n.partition(".")[2] or n,
    )  # fmt: skip
    return dice.choice(changes)(name)


def a_name(dice: random.Random) -> str:
    label = f"n{dice.randrange(40)}"
    name = dice.choice(
        (
            dice.choice(LISTED_NAMES), dice.choice(LISTED_NAMES), dice.choice(LISTED_NAMES), dice.choice(CLOSED),
            lookalike(dice, dice.choice(LISTED_NAMES)), f"{label}.wild.test", f"{label}.deep.below.test", "below.test", label,
        )
    )  # fmt: skip
    return name.upper() if dice.random() < 0.1 else name


def made(dice: random.Random, host_name: str) -> Request:
    """A random request."""
    kind = dice.random()
    if kind < 0.06:
        host, port = dice.choice(OWN)
        host = host_name if host == "HOST" else host
        return Request(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", host, port, ANY)
    if kind < 0.3:
        host, port = dice.choice(ADDRESSES), dice.choice(PORTS)
        place = f"[{host}]" if ":" in host else host
        if dice.random() < 0.3:
            scheme = dice.choice(list(SCHEMES))
            return Request(f"{scheme}://{place}:{port}/x", host, port, SCHEMES[scheme], host if SCHEMES[scheme] != TLS else "")
        return Request(f"{place}:{port}", host, port, usual(port), "OPEN")
    name = a_name(dice)
    if kind < 0.5:
        return Request(name + dice.choice(("", "", ".")), name, 0)
    if kind < 0.65:
        scheme = dice.choice(list(SCHEMES))
        port = dice.choice((0, *PORTS[:6]))
        where = f":{port}" if port else ""
        user = dice.choice(("", "", "user:secret@"))
        return Request(f"{scheme}://{user}{name}{where}/path?x=1", name, port or SCHEME_PORTS[scheme], SCHEMES[scheme], name)
    port = dice.choice((443, 443, 80, *PORTS))
    return Request(f"{name}:{port}", name, port, usual(port), name)


def usual(port: int) -> str:
    """What clients speak at a port in this world."""
    return {443: TLS, 8443: TLS, 80: PLAIN_HTTP, 8080: PLAIN_HTTP}.get(port, ANY)


# Makes requests, sixteen at a time. Prints for each: "open", "no name" (NXDOMAIN), "no address", "refused" (the firewall) or
# "closed" (the gate, after the connection is made).
MAKE = """
import json, socket, struct, sys
from concurrent.futures import ThreadPoolExecutor
requests, hellos, local = json.load(open(sys.argv[1])), json.load(open(sys.argv[2])), int(sys.argv[3])
listeners = []
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address, local))
    sock.listen(1000)
    listeners.append(sock)
def addresses(name):
    wire = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0)
    wire += b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\\0" + struct.pack("!2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.connect(("127.0.0.53", 53))
        sock.send(wire)
        data = sock.recv(4096)
    found, at = [], len(wire)
    for _ in range(struct.unpack_from("!H", data, 6)[0]):
        while data[at] and data[at] < 0xC0:
            at += 1 + data[at]
        at += 2 if data[at] >= 0xC0 else 1
        kind, _, _, length = struct.unpack_from("!HHIH", data, at)
        if kind == 1:
            found.append(socket.inet_ntoa(data[at + 10:at + 14]))
        at += 10 + length
    return data[3] & 15, found
def numeric(host):
    return ":" in host or host.replace(".", "").isdigit()
def made(request):
    host, port, speaks, says = request["host"], request["port"], request["speaks"], request["says"]
    address = host
    if not numeric(host):
        code, found = addresses(host)
        if code == 3 and not found:
            return "no name"
        if not found:
            return "no address"
        if not port:
            return "open"
        address = found[0]
    try:
        sock = socket.create_connection((address, port), timeout=20)
    except OSError:
        return "refused"
    with sock:
        if port == local or address == "127.0.0.53":
            return "open"
        try:
            if speaks == "tls":
                sock.sendall(bytes.fromhex(hellos[says.lower()]))
            elif speaks == "http":
                sock.sendall(f"GET / HTTP/1.1\\r\\nHost: {says}\\r\\nConnection: close\\r\\n\\r\\n".encode())
            else:
                sock.sendall(b"SSH-2.0-x\\r\\n")
            answer = sock.recv(4096)
        except OSError:
            return "closed"
    if not answer or b"codetainer: " in answer or b"400 Bad request" in answer:
        return "closed"
    return "open"
with ThreadPoolExecutor(16) as pool:
    print(json.dumps(list(pool.map(made, requests))))
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(
        tmp_path_factory.mktemp("predictions"), f"predictions-{os.getpid()}", internet=WORLD, listed=ENTRIES, GH_PAT="ghp_own"
    )
    yield running
    running.stop()


def explanations(sandbox: Running, requests: list[Request]) -> list[Reply]:
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(sandbox.paths.control))
        stream = control.makefile("rw")
        replies = []
        for request in requests:
            stream.write(encode_request(Explain(request.target)) + "\n")
            stream.flush()
            replies.append(decode_reply(stream.readline()))
    return replies


def outcomes(sandbox: Running, requests: list[Request]) -> list[str]:
    """What happens to the requests."""
    hellos = {says: hello(says or None).hex() for says in {one.says.lower() for one in requests if one.speaks == TLS}}
    for file, content in (("requests", [asdict(one) for one in requests]), ("hellos", hellos)):
        (sandbox.paths.root / "tmp" / file).write_text(json.dumps(content))
    done = sandbox.agent("/usr/bin/python3", "-I", "-S", "-c", MAKE, "/tmp/requests", "/tmp/hellos", str(LOCAL), seconds=300)
    assert done.returncode == 0, done.stderr
    return [str(outcome) for outcome in json.loads(done.stdout)]


def with_open_names(request: Request, reply: Reply) -> Request:
    """`explain` says which names are open at an address: the request says one of them, or none if none is open."""
    if request.says != "OPEN":
        return request
    names = reply.data.get("names") or [""]
    return Request(request.target, request.host, request.port, request.speaks, names[0] or "nobody.test")


def happened(outcome: str) -> bool:
    return outcome == "open"


def disagreements(sandbox: Running, requests: list[Request], *, closed: bool = False) -> tuple[list[str], Counter[str]]:
    """The requests about which `explain` is wrong, and how many had which outcome. `closed`: the sandbox is frozen."""
    before = settled(sandbox)
    replies = explanations(sandbox, requests)
    assert all(reply.ok for reply in replies), [reply.text for reply in replies if not reply.ok][:3]
    asked = [with_open_names(request, reply) for request, reply in zip(requests, replies, strict=True)]
    results = outcomes(sandbox, asked)
    wrong = [
        f"{request}: {outcome}, explained as: {reply.text}"
        for request, reply, outcome in zip(asked, replies, results, strict=True)
        if bool(reply.data["open"]) is not happened(outcome)
    ]
    return wrong + of_journal(sandbox, before, asked, replies, results), Counter(results)


def settled(sandbox: Running) -> int:
    """The length of the journal once it has all refusals of earlier requests: on a busy machine the guard reports them late."""
    length, since = len(sandbox.stamped()), time.monotonic()
    while time.monotonic() < since + QUIET_SECONDS:
        time.sleep(0.1)
        if (now := len(sandbox.stamped())) != length:
            length, since = now, time.monotonic()
    return length


def of_journal(sandbox: Running, before: int, requests: list[Request], replies: list[Reply], results: list[str]) -> list[str]:
    """The refusals in the journal that have another reason than the explanation of their request."""
    explained: dict[tuple[str, str, int], set[str]] = defaultdict(set)
    at_the_gate: dict[int, set[str]] = defaultdict(set)  # by port: a client hello, for example, need not have a name
    for request, reply, outcome in zip(requests, replies, results, strict=True):
        reason, host = str(reply.data.get("reason", "")), request.host.lower().removeprefix("::ffff:")
        if reason and outcome in VIA:
            explained[VIA[outcome], host, 0 if outcome == "no name" else request.port].add(reason)
            at_the_gate[request.port] |= {reason} if outcome == "closed" else set()
    wrong = []
    for stamped in sandbox.stamped()[before:]:
        event = stamped.event
        if isinstance(event, Refused) and not added_up(event):
            port = 0 if event.via is Via.DNS else event.port
            known = explained[event.via, event.name.lower(), port]
            if event.via is Via.FIREWALL:  # by address; the name is the last one of the address
                known = known | explained[event.via, event.address, port]
            if event.via is Via.GATE and not event.name:
                known = at_the_gate[port]
            if known and event.reason not in known:
                wrong.append(f"{event}, explained as: {known}")
    return wrong


@pytest.fixture(scope="module")
def dice() -> random.Random:
    return random.Random(SEED)


def agree(sandbox: Running, dice: random.Random, phase: str, *needed: str) -> None:
    host_name = sandbox.root("uname", "-n").stdout.strip().lower()
    requests = [made(dice, host_name) for _ in range(PHASES[phase])]
    if phase == "frozen":  # CoreDNS still answers from its cache: only connections tell
        requests = [replace(one, port=one.port or 443) for one in requests]
    names = {one.host.lower() for one in requests if not one.host.replace(".", "").isdigit() and ":" not in one.host}
    outcomes(sandbox, [Request(name, name, 0) for name in sorted(names)])  # opens the addresses of all names
    wrong, found = disagreements(sandbox, requests)
    assert not wrong, f"seed {SEED}, {phase}: {len(wrong)} of {len(requests)}:\n" + "\n".join(wrong[:12])
    assert {*needed} <= {*found}, found


def test_what_is_explained_happens(sandbox: Running, dice: random.Random) -> None:
    agree(sandbox, dice, "before", "open", "no name", "no address", "refused", "closed")


def test_it_happens_with_names_that_were_allowed_by_hand(sandbox: Running, dice: random.Random) -> None:
    assert sandbox.codetainer("allow", "granted.test", "--port", "443,9000").returncode == 0
    assert sandbox.codetainer("allow", "brief.test", "--for", "1s").returncode == 0
    eventually("it has ended", lambda: not [one for one in sandbox.state.allowed.values() if one.name == "brief.test"])
    agree(sandbox, dice, "granted", "open", "no name", "no address", "refused", "closed")


def test_it_happens_after_a_name_is_revoked(sandbox: Running, dice: random.Random) -> None:
    if "granted.test" in {one.name for one in sandbox.state.allowed.values()}:
        assert sandbox.codetainer("revoke", "granted.test").returncode == 0
    agree(sandbox, dice, "revoked", "open", "no name", "no address", "refused", "closed")


def test_it_happens_while_frozen(sandbox: Running, dice: random.Random) -> None:
    with contextlib.ExitStack() as thawing:
        assert sandbox.codetainer("freeze").returncode == 0
        thawing.callback(sandbox.codetainer, "thaw")
        agree(sandbox, dice, "frozen", "no name", "no address", "refused")
