"""What `explain METHOD URL` says beforehand is what the real gate does: 10 000 random requests over connections that stay open.

The answer shows it: that of the gate has the predicted sentence, any other comes from the pretend internet. The seed is fixed.
"""

from __future__ import annotations

import json
import os
import random
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pytest

from backend.contract.control import Explain, decode_reply, encode_request
from backend.settings import credentials_file
from network.gate import credentials
from tests.netns.sandbox import INTERNET, Running, start
from tests.netns.test_read_grants import LIST

pytestmark = pytest.mark.netns

SEED, REQUESTS, PIECE = 20_261_129, 10_000, 2_500
GIVEN = credentials.placeholders(credentials_file.shipped())
HEADERS = {"api.anthropic.com": f"Bearer {GIVEN['CLAUDE_CODE_OAUTH_TOKEN']}", "ghcr.io": ""}
OPERATORS = f"Bearer {GIVEN['GH_PAT']}"
FILES = ("uploads.github.com", "raw.githubusercontent.com", "gist.github.com", "ghcr.io", "lfs.github.com")
ENTRIES = LIST + "".join(f"{name}\n" for name in FILES if name not in LIST)
GRANTED = ("short.test", "alias.test", "x.wild.test", "open.wild.test", "track.wild.test")
HOSTS = (
    "api.github.com",
    "api.github.com",
    "api.github.com",
    "github.com",
    "github.com",
    "api.anthropic.com",
    *FILES,
    *GRANTED,
)
METHODS = ("GET", "GET", "HEAD", "POST", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
REPOSITORIES = (
    "example/demo",
    "EXAMPLE/Demo",
    "example/demo.git",
    "friend/any",
    "friend/any.wiki",
    "evil/repo",
    "evil/demo.git",
)
BELOW = (
    "", "issues", "issues/5", "issues/5/comments", "issues/5/lock", "pulls", "pulls/5", "pulls/5/merge",
    "pulls/5/update-branch", "pulls/5/reviews", "git/refs", "git/refs/heads/work", "git/refs/heads/a/b", "git/refs/tags/v1",
    "git/blobs", "contents/a/b.py", "releases", "releases/7", "releases/7/assets", "labels/bug", "merges", "hooks", "keys",
    "actions/runs/5/rerun-failed-jobs", "dispatches", "collaborators/x", "topics", "comments/5", "milestones",
    "branches/main/protection",
)  # fmt: skip
GIT = (
    "info/refs", "info/refs?service=git-upload-pack", "info/refs?service=git-receive-pack", "git-upload-pack",
    "git-receive-pack", "info/refs?SERVICE=GIT%2DRECEIVE%2DPACK", "info/refs?a=1&service=git-receive-pack",
    "info/lfs/objects/batch", "info/lfs/locks", "raw/main/a", "settings", "info/refs?x=%zz",
)  # fmt: skip
OTHERS = (
    "/", "/graphql", "/graphql/", "/GraphQL", "/graphql?x=1", "/user", "/user/repos", "/gists", "/v1/messages", "/v1/files",
    "/v1/models", "/v1/messages/count_tokens", "/v1/organizations", "/v1/organizations/x/users", "/api/eval/x",
    "/api/oauth/claude_cli", "/api/oauth/claude_cli/create_api_key", "/api/event_logging/batch", "/v2/",
    "/v2/a/blobs/uploads/", "/v1/items/7", "/v1/items/7/8", "/v1/track/a/b", "/v1/track", "/a?_method=PUT", "/a?x=_method",
    "/@scope%2fname", "/pool/./a", "/a?access_token=",
)  # fmt: skip
SPELLINGS = (
    ("/", "//"), ("/", "%2f"), ("e", "%65"), ("e", "%2565"), ("/", "/./"), ("/", "/../"), ("s", "%73"), ("i", "I"),
    ("s", "s;x"), ("s", "s%00"), ("s", "s%0a"), ("s", "s\\"), ("s", "s%"), ("s", "s%3f"),
    ("s", "s+%20"), ("s", "s/"), ("s", "s%ff"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """A request, which the agent makes with a small body if the method usually has one."""

    method: str
    host: str
    path: str

    @property
    def authorization(self) -> str:
        return "" if self.host in GRANTED else HEADERS.get(self.host, OPERATORS)


def made(dice: random.Random) -> Made:
    host = dice.choice(HOSTS)
    repository = dice.choice(REPOSITORIES)
    kind = dice.random()
    if host in ("github.com", "gist.github.com") and kind < 0.8:
        path = f"/{repository}/{dice.choice(GIT)}"
    elif host.endswith("github.com") and kind < 0.8:
        path = f"/repos/{repository}/{dice.choice(BELOW)}"
    else:
        path = dice.choice(OTHERS)
    if dice.random() < 0.25:
        old, new = dice.choice(SPELLINGS)
        at = dice.choice([-1, *(i for i, character in enumerate(path) if character == old and i)])
        path = path if at < 0 else path[:at] + new + path[at + 1 :]
    if dice.random() < 0.05:
        path += dice.choice(("/", "?", "?ref=main", "?token=x"))
    return Made(dice.choice(METHODS), host, path)


# Makes the requests of each host over one connection that stays open. Prints status and text of each answer.
MAKE = """
import json, re, socket, ssl, sys
context, open_, results = ssl.create_default_context(), {}, []
context.set_alpn_protocols(["http/1.1"])
def opened(host):
    sock = socket.create_connection((host, 443), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(sock, server_hostname=host)
def answered(sock, method):
    data = b""
    while b"\\r\\n\\r\\n" not in data:
        more = sock.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\\r\\n\\r\\n")
    status, head = int(head.split()[1]), head.lower()
    length = re.search(rb"\\r\\ncontent-length: *(\\d+)", head)
    close = b"\\r\\nconnection: close" in head
    if method == "HEAD" or status in (204, 304):
        return status, b"", close
    if length:
        while len(body) < int(length[1]):
            body += sock.recv(65536)
    elif b"\\r\\ntransfer-encoding: chunked" in head:
        while not body.endswith(b"0\\r\\n\\r\\n"):
            body += sock.recv(65536)
    else:
        close = True
        while more := sock.recv(65536):
            body += more
    return status, body, close
for one in json.load(open(sys.argv[1])):
    host, method, bodied = one["host"], one["method"], one["method"] not in ("GET", "HEAD", "OPTIONS", "TRACE")
    lines = [f"{method} {one['path']} HTTP/1.1", f"Host: {host}"]
    lines += [f"Authorization: {one['authorization']}"] * bool(one["authorization"])
    lines += ["Content-Type: application/json", "Content-Length: 2"] * bodied
    text = ("\\r\\n".join(lines) + "\\r\\n\\r\\n" + "{}" * bodied).encode()
    for fresh in (host not in open_, True):  # the other side may have closed a connection that was kept open
        if fresh:
            open_[host] = opened(host)
        try:
            open_[host].sendall(text)
            answer = answered(open_[host], method)
        except OSError:
            answer = None
        if answer is not None:
            break
    if answer is None or answer[2]:
        open_.pop(host).close()
    results.append(["none", ""] if answer is None else [answer[0], answer[1].decode("utf-8", "replace")])
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(
        tmp_path_factory.mktemp("foreseen"), f"foreseen-{os.getpid()}", internet=INTERNET, listed=ENTRIES,
        REPO_URL="https://github.com/example/demo", CODETAINER_PUSH="friend/*", GH_PAT="ghp_own",
        CLAUDE_CODE_OAUTH_TOKEN="sk-ant-oat01-own",
    )  # fmt: skip
    yield running
    running.stop()


def predicted(sandbox: Running, requests: list[Made]) -> list[tuple[str, bool]]:
    """The sentence of the refusal that `explain` foresees, "" for none, and whether it depends on more."""
    found = []
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(sandbox.paths.control))
        stream = control.makefile("rw")
        for one in requests:
            stream.write(encode_request(Explain(one.method, f"https://{one.host}{one.path}")) + "\n")
            stream.flush()
            reply = decode_reply(stream.readline())
            assert reply.ok, reply
            assert reply.data["open"] is ("answer" not in reply.data), reply
            found.append((str(reply.data.get("answer", "")), bool(reply.data.get("depends"))))
    return found


def happened(sandbox: Running, requests: list[Made]) -> list[tuple[int | str, str]]:
    """Status and text of the answers, with the message of a refusal in JSON as text."""
    (sandbox.paths.root / "tmp/requests").write_text(
        json.dumps([{**asdict(one), "authorization": one.authorization} for one in requests])
    )
    done = sandbox.agent("/usr/bin/python3", "-I", "-c", MAKE, "/tmp/requests", seconds=300)
    assert done.returncode == 0, done.stderr
    return [(status, text) for status, text in json.loads(done.stdout)]


def message(text: str) -> str:
    """The sentence of an answer of the gate, "" for any other."""
    if "codetainer: " not in text:
        return ""
    if text.startswith("{"):
        body = json.loads(text)
        text = body["message"] if "message" in body else body["errors"][0]["message"]
    return text.removeprefix("codetainer: ").rstrip("\n")


def test_what_is_foreseen_happens(sandbox: Running) -> None:
    dice = random.Random(SEED)
    kinds: Counter[str] = Counter()
    wrong = []
    for _ in range(0, REQUESTS, PIECE):
        requests = [made(dice) for _ in range(PIECE)]
        for one, (sentence, depends), (status, text) in zip(
            requests, predicted(sandbox, requests), happened(sandbox, requests), strict=True
        ):
            got = message(text)
            kind = "refused" if sentence else "depends" if depends else "passes"
            kinds[kind] += 1
            # An answer to HEAD has no text: the pretend internet answers 200 or 404.
            silent = one.method == "HEAD" and (status in (400, 403)) is bool(sentence)
            if not depends and not silent and got != sentence:
                wrong.append(f"{one}: {status} {got or text[:80]!r}, explained as: {sentence or 'passes'}")
    assert not wrong, f"seed {SEED}: {len(wrong)} of {REQUESTS}:\n" + "\n".join(wrong[:15])
    assert {kind: number > REQUESTS / 20 for kind, number in kinds.items()} == dict.fromkeys(
        ("refused", "depends", "passes"), True
    )
    assert kinds.total() == REQUESTS
