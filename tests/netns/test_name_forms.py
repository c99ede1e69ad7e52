"""Every form of a listed name works with real clients: letter case, trailing dot, port, aliases, long names, many addresses."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from backend.contract.events import Refused
from network.dns.dns_message import UDP_SIZE
from tests.netns.sandbox import INTERNET, LISTED, Running, start
from tests.netns.test_gate import hello, is_server_hello, resolve, say

pytestmark = pytest.mark.netns

PYTHON = "/opt/codetainer/venv/bin/python3"
MAX_ADDRESSES = 64  # that the guard opens for one name
LONG_LABEL = "a" * 63 + ".wild.test"
LONGEST = ".".join(letter * 60 for letter in "bcde") + ".wild.test"  # 253 characters
# Without 192.0.2.1: the self-test expects that nothing answers there.
ADDRESSES = [f"{network}.{number}" for network in ("198.51.100", "192.0.2") for number in range(2, 255)]
MANY = {"twenty.test": 20, "thirty.test": 30, "hundred.test": 100, "three-hundred.test": 300, LONGEST: MAX_ADDRESSES}
MORE = "".join(f'  {{ name = "{name}", addresses = {json.dumps(ADDRESSES[:count])} }},\n' for name, count in MANY.items())
DESCRIBED = f"""{INTERNET.rstrip().removesuffix("]")}{MORE}
  {{ name = "mixed.test", cname = "Second.Elsewhere.TEST" }},
  {{ name = "second.elsewhere.test", cname = "THIRD.elsewhere.test" }},
  {{ name = "third.elsewhere.test", addresses = ["198.51.100.90"] }},
  {{ name = "forever.test", addresses = ["198.51.100.91"], ttl = 2147483647 }},
]
"""
LIST = LISTED + "\n".join(
    [*(name for name in MANY if name != LONGEST), "mixed.test:443,80", "forever.test", "under_score.test", "_first.test",
     "granted.test:443,8443/tls GET:/**", "*.below.test GET:/**"]
)  # fmt: skip
# Each host in capitals first: CoreDNS keeps the records of the first question.
SPELLED = (
    "https://GITHUB.COM/x", "https://github.com/x", "https://GitHub.com:443/x",
    "https://API.Anthropic.com/v1/models",
    "https://Granted.TEST/x", "https://granted.test:443/x", "https://granted.test:8443/x", "https://Sub.Below.Test/x",
    "https://ROTATING.test/x", *("https://rotating.test/x",) * 5, "https://Short.test:8443/x", "https://FOREVER.test/x",
    "https://MIXED.test/x", "https://mixed.test/x", "http://Mixed.Test:80/x", "http://PLAIN.test/x",
    "https://UNDER_score.test/x", "https://under_score.test/x", "https://_first.test/x", "https://x_y.wild.test/x",
    f"https://{LONG_LABEL.upper()}/x", f"https://{LONG_LABEL}/x", f"https://{LONGEST.upper()}/x", f"https://{LONGEST}/x",
    *(f"https://{name.capitalize()}/x" for name in MANY if name != LONGEST),
)  # fmt: skip
DOTTED_HTTP = ("http://plain.test./x", "http://Plain.Test.:80/x", "http://mixed.test./x")
DOTTED = (
    *DOTTED_HTTP, "https://github.com./x", "https://GitHub.com.:443/x", "https://granted.test./x",
    "https://Granted.test.:8443/x", "https://Sub.Below.Test./x", "https://wild.test./x", "https://short.test.:8443/x",
)  # fmt: skip
EACH = """
import json, sys
{setup}
failed = {{}}
for url in sys.argv[1:]:
    try:
        status = {get}
    except Exception as error:
        status = getattr(error, "code", repr(error))
    if status != 200:
        failed[url] = status
print(json.dumps(failed))
"""
NODE = """
const failed = {};
for (const url of process.argv.slice(1)) {
  const status = await fetch(url).then(answer => answer.status, error => String(error.cause ?? error));
  if (status !== 200) failed[url] = status;
}
console.log(JSON.stringify(failed));
"""
URLLIB = ["/usr/bin/python3", "-c", EACH.format(setup="import urllib.request", get="urllib.request.urlopen(url).status")]
CLIENTS = {
    "urllib": URLLIB,
    "requests": [PYTHON, "-c", EACH.format(setup="import requests", get="requests.get(url).status_code")],
    "node": ["node", "--input-type=module", "-e", NODE],
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(
        tmp_path_factory.mktemp("forms"), f"forms-{os.getpid()}", internet=DESCRIBED, listed=LIST,
        GH_PAT="ghp_the-operators-own", CLAUDE_CODE_OAUTH_TOKEN="sk-ant-oat01-the-operators-own",
    )  # fmt: skip
    yield running
    running.stop()


def failures(sandbox: Running, client: str, urls: tuple[str, ...]) -> dict[str, object]:
    """Returns the URLs that a client did not get, with the status or error."""
    if client == "curl":
        outputs = [word for _ in urls for word in ("-o", "/dev/null")]
        done = sandbox.agent("curl", "-sS", "-w", "%{http_code} %{url}\n", *outputs, *urls)
        good = [line.removeprefix("200 ") for line in done.stdout.splitlines() if line.startswith("200 ")]
        return {url: done.stdout + done.stderr for url in urls if url not in good}
    done = sandbox.agent(*CLIENTS[client], *urls)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("client", ["curl", *CLIENTS])
def test_a_listed_name_is_open_however_it_is_written(sandbox: Running, client: str) -> None:
    assert failures(sandbox, client, SPELLED) == {}


@pytest.mark.parametrize("client", ["curl", "requests", "node"])
def test_a_trailing_dot_is_ignored(sandbox: Running, client: str) -> None:
    """RFC 3986, 3.2.2. Some clients keep the dot in Host, and Node.js in the client hello, too."""
    assert failures(sandbox, client, DOTTED) == {}
    assert failures(sandbox, "urllib", DOTTED_HTTP) == {}  # it accepts no certificate for a name with a dot, from any host


def test_a_trailing_dot_in_a_client_hello_is_ignored(sandbox: Running) -> None:
    names = ("github.com.", "GitHub.com.", "granted.test.", "sub.below.test.", "wild.test.", "deep.er.wild.test.")
    resolve(sandbox, *names)
    assert [name for name in names if not is_server_hello(say(sandbox, "198.51.100.10", 443, hello(name)))] == []


@pytest.mark.parametrize("host", ["GitHub.com", "GITHUB.COM:443"])
def test_git_clones_from_a_host_in_capitals(sandbox: Running, host: str) -> None:
    done = sandbox.agent("git", "ls-remote", f"https://{host}/example/demo", "HEAD")
    assert done.stdout.endswith("\tHEAD\n"), done.stderr


# A program's own resolver: the number of addresses that it gets for a name, with a size in EDNS (-1: no EDNS) and flags.
RESOLVER = """
import json, socket, struct, sys
name, size, flags = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
query = struct.pack("!6H", 7, 0x0100, 1, 0, 0, size >= 0)
query += b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\\0" + struct.pack("!2H", 1, 1)
if size >= 0:
    query += b"\\0" + struct.pack("!HHIH", 41, size, flags, 0)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(20)
    sock.connect(("127.0.0.53", 53))
    sock.send(query)
    answer = sock.recv(65535)
most = max(size, 512)
assert len(answer) <= most, f"{len(answer)} bytes, at most {most} wanted"
if answer[2] & 2:
    with socket.create_connection(("127.0.0.53", 53), timeout=20) as sock, sock.makefile("rb") as stream:
        sock.sendall(struct.pack("!H", len(query)) + query)
        answer = stream.read(struct.unpack("!H", stream.read(2))[0])
    assert not answer[2] & 2, "truncated over TCP"
print(json.dumps(struct.unpack("!H", answer[6:8])[0]))
"""
DNSSEC = 0x8000


@pytest.mark.parametrize(("size", "flags"), [(-1, 0), (0, 0), (512, 0), (UDP_SIZE, 0), (4096, DNSSEC), (65535, 0)])
def test_an_answer_of_any_size_arrives(sandbox: Running, size: int, flags: int) -> None:
    """Whole in UDP if it fits into the size that the program names, otherwise truncated, and whole over TCP."""
    for name, count in MANY.items():
        for spelled in (name, name.upper()):
            assert sandbox.python(RESOLVER, spelled, size, flags) == min(count, MAX_ADDRESSES), spelled


def test_no_form_was_reported_as_refused(sandbox: Running) -> None:
    """The last test of this module."""
    assert [
        refused for refused in sandbox.events(Refused) if not refused.name.startswith(("private", "metadata", "lying"))
    ] == []
