"""What `explain METHOD URL` says about a request, in words and as data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend.settings import credentials_file
from backend.supervision import destination, requests
from network import allowlist, reasons
from network.gate.credential_proxy import CredentialProxy

HOSTS = credentials_file.shipped()
LISTED = allowlist.parse("api.github.com\nread.test:443,80 read\nplain.test\n", "domains.conf").allowlist
FILE = Path("/file")
PROXY = CredentialProxy(
    HOSTS, {one.variable: "secret" for host in HOSTS for one in host.credentials}, ("octo/repo",), FILE, FILE, FILE, FILE, FILE,
    "/inside", "/asks",
)  # fmt: skip
API = "https://api.github.com/repos/octo/repo"

SAID = [
    (f"GET {API}?x=secret", f"GET {API} passes.", []),
    (f"POST {API}/merges", f"POST {API}/merges depends on the body: it may set only base, head, commit_message.",
     ["the body: it may set only base, head, commit_message"]),
    ("DELETE https://plain.test/a", "DELETE https://plain.test/a passes: this host may get any request.", None),
    ("GET ws://plain.test/a",
     "GET ws://plain.test/a passes without its offer of a WebSocket, so none begins: the gate drops such offers here.", None),
    ("GET http://api.github.com/a", "GET http://api.github.com/a: the gate answers with a redirect to https.", None),
]  # fmt: skip


def about(text: str) -> tuple[list[str], dict[str, object]]:
    method, url = text.split()
    return requests.about(destination.read(method, url), LISTED, PROXY)


@pytest.mark.parametrize(("text", "line", "depends"), SAID)
def test_a_request_that_is_not_refused(text: str, line: str, depends: list[str] | None) -> None:
    assert about(text) == ([line], {} if depends is None else {"depends": depends})


@pytest.mark.parametrize("scheme", ["https", "http", "wss", "ws"])
def test_a_refusal_has_the_answer_of_the_gate_without_the_query(scheme: str) -> None:
    method = "GET" if scheme.startswith("ws") else "POST"
    (line,), data = about(f"{method} {scheme}://read.test/a?x=secret")
    assert line == f"{method} {scheme}://read.test/a is refused: {data['answer']}"
    assert data["reason"] == reasons.REQUEST
    assert "secret" not in str(data)


def test_without_a_request_or_a_gate_nothing_is_said() -> None:
    assert requests.about(destination.read("plain.test"), LISTED, PROXY) == ([], {})
    assert requests.about(destination.read("GET", "https://plain.test/"), LISTED, None) == ([], {})
    assert about("GET https://plain.test/") == ([], {})


def test_what_is_known_of_a_host_comes_before_what_passes_there() -> None:
    lines = list(requests.granted("api.github.com", PROXY))
    assert lines[:1] == list(requests.granted("api.github.com", None))
    assert len(lines) > 1


@pytest.mark.parametrize(
    ("method", "url", "words"),
    [
        ("G@T", "https://a.example/", "cannot explain 'G@T', then 'https://a.example/': expected a method such as GET or POST"),
        ("https://a.example/a", "b", "cannot explain 'https://a.example/a', then 'b': expected a method"),
        ("GET", "a.example", "cannot explain GET without a URL: expected https:// or http:// before a.example"),
        ("GET", "https://a.example/a b", "the path must be written as it is sent, with %20 for a blank"),
    ],
)
def test_anything_but_a_method_and_a_url_is_an_error(method: str, url: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        destination.read(method, url)
