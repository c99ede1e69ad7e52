"""The pretend internet alone: its resolver, git host, API and log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backend.sandbox.first_process import FirstProcess
from backend.sandbox.pretend import description, process
from backend.sandbox.pretend.certificates import Authority
from tests.netns.sandbox import PATIENCE, eventually

pytestmark = pytest.mark.netns

INTERNET = """
resolver = "203.0.113.53"
git = { host = "github.com", repository = "example/demo" }
api = { host = "api.anthropic.com" }
name = [
  { name = "github.com", addresses = ["198.51.100.10"] },
  { name = "api.anthropic.com", addresses = ["198.51.100.20"], ttl = 7 },
  { name = "alias.test", cname = "github.com", ttl = 9 },
  { name = "rotating.test", rotate = "198.51.100.64/30", ttl = 0 },
  { name = "many.test", addresses = [MANY] },
  { name = "slow.test", addresses = ["198.51.100.30"], latency_ms = 300 },
  { name = "files.test", addresses = ["198.51.100.31"], folder = "FOLDER" },
]
""".replace("MANY", ", ".join(f'"192.0.2.{number}"' for number in range(1, 200)))

ASK = """
import json, sys
import dns.message, dns.query, dns.rdatatype
name, kind, over = sys.argv[1:]
query = dns.message.make_query(name, kind)
answer = getattr(dns.query, over)(query, "203.0.113.53", timeout=30)
rows = [[r.name.to_text(), r.ttl, dns.rdatatype.to_text(r.rdtype), sorted(d.to_text() for d in r)] for r in answer.answer]
print(json.dumps({"rcode": answer.rcode(), "truncated": bool(answer.flags & 0x200), "rows": rows, "seconds": answer.time}))
"""
# Connects each name to its address without DNS, because clients would use this machine's resolver.
FETCH = """
import http.client, json, socket, ssl, sys
host, address, method, path, body, headers = sys.argv[1:7]
context = ssl.create_default_context(cafile=sys.argv[7])
connection = http.client.HTTPSConnection(host, timeout=30, context=context)
connection.sock = context.wrap_socket(socket.create_connection((address, 443), 10), server_hostname=host)
connection.request(method, path, body or None, json.loads(headers))
answer = connection.getresponse()
print(json.dumps({"status": answer.status, "type": answer.getheader("Content-Type"), "body": answer.read().decode()}))
"""
# Many first connections to each of many names, all at once. Threads of one process, because they start closer together.
FIRST_HANDSHAKES = """
import json, socket, ssl, sys, threading
authority, names, clients = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
context = ssl.create_default_context(cafile=authority)
together, failures = threading.Barrier(names * clients), []
def connect(name, port):
    try:
        plain = socket.create_connection(("192.0.2.9", port), 30)
        together.wait(30)
        with context.wrap_socket(plain, server_hostname=name) as connection:
            subjects = [value for kind, value in connection.getpeercert()["subjectAltName"]]
            assert subjects == [name], subjects
    except Exception as error:
        failures.append(f"{name}: {type(error).__name__}: {error}")
threads = [threading.Thread(target=connect, args=(f"first{number}.test", (443, 8443)[client % 2]))
           for number in range(names) for client in range(clients)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(failures))
"""


@dataclass(frozen=True, slots=True)
class Internet:
    first: FirstProcess
    seen: Path
    certificate: Path

    def run(self, *argv: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", f"--net=/proc/{self.first.pid}/ns/net", "--", *argv],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=cwd,
            env={"PATH": os.defpath, **environment},
        )  # fmt: skip

    def python(self, code: str, *arguments: str) -> Any:
        done = self.run(sys.executable, "-I", "-c", code, *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def ask(self, name: str, kind: str = "A", over: str = "udp") -> Any:
        return self.python(ASK, name, kind, over)

    def api(self, path: str, body: object = "", method: str = "POST", **headers: str) -> Any:
        text = body if isinstance(body, str) else json.dumps(body)
        arguments = ("api.anthropic.com", "198.51.100.20", method, path, text, json.dumps(headers), str(self.certificate))
        return self.python(FETCH, *arguments)

    def recorded(self, **values: object) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.seen.read_text().splitlines()]
        return [line for line in lines if all(line.get(key) == value for key, value in values.items())]


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    folder = tmp_path_factory.mktemp("internet")
    authority, first = Authority(), process.new()
    (folder / "ca.pem").write_bytes(authority.pem)
    with (folder / "seen").open("w") as seen:
        (folder / "served").mkdir()
        (folder / "served/page.html").write_text("a file of this machine")
        text = INTERNET.replace("FOLDER", str(folder / "served"))
        process.start(first, description.parse(text, "test"), seen.fileno(), authority)
    yield Internet(first, folder / "seen", folder / "ca.pem")
    pid = first.pid
    first.end(0)
    assert not Path(f"/proc/{pid}/ns/net").exists()


@pytest.mark.parametrize(
    ("path", "answer"), [("page.html", "a file of this machine 200 text/html"), ("other", "not found\n 404 text/plain")]
)
def test_a_name_serves_a_folder(internet: Internet, path: str, answer: str) -> None:
    url = ["--connect-to", "::198.51.100.31:", f"https://files.test/{path}"]
    done = internet.run("curl", "-sS", "--cacert", str(internet.certificate), "-w", " %{http_code} %{content_type}", *url)
    assert done.stdout == answer, done.stderr


def rows(answer: Any) -> list[Any]:
    assert answer["rcode"] == 0
    return list(answer["rows"])


@pytest.mark.parametrize("over", ["udp", "tcp"])
def test_a_name_has_its_address_and_ttl(internet: Internet, over: str) -> None:
    assert rows(internet.ask("API.anthropic.com", over=over)) == [["API.anthropic.com.", 7, "A", ["198.51.100.20"]]]


def test_an_alias_is_followed_within_one_answer(internet: Internet) -> None:
    assert rows(internet.ask("alias.test")) == [
        ["alias.test.", 9, "CNAME", ["github.com."]],
        ["github.com.", 60, "A", ["198.51.100.10"]],
    ]


def test_an_address_changes_with_every_answer(internet: Internet) -> None:
    addresses = [rows(internet.ask("rotating.test"))[0][3][0] for _ in range(3)]
    assert addresses == ["198.51.100.65", "198.51.100.66", "198.51.100.65"]


def test_an_answer_too_long_for_a_datagram_is_fetched_over_tcp(internet: Internet) -> None:
    assert internet.ask("many.test")["truncated"]
    assert len(rows(internet.ask("many.test", over="tcp"))[0][3]) == 199


def test_latency_and_missing_names(internet: Internet) -> None:
    assert internet.ask("slow.test")["seconds"] >= 0.3
    assert internet.ask("nobody.test")["rcode"] == 3
    assert rows(internet.ask("github.com", "AAAA")) == []


def test_every_query_is_counted_by_name_and_type(internet: Internet) -> None:
    def counted() -> tuple[int, int]:
        return len(internet.recorded(kind="dns", name="counted.test", type="A")), len(
            internet.recorded(kind="dns", name="counted.test", type="TXT")
        )

    assert counted() == (0, 0)
    for kind, over in (("A", "udp"), ("A", "tcp"), ("TXT", "udp")):
        internet.ask("counted.test", kind, over)
    assert counted() == (2, 1)


def test_a_malformed_query_is_recorded_and_does_no_harm(internet: Internet) -> None:
    internet.run("bash", "-c", "printf 'not a query' > /dev/udp/203.0.113.53/53")
    eventually("it is recorded", lambda: internet.recorded(kind="malformed"))
    assert rows(internet.ask("github.com"))


def test_a_repository_can_be_cloned_fetched_and_pushed_to(internet: Internet, tmp_path: Path) -> None:
    options = ("-c", f"http.sslCAInfo={internet.certificate}", "-c", "http.curloptResolve=github.com:443:198.51.100.10",
               "-c", "user.name=x", "-c", "user.email=x@example.com")  # fmt: skip

    def git(*argv: str, cwd: Path = tmp_path) -> str:
        done = internet.run("git", *options, *argv, cwd=cwd, HOME=str(tmp_path))
        assert done.returncode == 0, done.stderr
        return done.stdout

    git("clone", "https://x-access-token:token@github.com/example/demo", "one")
    assert len(git("log", "--oneline", cwd=tmp_path / "one").splitlines()) == 2
    git("clone", "https://github.com/example/demo.git", "two")
    git("commit", "--allow-empty", "-m", "from one", cwd=tmp_path / "one")
    git("push", "origin", "HEAD", cwd=tmp_path / "one")
    git("pull", cwd=tmp_path / "two")
    assert "from one" in git("log", "--oneline", cwd=tmp_path / "two")
    pushes = internet.recorded(kind="http", path="/example/demo/git-receive-pack")
    assert pushes and pushes[-1]["credential"].startswith("Basic ")


def test_any_other_site_answers_with_a_certificate_of_its_name(internet: Internet) -> None:
    curl = ("curl", "-sS", "--cacert", str(internet.certificate))
    assert internet.run(*curl, "--resolve", "any.test:443:192.0.2.9", "https://any.test/x").stdout == "any.test answers /x\n"
    assert internet.run(*curl, "--resolve", "any.test:80:192.0.2.9", "http://any.test/x").stdout == "any.test answers /x\n"
    untrusted = internet.run("curl", "-sS", "--resolve", "any.test:443:192.0.2.9", "https://any.test/x")
    assert untrusted.returncode != 0
    assert "certificate" in untrusted.stderr


def test_many_first_connections_to_many_names_at_once_all_succeed(internet: Internet) -> None:
    """Also over two ports, whose servers create certificates at the same time."""
    assert internet.python(FIRST_HANDSHAKES, str(internet.certificate), "40", "6") == []


def test_the_name_in_a_client_hello_is_never_used_as_a_path(tmp_path: Path) -> None:
    Authority().context("no/such/folder.test", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_echoes(internet: Internet) -> None:
    done = internet.run("bash", "-c", "exec 3<>/dev/tcp/198.51.100.77/22; echo hello >&3; head -n 1 <&3")
    assert done.stdout == "hello\n"
    assert internet.recorded(kind="connection", port=22, address="198.51.100.77")


BASH = {"name": "Bash", "input_schema": {"type": "object"}}
QUESTION = {"role": "user", "content": [{"type": "text", "text": "what is in the repository?"}]}


def test_a_message_is_answered_and_recorded_with_its_credential(internet: Internet) -> None:
    body = {"model": "claude-test", "max_tokens": 10, "messages": [QUESTION]}
    answer = internet.api("/v1/messages", body, **{"x-api-key": "key-of-the-test"})
    assert answer["status"] == 200
    message = json.loads(answer["body"])
    assert (message["role"], message["model"], message["stop_reason"]) == ("assistant", "claude-test", "end_turn")
    (line,) = internet.recorded(kind="http", credential="key-of-the-test")
    assert (line["model"], line["stream"], line["asked"]) == ("claude-test", False, "what is in the repository?")


def test_a_turn_uses_a_tool_once_and_ends(internet: Internet) -> None:
    asked: dict[str, Any] = {"model": "m", "messages": [QUESTION], "tools": [BASH]}
    first = json.loads(internet.api("/v1/messages", asked)["body"])
    assert first["stop_reason"] == "tool_use"
    (call,) = first["content"]
    assert call["name"] == "Bash" and call["input"]["command"]
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "ok"}]}
    asked["messages"] += [{"role": "assistant", "content": first["content"]}, result]
    second = json.loads(internet.api("/v1/messages", asked)["body"])
    assert second["stop_reason"] == "end_turn"
    assert second["id"] != first["id"]


def test_a_streamed_message_arrives_as_events_in_order(internet: Internet) -> None:
    answer = internet.api("/v1/messages", {"model": "m", "stream": True, "messages": [QUESTION], "tools": [BASH]})
    assert answer["type"] == "text/event-stream"
    blocks = [block.split("\n") for block in answer["body"].strip().split("\n\n")]
    data = [json.loads(block[1].removeprefix("data: ")) for block in blocks]
    assert [block[0].removeprefix("event: ") for block in blocks] == [event["type"] for event in data]
    assert [event["type"] for event in data] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert json.loads(data[2]["delta"]["partial_json"])["command"]
    assert data[4]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize("body", ["no json", "[]", '{"messages": 7}', '{"messages": [{"content": [null]}], "tools": [7]}'])
def test_nonsense_is_answered_and_does_no_harm(internet: Internet, body: str) -> None:
    assert internet.api("/v1/messages", body)["status"] in (200, 400)
    assert json.loads(internet.api("/v1/messages/count_tokens", {"messages": []})["body"])["input_tokens"] > 0
    assert internet.api("/", method="HEAD")["status"] == 200


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from backend.sandbox.pretend import description, process\n"
        "from backend.sandbox.pretend.certificates import Authority\n"
        "first = process.new(); process.start(first, description.load(description.SHIPPED), -1, Authority())\n"
        "print(first.pid, flush=True); time.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    assert Path(f"/proc/{pid}/ns/net").exists()
    starter.kill()
    starter.communicate()
    eventually("it has ended", lambda: not Path(f"/proc/{pid}").exists())
