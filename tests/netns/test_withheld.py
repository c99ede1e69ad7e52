"""A client that withholds the rest of a request delays neither its refusal nor the operator's report of it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator

import pytest

from backend.contract.events import Reason, Refused
from backend.settings import credentials_file
from network.gate import credentials
from tests.netns.sandbox import LISTED, Begin, Running, eventually

GIVEN = credentials.placeholders(credentials_file.shipped())
GITHUB = f"Authorization: Bearer {GIVEN['GH_PAT']}"
CLAUDE = f"Authorization: Bearer {GIVEN['CLAUDE_CODE_OAUTH_TOKEN']}"

# Sends each beginning of a request [host, text] over TLS, and leaves all connections open in the background until the file in
# argv[2] exists, for two minutes at most. Prints a line of JSON when all is sent.
HOLD = """
import json, os, socket, ssl, sys, time
held = []
for host, text in json.load(open(sys.argv[1])):
    sock = socket.create_connection((host, 443), timeout=30)
    held.append(ssl.create_default_context().wrap_socket(sock, server_hostname=host))
    held[-1].sendall(text.encode("latin-1"))
print(json.dumps(len(held)), flush=True)
if os.fork() == 0:
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    end = time.monotonic() + 120
    while not os.path.exists(sys.argv[2]) and time.monotonic() < end:
        time.sleep(0.1)
"""


READING = LISTED.replace("short.test:443,8443", "short.test read")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, begin: Begin) -> Iterator[Running]:
    running = begin(
        tmp_path_factory.mktemp("withheld"), f"withheld-{os.getpid()}", listed=READING,
        GH_PAT="ghp_the-operators-own",
        CLAUDE_CODE_OAUTH_TOKEN="sk-ant-oat01-the-operators-own", REPO_URL="https://github.com/example/demo",
    )  # fmt: skip
    yield running
    running.stop()


def begun(method: str, path: str, host: str, *headers: str, body: str = "", length: int = 100_000_000) -> list[str]:
    """The beginning of a request, whose body is announced with more bytes than it has."""
    head = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {length}", *headers]
    return [host, "\r\n".join([*head, "", ""]) + body]


def pkt(text: str) -> str:
    return f"{len(text) + 4:04x}{text}"


DELETES = pkt(f"{'1' * 40} {'0' * 40} refs/heads/main\0 report-status side-band-64k") + "0000"
WITHHELD = {
    "a foreign repository": (
        begun("POST", "/repos/stranger/elsewhere/issues", "api.github.com", GITHUB), Reason.PUSH_SCOPE,
        "POST issues in stranger/elsewhere",
    ),
    "a push elsewhere": (
        begun("POST", "/stranger/elsewhere/git-receive-pack", "github.com", GITHUB), Reason.PUSH_SCOPE, "stranger/elsewhere"
    ),
    "a foreign credential": (begun("POST", "/repos/example/demo/issues", "api.github.com", "Authorization: Bearer x"),
                             Reason.NOT_OURS, ""),
    "not granted": (begun("PUT", "/repos/example/demo/topics", "api.github.com", GITHUB), Reason.NOT_GRANTED,
                    "PUT topics in example/demo"),
    "a deletion, with the end of the push withheld": (
        begun("POST", "/example/demo/git-receive-pack", "github.com", GITHUB, body=DELETES + "x" * 200_000),
        Reason.DEFAULT_BRANCH, "main",
    ),
    "a write at a host that grants reading": (
        begun("POST", "/x", "short.test"), Reason.REQUEST, "POST:/x"
    ),
    "a tool of the model": (
        begun("POST", "/v1/messages", "api.anthropic.com", CLAUDE, "Content-Type: application/json",
              body='{"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}], "messages": ['), Reason.MODEL,
        "the tool web_fetch_20250910",
    ),
}  # fmt: skip


def test_a_withheld_body_is_refused_and_reported_with_its_reason(sandbox: Running) -> None:
    (sandbox.paths.root / "tmp/begun").write_text(json.dumps([request for request, _, _ in WITHHELD.values()]))
    assert sandbox.python(HOLD, "/tmp/begun", "/tmp/withheld-enough") == len(WITHHELD)

    def unreported() -> list[str]:
        found = {(r.name, r.reason, r.detail) for r in sandbox.events(Refused)}
        return [what for what, (begun, reason, detail) in WITHHELD.items() if (begun[0], reason, detail) not in found]

    try:
        eventually("all are in the journal", lambda: not unreported())
    except AssertionError as error:
        raise AssertionError(
            f"{unreported()} not in {[(r.name, r.reason, r.detail) for r in sandbox.events(Refused)]}"
        ) from error
    assert not (sandbox.paths.root / "tmp/withheld-enough").exists()
    (sandbox.paths.root / "tmp/withheld-enough").touch()
    paths = {request[1].split(" ")[1] for request, _, _ in WITHHELD.values()}
    arrived = [json.loads(line).get("path") for line in sandbox.seen.read_text().splitlines()]
    assert paths.isdisjoint(arrived)

    # The gate logs no second line when the requests end. This request is logged behind those.
    done = sandbox.agent("curl", "-sS", "-o", "/dev/null", "-X", "POST", "https://short.test/after")
    assert done.returncode == 0, done.stderr
    eventually("it is in the journal", lambda: any(r.detail == "POST:/after" for r in sandbox.events(Refused)))
    counts = Counter[tuple[str, str, str]]()
    for one in sandbox.events(Refused):
        counts[one.name, one.reason, one.detail] += one.count
    assert [what for what, (begun, reason, detail) in WITHHELD.items() if counts[begun[0], reason, detail] != 1] == []
