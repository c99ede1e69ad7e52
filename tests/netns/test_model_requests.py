"""What the model is asked to do: the reader refuses server-side tools, content by URL, and JSON that has two meanings.

The judge is the pretend internet's log, where only requests that have arrived whole are of the kind "http".

Length: mostly a table of attacks.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from backend.contract.events import ProofFinished, ProtectionFailed, Reason
from tests.netns import worlds
from tests.netns.sandbox import Begin, Running, backend_of, eventually, process_of

pytestmark = worlds.BOTH

API = "https://api.anthropic.com"
OAUTH = "Authorization: Bearer sk-ant-oat01-codetainer-has-it"
MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def sandbox(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = begin(tmp_path_factory.mktemp("model"), f"model-{os.getpid()}", CLAUDE_CODE_OAUTH_TOKEN="sk-ant-oat01-pretend")
    yield running
    running.stop()


def post(
    sandbox: Running, body: str | bytes, *options: str, path: str = "/v1/messages", credential: str = OAUTH
) -> tuple[int, str]:
    """Sends a request as the agent. Returns the status and the answer."""
    file = "/tmp/body"
    code = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_bytes(bytes.fromhex(sys.argv[2])); print(0)"
    sandbox.python(code, file, (body.encode() if isinstance(body, str) else body).hex())
    return post_file(sandbox, file, *options, path=path, credential=credential)


def post_file(
    sandbox: Running, file: str, *options: str, path: str = "/v1/messages", credential: str = OAUTH
) -> tuple[int, str]:
    done = sandbox.agent(
        "curl", "-sS", "-m", "30", "-w", "\n%{http_code}", "-H", credential, "-H", "Content-Type: application/json", *options,
        "--data-binary", f"@{file}", API + path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer, _, status = done.stdout.rpartition("\n")
    return int(status), answer


def arrived(sandbox: Running) -> int:
    """Counts the requests to the model that have reached the API."""
    return sandbox.asked(kind="http", path="/v1/messages") + sandbox.asked(kind="http", path="/v1/messages/count_tokens")


def request(**parts: Any) -> str:
    return json.dumps({"model": "claude", "max_tokens": 10, "messages": MESSAGES, **parts})


SERVER_TOOL = request(tools=[{"type": "web_search_20250305", "name": "web_search"}])
LONG = "x" * (2 << 20)
REFUSED: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "web search": (SERVER_TOOL, ()),
    "web fetch": (request(tools=[{"type": "web_fetch_20250910", "name": "web_fetch"}]), ()),
    "code execution": (request(tools=[{"type": "code_execution_20250825", "name": "code_execution"}]), ()),
    "a tool from the future": (request(tools=[{"type": "telepathy_20270101", "name": "t"}]), ()),
    "a remote MCP server": (request(mcp_servers=[{"type": "url", "url": "https://evil.test/", "name": "x"}]), ()),
    "a part from the future": (request(teleport={"to": "evil.test"}), ()),
    "an image by URL": (
        request(messages=[{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://evil.test"}}]}]),
        (),
    ),
    "somebody's file": (
        request(messages=[{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "f"}}]}]),
        (),
    ),
    "behind two megabytes": (request(system=LONG, tools=[{"type": "web_search_20250305", "name": "web_search"}]), ()),
    "behind two megabytes, chunked": (
        request(system=LONG, tools=[{"type": "web_search_20250305", "name": "web_search"}]),
        ("-H", "Transfer-Encoding: chunked"),
    ),
    "in the second of two lists": (SERVER_TOOL[:-1] + ', "tools": []}', ()),
    "a name with an escape": (SERVER_TOOL.replace('"tools"', '"tool\\u0073"'), ()),
    "a type with an escape": (SERVER_TOOL.replace("web_search_20250305", "web\\u005fsearch_20250305"), ()),
    "a second document": (request() + SERVER_TOOL, ()),
    "UTF-16": (SERVER_TOOL.encode("utf-16"), ()),
    "a byte order mark": (b"\xef\xbb\xbf" + request().encode(), ()),
    "bad UTF-8": (request(system="?").encode().replace(b"?", b"\xff"), ()),
    "no JSON": ("hello", ()),
    "cut short": (request()[:-1], ()),
    "compressed": (request(), ("-H", "Content-Encoding: gzip")),
    "another type": (request(), ("-H", "Content-Type: text/plain")),
    "GET with a body": (SERVER_TOOL, ("-X", "GET")),
    "over HTTP/1.1": (SERVER_TOOL, ("--http1.1",)),
}  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/V1/Messages/"])
def test_a_forbidden_request_does_not_reach_the_api(sandbox: Running, path: str) -> None:
    before = arrived(sandbox)
    for name, (body, options) in REFUSED.items():
        status, answer = post(sandbox, body, *options, path=path) if len(body) < 1 << 20 else large(sandbox, name, path)
        assert status in (403, 422), f"{name}: {status} {answer[:300]}"
        error = json.loads(answer)
        assert error["message"].startswith("codetainer: "), name
        assert error["message"] == error["error"]["message"], name
    assert arrived(sandbox) == before


def large(sandbox: Running, name: str, path: str) -> tuple[int, str]:
    """Creates the body in the sandbox: it is too long for an argument."""
    parts = 'json.dumps({"model": "m", "messages": [], "system": "x" * (2 << 20), "tools": [{"type": "web_search_20250305"}]})'
    sandbox.python(f"import json; open('/tmp/large', 'w').write({parts}); print(0)")
    return post_file(sandbox, "/tmp/large", *REFUSED[name][1], path=path)


def test_the_refusal_is_logged_with_what_was_refused(sandbox: Running) -> None:
    post(sandbox, SERVER_TOOL)

    def logged() -> bool:
        views = sandbox.state.refusals.serious.values()
        return any(v.latest.reason is Reason.MODEL and "web_search_20250305" in v.latest.detail for v in views)

    eventually("the refusal is in the journal", logged)


def test_ordinary_requests_pass_with_the_credential(sandbox: Running) -> None:
    tools = [{"name": "Bash", "input_schema": {"type": "object", "properties": {"url": {"type": "string"}}}}]
    content = [{"type": "tool_use", "id": "t", "name": "Bash", "input": {"type": "url", "url": "https://example.test"}}]
    for body in (
        request(tools=tools, messages=[*MESSAGES, {"role": "assistant", "content": content}]),
        request(tools=[{"type": "text_editor_20250728", "name": "e"}], system="é \U0001f600 \\"),
        request(stream=True),
    ):
        before = sandbox.asked(kind="http", path="/v1/messages", credential="Bearer sk-ant-oat01-pretend")
        status, answer = post(sandbox, body)
        assert status == 200, answer
        assert sandbox.asked(kind="http", path="/v1/messages", credential="Bearer sk-ant-oat01-pretend") == before + 1
    assert post(sandbox, request(), path="/v1/messages/count_tokens") == (200, '{"input_tokens": 1000}')
    assert post(sandbox, request(), path="/v1/messages/batches")[0] == 403


@pytest.mark.parametrize("path", ["/api/event_logging/batch", "/api/eval/sdk-1"])
@pytest.mark.parametrize("options", [(), ("-H", "Transfer-Encoding: chunked"), ("--http1.1",)])
def test_telemetry_passes_compressed_or_not(sandbox: Running, path: str, options: tuple[str, ...]) -> None:
    """It is not read: even what would be a forbidden request to the model reaches the server as it is."""
    packed = gzip.compress(SERVER_TOOL.encode())
    for body, compressed in ((SERVER_TOOL.encode(), False), (packed, True)):
        before = len(unread(sandbox, path))
        more = ("-H", "Content-Encoding: gzip") if compressed else ()
        assert post(sandbox, body, *more, *options, path=path) == (200, "{}")
        (line,) = unread(sandbox, path)[before:]
        assert (line["bytes"], line["credential"]) == (len(body), "Bearer sk-ant-oat01-pretend")
        assert ("content-encoding" in line["headers"].split()) is compressed


def unread(sandbox: Running, path: str) -> list[dict[str, Any]]:
    """The requests for a path that have reached the API."""
    lines = [json.loads(line) for line in sandbox.seen.read_text().splitlines()]
    return [line for line in lines if (line["kind"], line.get("path")) == ("http", path)]


def test_foreign_credentials_are_refused_as_before(sandbox: Running) -> None:
    before = arrived(sandbox)
    status, answer = post(sandbox, request(), credential="Authorization: Bearer sk-ant-oat01-somebody-elses")
    assert status == 403
    assert "foreign credential" in answer
    assert post(sandbox, request(), "-H", "anthropic_beta: mcp-client-2025-04-04")[0] == 403
    assert arrived(sandbox) == before


ATTACK = """
import json, os, pathlib, socket
problems = []
for folder in ("/run/codetainer/gate", "/run/codetainer/gate/root"):
    try:
        problems.append(os.listdir(folder))
    except OSError:
        pass
for name in ("reader.sock", "onward.sock"):
    for path in ("/run/codetainer/gate/root/" + name, "/proc/1/root/run/codetainer/gate/root/" + name):
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(path)
                problems.append(path)
            except OSError:
                pass
for process in pathlib.Path("/proc").iterdir():
    if process.name.isdigit():
        try:
            if process.stat().st_uid == 958:
                problems.append(process.name)
        except OSError:
            pass
print(json.dumps(problems))
"""


def test_the_agent_cannot_reach_the_sockets_or_the_process_of_the_reader(sandbox: Running) -> None:
    assert sandbox.python(ATTACK) == []


def reader(sandbox: Running) -> psutil.Process:
    return process_of(sandbox, lambda process: process.uids().real == 958)


def test_the_reader_has_no_secret_no_rights_and_no_files(sandbox: Running) -> None:
    process = reader(sandbox)
    folder = Path(f"/proc/{process.pid}")
    status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line)
    assert (status["CapEff"], status["CapBnd"]) == ("0" * 16, "0" * 16)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert all("Seccomp:\t2" in (thread / "status").read_text() for thread in (folder / "task").iterdir())
    assert b"pretend" not in (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
    assert sandbox.root("sh", "-c", "grep -ac sk-ant-oat01-pretend /proc/[0-9]*/environ || true").returncode == 0


def test_nothing_passes_without_the_reader_and_it_comes_back(sandbox: Running) -> None:
    pid, before = sandbox.pid("reader"), arrived(sandbox)
    last = sandbox.stamped()[-1].seq
    os.kill(pid, signal.SIGSTOP)  # it accepts connections, and answers none
    try:
        done = sandbox.agent(
            "curl", "-sS", "-m", "2", "-H", OAUTH, "-H", "Content-Type: application/json", "-d", request(), f"{API}/v1/messages"
        )
        assert done.returncode == 28
    finally:
        os.kill(pid, signal.SIGKILL)
    eventually("the reader is up again", lambda: sandbox.came_back("reader", last))
    assert arrived(sandbox) == before
    assert post(sandbox, request())[0] == 200


def test_a_dead_reader_is_an_error_that_clients_understand(sandbox: Running) -> None:
    boot = psutil.Process(backend_of(sandbox))
    last = sandbox.stamped()[-1].seq
    before = arrived(sandbox)
    boot.suspend()  # it would start another one
    try:
        process = reader(sandbox)
        process.kill()
        eventually("it has ended", lambda: process.status() == psutil.STATUS_ZOMBIE)  # nobody waits for it
        status, answer = post(sandbox, request())
        assert status == 503
        assert json.loads(answer)["message"].startswith("codetainer: requests to the model cannot be checked")
    finally:
        boot.resume()
    eventually("the reader is up again", lambda: sandbox.came_back("reader", last))
    assert arrived(sandbox) == before


def test_the_self_test_tries_it_and_is_not_reported_as_an_attack(sandbox: Running) -> None:
    proof = next(event for event in sandbox.events(ProofFinished))
    assert proof.results["request to the model"] == ""
    views = [*sandbox.state.refusals.serious.values()]
    assert not any("self_test" in view.latest.detail for view in views)
    assert not sandbox.asked(kind="http", asked="codetainer_self_test")


def test_a_reader_that_lets_everything_through_closes_the_sandbox(begin: Begin, tmp_path: Path) -> None:
    """The operator's word permits even the type that the self-test uses: to the test this looks like a broken reader."""
    running = begin(
        tmp_path, f"model-broken-{os.getpid()}", CODETAINER_MODEL_TOOLS="codetainer_self_test", CODETAINER_ON_FAILURE="hold"
    )
    try:
        proof = eventually("the self-test", lambda: running.events(ProofFinished))[0]
        assert "forbidden tool" in proof.results["request to the model"]
        assert not running.state.is_open
    finally:
        running.stop()


# Takes the reader's place: answers every request, unread, as the API would. Prints "1" when it serves.
FAKE_READER = """
import os, socket, sys
path = "/run/codetainer/gate/root/reader.sock"
os.unlink(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chown(path, 955, 955)
listener.listen(64)
print(1, flush=True)
if os.fork():
    os._exit(0)
for number in (0, 1, 2):
    os.close(number)
while True:
    client, _ = listener.accept()
    client.recv(65536)
    client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
    client.close()
"""


def test_the_sandbox_closes_if_requests_pass_unread(begin: Begin, tmp_path: Path) -> None:
    running = begin(tmp_path, f"model-later-{os.getpid()}", CODETAINER_PROOF="2s")
    try:
        eventually("it is open", lambda: running.state.is_open)
        os.kill(running.pid("reader"), signal.SIGSTOP)
        assert running.python(FAKE_READER, root=True) == 1
        failure = eventually("the self-test fails", lambda: running.events(ProtectionFailed))[0]
        assert "forbidden tool" in failure.failed["request to the model"]
        assert not running.state.is_open
    finally:
        running.stop()


def test_the_operators_words_permit_tools(begin: Begin, tmp_path: Path) -> None:
    running = begin(tmp_path, f"model-tools-{os.getpid()}", CODETAINER_MODEL_TOOLS="web_search mcp")
    try:
        assert post(running, SERVER_TOOL)[0] == 200
        servers = request(mcp_servers=[{"type": "url", "url": "https://mcp.example/", "name": "x"}])
        assert post(running, servers, "-H", "anthropic-beta: mcp-client-2025-04-04")[0] == 200
        assert post(running, request(tools=[{"type": "web_fetch_20250910", "name": "f"}]))[0] == 422
    finally:
        running.stop()
