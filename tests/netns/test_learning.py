"""A learning run with real clients: they work at the first try, and the allowlist that it writes permits that and no more.

Two boots: one learns, the other uses the result. All tests look at what was collected from both.

Length: the work and the attacks of one run.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.contract.events import BootFinished, BootState, Event, Learned, ProofFinished, Reason, Refused
from network import allowlist
from tests.netns.sandbox import CODETAINER, PATIENCE, Running, eventually, start

pytestmark = pytest.mark.netns

LIST = "api.anthropic.com\ngithub.com read\n"
TOKEN = "ghp_real-token"
NAMES = (
    "new.test", "plain.test", "git.test", "npm.test", "pip.test", "socket.test", "pinned.test", "evil.test", "cut.test",
    "looked.test", "revoked.test", "token.test",
)  # fmt: skip
SPECIAL = {"private.test": "192.168.7.7", "metadata.test": "169.254.169.254", "loopback.test": "127.0.0.1"}
INTERNET = """
resolver = "203.0.113.53"
git = { host = "git.test", repository = "example/demo" }
api = { host = "api.anthropic.com" }
name = [
  { name = "api.anthropic.com", addresses = ["198.51.100.20"] },
  { name = "github.com", addresses = ["198.51.100.10"] },
  { name = "api.github.com", addresses = ["198.51.100.11"] },
""" + "".join(
    f'  {{ name = "{name}", addresses = ["{address}"] }},\n'
    for name, address in [*((name, f"198.51.100.{40 + number}") for number, name in enumerate(NAMES)), *SPECIAL.items()]
) + "]\n"  # fmt: skip

# A client that trusts only authorities of its own. It asks again as clients do; its own are not in the pretend internet, so it
# then trusts any.
PINNED = """
import socket, ssl
def get(context):
    with socket.create_connection(("pinned.test", 443), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="pinned.test") as sock:
            sock.sendall(b"GET /a HTTP/1.1\\r\\nHost: pinned.test\\r\\nConnection: close\\r\\n\\r\\n")
            return sock.recv(100).startswith(b"HTTP/1.1 200")
try:
    get(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
except ssl.SSLError:
    pass
any_authority = ssl.create_default_context()
any_authority.check_hostname, any_authority.verify_mode = False, ssl.CERT_NONE
raise SystemExit(0 if get(any_authority) else 1)
"""
# Renames itself, asks for a name, sends paths, and breaks off a request before the host can answer.
ATTACK = r"""
import ctypes, socket, ssl
ctypes.CDLL(None).prctl(15, b"x\nin.test open\n", 0, 0, 0)
context = ssl.create_default_context()
def send(name, text, answered=True):
    with socket.create_connection((name, 443), timeout=10) as plain, context.wrap_socket(plain, server_hostname=name) as sock:
        sock.sendall(text.encode())
        if answered:
            sock.recv(100)
for path in ("/%0Ain.test%20open", "/a#in.test", "/%23in.test", "/x,in.test", "/" + "a" * 2000):
    send("evil.test", f"POST {path} HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
send("evil.test", "GET / HTTP/1.1\r\nHost: in.test\r\nConnection: close\r\n\r\n")
send("cut.test", "POST /a HTTP/1.1\r\nHost: cut.test\r\nContent-Length: 100\r\n\r\nhello", answered=False)
socket.getaddrinfo("looked.test", 443)
for name in ("in.test\nin.test", "in.test open", "192.0.2.1"):
    try:
        socket.getaddrinfo(name, 443)
    except (OSError, UnicodeError):
        pass
"""
NPM = (
    "export npm_config_registry=https://npm.test/registry/npm/ npm_config_fetch_retries=0; "
    """echo '{"name": "mine", "version": "1.0.0"}' >package.json;"""
)
HEADERS = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)
UPGRADE = " ".join(f"-H '{header}'" for header in HEADERS)
# What must work at the first try in the learning run, and again with its result.
WORK = {
    "curl": "curl -sSf https://new.test/a/1",
    "a write": "curl -sSf -d hello https://new.test/v1/items/42/tags",
    "plain HTTP": "curl -sSf http://plain.test/x",
    "git": "git clone -q https://git.test/example/demo x && test -d x/.git",
    "npm": f"{NPM} npm install thing && test -f node_modules/thing/index.js",
    "pip": "/usr/bin/python3 -m pip download --disable-pip-version-check --no-cache-dir "
    "--index-url https://pip.test/registry/pip/simple thing",
    "a WebSocket": f"curl -sSf --max-time 20 {UPGRADE} https://socket.test/chat",
    "a trailing dot": "curl -sSf https://Git.test./x http://Plain.test./x",
    "a pinning client": f"/usr/bin/python3 -I -c '{PINNED}'",
}
# What must not work with the result.
BEYOND = {
    "another write": "curl -sSf -d hello https://new.test/v1/users/42",
    "a write in another place": "curl -sSf -d hello https://new.test/v1/items/42",
    "a write where only reading was used": "curl -sSf -d hello https://npm.test/registry/npm/thing",
    "a publication": f"{NPM} echo //npm.test/registry/npm/:_authToken=of-a-stranger >.npmrc; npm publish --force",
    "a push": "git clone -q https://git.test/example/demo x && cd x && git commit -q --allow-empty -m x && "
    "git -c credential.helper= push -q https://x:y@git.test/example/demo HEAD:refs/heads/x",
    "TLS where plain HTTP was used": "curl -sSf https://plain.test/x",
    "plain HTTP where TLS was used": "curl -sSf http://new.test/a/1",
    "a name that nothing answered for": "curl -sSf https://looked.test/",
    "a name that was never asked for": "curl -sSf https://in.test/",
}  # fmt: skip


def run(sandbox: Running, command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command as the agent in an empty folder."""
    return sandbox.agent("bash", "-c", f'cd "$(mktemp -d)"; {command}', seconds=120)


@dataclass(frozen=True, slots=True)
class Run:
    """What a learning run did. `file` is what `up` wrote, `said` what it printed."""

    work: dict[str, subprocess.CompletedProcess[str]]
    refused: dict[str, subprocess.CompletedProcess[str]]
    screens: dict[str, str]
    learned: str
    file: str
    said: str
    events: list[Event]
    seen: list[dict[str, object]]

    def of(self, name: str) -> list[str]:
        """The lines of the file about a name, without comments."""
        return [line for line in self.file.splitlines() if line.startswith((f"{name} ", f"{name}:"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("learning")


@pytest.fixture(scope="module")
def learning(folder: Path) -> Run:
    file = folder / "learned.conf"
    sandbox = start(folder, f"learning-{os.getpid()}", "--learn", str(file), listed=LIST, internet=INTERNET, GH_PAT=TOKEN)
    work = {name: run(sandbox, command) for name, command in WORK.items()}
    refused = {name: run(sandbox, f"curl -sS --max-time 10 https://{name}/") for name in SPECIAL}
    refused["an address"] = run(sandbox, "curl -sSk --max-time 10 https://198.51.100.200/")
    refused["another port"] = run(sandbox, "curl -sS --max-time 10 https://new.test:8443/")
    refused["a host with a credential"] = run(sandbox, "curl -sS --max-time 10 https://api.github.com/user")
    refused["no such name"] = run(sandbox, "curl -sS --max-time 10 https://absent.test/")
    run(sandbox, 'curl -sS -H "Authorization: Bearer $GH_PAT" https://token.test/')
    attack = sandbox.agent("/usr/bin/python3", "-I", "-c", ATTACK)
    assert attack.returncode == 0, attack.stderr
    run(sandbox, "curl -sS https://revoked.test/")
    revoked = sandbox.codetainer("revoke", "revoked.test")
    assert revoked.returncode == 0, revoked.stderr
    refused["a name that the operator has closed"] = run(sandbox, "curl -sS --max-time 10 https://revoked.test/")
    eventually("the last request is recorded", lambda: "token.test:443 read" in sandbox.codetainer("learned").stdout)
    status = sandbox.agent(
        "/opt/codetainer/venv/bin/python3", "-I", "-S", "/opt/codetainer/lib/backend/hooks/statusline.py",
        "/tmp/report.json", "/run/codetainer/events.jsonl",
    )  # fmt: skip
    eventually("the self-test has run", lambda: sandbox.events(ProofFinished))
    screens = {
        "status": sandbox.codetainer("status").stdout, "walls": sandbox.codetainer("status", "--walls").stdout,
        "metrics": sandbox.codetainer("metrics").stdout, "status line": status.stdout,
        "lines": (folder / "out").read_text(), "explain": sandbox.codetainer("explain", "new.test").stdout,
        "explain more": sandbox.codetainer("explain", "not-asked.test").stdout,
        "allowed": sandbox.codetainer("allowed").stdout,
        "output": sandbox.root("sh", "-c", "cd /tmp && codetainer learned --output x && codetainer learned --output x").stderr,
    }  # fmt: skip
    learned = sandbox.codetainer("learned").stdout
    found = sandbox.events()
    sandbox.stop()
    seen = [json.loads(line) for line in sandbox.seen.read_text().splitlines()]
    return Run(work, refused, screens, learned, file.read_text(), (folder / "err").read_text(), found, seen)


@pytest.fixture(scope="module")
def again(learning: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A sandbox with the result, without a learning run."""
    sandbox = start(
        tmp_path_factory.mktemp("again"), f"again-{os.getpid()}", listed=learning.file, internet=INTERNET, GH_PAT=TOKEN
    )
    yield sandbox
    sandbox.stop()


@pytest.mark.parametrize("what", WORK)
def test_work_succeeds_at_the_first_try(learning: Run, what: str) -> None:
    done = learning.work[what]
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("what", WORK)
def test_the_result_permits_the_same_work(again: Running, what: str) -> None:
    done = run(again, WORK[what])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("what", BEYOND)
def test_the_result_permits_nothing_else(again: Running, what: str) -> None:
    done = run(again, BEYOND[what])
    assert done.returncode != 0, done.stdout


def test_grants_are_as_small_as_what_was_used(learning: Run) -> None:
    assert learning.of("new.test") == ["new.test:443 read POST:/v1/items/*/tags"]
    assert learning.of("plain.test") == ["plain.test:80 read"]
    assert learning.of("git.test") == ["git.test:443 read POST:/example/demo/git-upload-pack"]
    assert learning.of("pip.test") == ["pip.test:443 read"]
    assert learning.of("socket.test") == ["socket.test:443 open"]
    assert learning.of("pinned.test") == ["pinned.test:443 open"]
    head = learning.file.partition("# ---")[0]
    assert "socket.test: a WebSocket or another protocol" in head
    assert "pinned.test: a client refused the gate's certificate" in head


def test_who_asked_is_named(learning: Run) -> None:
    assert "# new.test: by curl; GET 1, POST 1; " in learning.file
    assert "# git.test: by git-remote-http" in learning.file


def test_the_operators_list_stays(learning: Run) -> None:
    assert "\napi.anthropic.com\n" in learning.file  # the self-test uses it
    assert "\ngithub.com read   # no connection in this run\n" in learning.file


def test_what_must_stay_closed_stays_closed(learning: Run) -> None:
    assert {name: done.returncode for name, done in learning.refused.items() if done.returncode == 0} == {}
    entries = {entry.pattern for entry in allowlist.parse(learning.file, "learned.conf").allowlist.entries}
    known = {"api.anthropic.com", "github.com", *NAMES} - {"cut.test", "looked.test", "revoked.test"}
    assert entries == known
    for name in ("cut.test", "looked.test"):
        assert f"#   {name}\n" in learning.file.partition("nothing answered")[2]
    assert "#   revoked.test\n" in learning.file.partition("closed by the operator")[2]
    assert "198.51.100.200:443" in learning.file
    assert "new.test:8443: port not listed" in learning.file
    assert "private.test: private or metadata address" in learning.file


def test_the_agent_can_inject_nothing(learning: Run) -> None:
    assert learning.of("in.test") == []
    assert not any(line.startswith("in.test") for line in learning.file.splitlines())
    assert learning.file.isascii()
    (line,) = learning.of("evil.test")
    assert line == "evil.test:443 open"  # a path with an encoded newline can be read in two ways
    assert "\x1b" not in learning.file
    (event,) = [e for e in learning.events if isinstance(e, Learned) and e.name == "looked.test"]
    assert event.entry == ""


def test_credentials_stay_where_they_belong(learning: Run) -> None:
    credentials = {str(one.get("credential", "")) for one in learning.seen if one.get("host") == "token.test"}
    assert len(credentials) == 1
    assert TOKEN not in "".join(credentials)
    assert not [one for one in learning.seen if one.get("host") == "api.github.com"]
    refusals = [e for e in learning.events if isinstance(e, Refused) and e.name == "api.github.com"]
    assert {refusal.reason for refusal in refusals} == {Reason.NOT_LISTED}


@pytest.mark.parametrize("place", ["status", "status line", "lines"])
def test_the_run_is_visible(learning: Run, place: str) -> None:
    assert "LEARNING RUN" in learning.screens[place]


def test_the_screens_of_a_learning_run(learning: Run) -> None:
    assert "codetainer_learning 1.0" in learning.screens["metrics"]
    assert "reduced" in learning.screens["walls"]
    assert "FAILED" not in learning.screens["walls"]
    assert "learning run" in learning.screens["explain"]
    assert "when a program asks for it" in learning.screens["explain more"]
    assert "new.test" in learning.screens["allowed"]
    assert "cannot write" in learning.screens["output"]  # the second time, as the file exists
    proofs = [event for event in learning.events if isinstance(event, ProofFinished)]
    assert {(proof.failed, bool(proof.reduced)) for proof in proofs} == {((), True)}
    assert [e.state for e in learning.events if isinstance(e, BootFinished)] == [BootState.READY]


def test_up_writes_the_same_and_says_where(learning: Run, folder: Path) -> None:
    assert f"wrote {folder / 'learned.conf'}" in learning.said
    printed, written = (allowlist.parse(text, "f").allowlist.entries for text in (learning.learned, learning.file))
    assert [str(entry) for entry in printed] == [str(entry) for entry in written]


@pytest.mark.parametrize(
    ("more", "problem"),
    [({"CLAUDE_PROMPT": "do it"}, "CODETAINER_LEARN=force"), ({"CODETAINER_GATE": "off"}, "needs the gate")],
)
def test_a_run_that_nobody_watches_does_not_begin(tmp_path: Path, more: dict[str, str], problem: str) -> None:
    done = subprocess.run(
        [*CODETAINER, "up", "--net", "pretend", "--learn", str(tmp_path / "x.conf"), "--", "true"],
        capture_output=True, text=True, timeout=PATIENCE, check=False, env={**os.environ, **more},
    )  # fmt: skip
    assert done.returncode == 2
    assert problem in done.stderr
    assert not (tmp_path / "x.conf").exists()


def test_an_existing_file_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "x.conf"
    file.write_text("mine")
    done = subprocess.run(
        [*CODETAINER, "up", "--net", "pretend", "--learn", str(file), "--", "true"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode, file.read_text()) == (2, "mine")
    assert "exists already" in done.stderr
