"""`explain METHOD URL`: the gate's own rules, applied to a request of which method and URL are known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.settings import credentials_file
from network import allowlist, reasons
from network.gate import credential_proxy, grants, model_api, prediction, references
from network.gate.credential_proxy import CredentialProxy
from network.gate.prediction import OPEN, Request, predict
from network.gate.references import References
from network.gate.rule_reader import Known, Reader, Unreadable

HOSTS = credentials_file.shipped()
LISTED = allowlist.parse(
    "github.com\nread.test:443,80,8443/tls read\nsome.test GET:/v1/items/* POST:/v1/track/**\n*.wild.test read\n"
    "open.wild.test open\nplain.test\n" + "".join(f"{host.name}\n" for host in HOSTS if host.name != "github.com"),
    "domains.conf",
).allowlist
PUSH = ("octo/repo", "friend/*")


def proxy(repositories: tuple[str, ...] = PUSH, setting: References = References.PASS) -> CredentialProxy:
    hosts = tuple(references.applied(host, setting) for host in HOSTS)
    secrets = {credential.variable: "secret" for host in HOSTS for credential in host.credentials}
    file = Path("/file")
    return CredentialProxy(hosts, secrets, repositories, file, file, file, file, file, "/inside", "/asks")


def foreseen(text: str, repositories: tuple[str, ...] = PUSH, setting: References = References.PASS) -> prediction.Prediction:
    method, scheme, host, port, target = re.match(r"(\S+) (https?|wss?)://([^/:]+):?(\d*)(/.*)", text).groups()  # type: ignore[union-attr]
    number = int(port or {"https": 443, "wss": 443, "http": 80, "ws": 80}[scheme])
    return predict(Request(method, host, number, target, scheme), LISTED, proxy(repositories, setting))


API = "https://api.github.com/repos"
REFUSED = [
    (f"POST {API}/evil/repo/issues", reasons.PUSH_SCOPE),
    (f"DELETE {API}/octo/repo", reasons.NOT_GRANTED),
    (f"POST {API}/octo%2frepo/issues", reasons.TWO_WAYS),
    (f"GET {API}/octo/repo/contents/100%zz", reasons.TWO_WAYS),
    (f"GET {API}/octo/repo/contents/a%00b", reasons.TWO_WAYS),
    (f"OPTIONS {API}/octo/repo", reasons.NOT_GRANTED),
    (f"CONNECT {API}/octo/repo", reasons.UNCLEAR),
    (f"PATCH {API}/octo/repo/git/refs/heads/x?force=true", reasons.NOT_FORWARD),
    (f"POST {API}/octo/repo/pulls?x", reasons.UNCLEAR),
    (f"GET {API}/octo/repo?x=1&access%5Ftoken=y", reasons.NOT_OURS),
    ("GET https://github.com/evil/repo/info/refs?service=git-receive-pack", reasons.PUSH_SCOPE),
    ("GET https://github.com/evil/repo/info/refs?service=git%2Dreceive-pack", reasons.PUSH_SCOPE),
    ("POST https://github.com/evil/repo/git-receive-pack", reasons.PUSH_SCOPE),
    ("GET https://api.anthropic.com/v1/organizations/x", reasons.NOT_GRANTED),
    ("POST https://api.anthropic.com/v1/files", reasons.NOT_GRANTED),
    ("PUT https://ghcr.io/v2/octo/x/manifests/1", reasons.NOT_GRANTED),
    ("POST https://read.test/a", reasons.REQUEST),
    ("POST http://read.test/a", reasons.REQUEST),
    ("PROPFIND https://read.test/a", reasons.REQUEST),
    ("GET https://read.test/a//b", reasons.TWO_WAYS),
    ("GET https://read.test/a?_method=PUT", reasons.REQUEST),
    ("GET https://some.test/v1/items/7/8", reasons.REQUEST),
    ("GET https://some.test/v1/%2569tems", reasons.TWO_WAYS),
    ("POST https://x.wild.test:443/a", reasons.REQUEST),
    ("GET wss://read.test/a", reasons.REQUEST),
    ("GET ws://read.test/a", reasons.REQUEST),
    (f"POST {API.replace('https', 'wss')}/evil/repo/issues", reasons.PUSH_SCOPE),
]
PASSING = [
    f"GET {API}/evil/repo",
    f"POST {API}/friend/any/releases",
    f"DELETE {API}/OCTO/repo/labels/bug/",
    "GET https://github.com/evil/repo/info/refs?service=git-upload-pack",
    "POST https://github.com/evil/repo/git-upload-pack",
    "GET https://github.com/octo/repo.git/info/refs?service=git-receive-pack",
    "GET https://api.anthropic.com/v1/models",
    "POST https://api.anthropic.com/api/eval/x",
    "GET https://ghcr.io/v2/",
    "GET https://raw.githubusercontent.com/octo/repo/main/a?token=x",
    "GET https://read.test:8443/a/./@x%2fy",
    "HEAD https://some.test/v1/items/7/",
    "POST https://some.test/v1/track/a/b",
    "OPTIONS https://x.wild.test/a",
]
DEPENDING = [
    ("POST https://api.github.com/graphql", ("graphql_scope",)),
    ("POST https://github.com/octo/repo.git/git-receive-pack", ("push_commands",)),
    (f"POST {API}/octo/repo/git/refs", ("new_ref",)),
    (f"DELETE {API}/octo/repo/git/refs/heads/x", ("deletable_branch",)),
    ("GET https://lfs.github.com/x", ("lfs_address",)),
]


@pytest.mark.parametrize(("request_", "reason"), REFUSED)
def test_a_request_that_the_gate_refuses_has_its_reason(request_: str, reason: str) -> None:
    found = foreseen(request_)
    assert (found.reason, found.depends) == (reason, ())
    assert found.refused.startswith(reason)


@pytest.mark.parametrize("request_", PASSING)
def test_a_request_that_passes_depends_on_nothing(request_: str) -> None:
    assert foreseen(request_) == prediction.Prediction()


@pytest.mark.parametrize(("request_", "actions"), DEPENDING)
def test_what_depends_on_more_than_the_url_is_named(request_: str, actions: tuple[str, ...]) -> None:
    assert foreseen(request_).depends == tuple(OPEN[action] for action in actions)


def test_words_about_bodies_are_those_of_the_rules() -> None:
    assert foreseen(f"PATCH {API}/octo/repo/git/refs/heads/x").depends == (f"the body: {reasons.NOT_FORWARD}",)
    assert foreseen(f"POST {API}/octo/repo/merges").depends == ("the body: it may set only base, head, commit_message",)
    assert foreseen("POST https://api.anthropic.com/v1/messages").depends == (prediction.READ,)
    both = foreseen(f"PUT {API}/octo/repo/pulls/5/update-branch").depends
    assert both == ("the body: it may set only expected_head_sha", OPEN["own_head"])


TEXT = OPEN["references"]


@pytest.mark.parametrize(("request_", "reason"), REFUSED)
def test_a_search_for_references_leaves_other_reasons(request_: str, reason: str) -> None:
    assert foreseen(request_, PUSH, References.REFUSE).reason == reason


@pytest.mark.parametrize(
    ("request_", "depends"),
    [
        (f"POST {API}/octo/repo/issues/5/comments", (TEXT,)),
        (f"POST {API}/friend/any/releases", (TEXT,)),
        (f"POST {API}/octo/repo/merges", ("the body: it may set only base, head, commit_message", TEXT)),
        (f"POST {API}/octo/repo/git/blobs", ()),
        (f"POST {API}/octo/repo/git/trees/", ()),
        (f"GET {API}/octo/repo/issues?q=x", ()),
        ("POST https://api.github.com/graphql", (OPEN["graphql_scope"], TEXT)),
        ("POST https://github.com/octo/repo.git/git-receive-pack", (OPEN["push_commands"], TEXT)),
        ("POST https://github.com/evil/repo/git-upload-pack", ()),
        ("POST https://uploads.github.com/repos/octo/repo/releases/1/assets?name=a", ()),
    ],
)
def test_if_references_are_refused_a_write_depends_on_its_text(request_: str, depends: tuple[str, ...]) -> None:
    assert foreseen(request_, PUSH, References.REFUSE).depends == depends
    assert TEXT not in foreseen(request_).depends


def test_if_references_are_refused_a_write_has_no_query() -> None:
    assert foreseen(f"POST {API}/octo/repo/issues/5/comments?body=x", PUSH, References.REFUSE).reason == reasons.UNCLEAR


def test_without_repositories_no_write_passes() -> None:
    assert "no repository only" in foreseen(f"POST {API}/octo/repo/releases", ()).refused


def test_hosts_whose_requests_the_gate_does_not_see_may_get_any() -> None:
    assert all(foreseen(f"DELETE https://{host}/a").unseen for host in ("open.wild.test", "plain.test"))


@pytest.mark.parametrize(
    ("url", "dropped"),
    [
        ("wss://api.github.com/x", True),
        ("wss://plain.test/a", False),
        ("wss://open.wild.test/a", False),
        ("ws://plain.test/a", True),
    ],
)
def test_where_the_gate_drops_the_offer_of_a_websocket_it_is_said(url: str, dropped: bool) -> None:
    found = foreseen(f"GET {url}")
    assert (found.refused, found.no_upgrade) == ("", dropped)
    assert not foreseen(f"GET {url.replace('ws', 'http', 1)}").no_upgrade


def test_the_detail_of_a_grant_is_the_request() -> None:
    assert "request not granted: DELETE:/v1/items/*. " in foreseen("DELETE https://some.test/v1/items/77").refused


def rendered() -> list[str]:
    made = proxy(PUSH, References.REFUSE)
    text = "\n".join(line for host in made.hosts for line in credential_proxy.decisive(host, made.secrets, PUSH, "/asks"))
    return [*text.splitlines(), *grants.rules(Path("/granted")), *credential_proxy.foreign()]


def test_every_lua_action_of_the_rules_has_words() -> None:
    actions = {found[1] for line in rendered() if (found := re.match(r"http-request lua\.(\w+)", line))}
    assert actions == {*OPEN}


def test_paths_that_the_reader_does_not_read_are_those_of_the_prediction() -> None:
    source = (Path(model_api.__file__).parent / "reader/hop.go").read_text()
    words = re.search(r"var unread = \[\]string\{(.*)\}", source)
    assert words is not None
    assert tuple(word.strip('" ') for word in words[1].split(",")) == model_api.UNREAD


TARGETS = st.from_regex(r"/[a-z%./?=&#]{0,20}|/repos/octo/repo/[a-z/%]{0,20}", fullmatch=True)


@given(st.sampled_from([host.name for host in HOSTS] + ["read.test", "some.test"]), TARGETS, st.sampled_from(
    ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"]), st.sampled_from(References))  # fmt: skip
def test_every_rule_can_be_read(host: str, target: str, method: str, setting: References) -> None:
    """And every refusal has its reason."""
    found = predict(Request(method, host, 443, target), LISTED, proxy(PUSH, setting))
    assert not found.refused or found.reason in reasons.ADVICE


UNREADABLE = [
    "http-request set-var(txn.x) src", "http-request set-var(txn.x) path,sha1", "http-request return status 200",
    "http-request deny x if { path -m dom x }", "http-request deny x if nobody",
]  # fmt: skip


@pytest.mark.parametrize("rule", UNREADABLE)
def test_a_rule_that_is_not_known_is_an_error(rule: str) -> None:
    """A prediction without it could be wrong."""
    with pytest.raises(Unreadable):
        Reader(Known(b"GET", b"/", {})).decide([rule])
