"""The credentials file: parsing, its errors, and the HAProxy rules made from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.settings import credentials_file
from network.gate import credential_proxy, credentials
from network.gate.credential_proxy import CredentialProxy
from network.gate.credentials import CredentialsError, Host

SHIPPED = credentials_file.shipped()
CREDENTIAL = '[[credential]]\nvariable = "A_TOKEN"\nplaceholder = "a-placeholder-of-ours"\nheader = "authorization"\n'
HOST = '[[host]]\nname = "a.example"\ncredentials = ["A_TOKEN"]\n'


def host(name: str) -> Host:
    return next(host for host in SHIPPED if host.name == name)


def passes(name: str, method: str, path: str, *repositories: str) -> bool:
    return any(w.method == method and re.search(w.path, path, re.IGNORECASE) for w in host(name).allowed(repositories))


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("/octo/repo/git-receive-pack", True),
        ("/octo/repo.git/git-receive-pack", True),
        ("/Octo/Repo/git-receive-pack", True),
        ("/mine/anything/git-receive-pack", True),
        ("/octo/repository/git-receive-pack", False),
        ("/octo/rep/git-receive-pack", False),
        ("/octoxrepo/git-receive-pack", False),
        ("/evil/octo/repo/git-receive-pack", False),
        ("/mine/a/b/git-receive-pack", False),
        ("/evil/repo/git-receive-pack", False),
    ],
)
def test_pushes_must_match_the_named_repositories(path: str, fits: bool) -> None:
    assert passes("github.com", "POST", path, "octo/repo", "mine/*") is fits


def test_without_a_repository_no_push_passes_and_with_a_star_every_push_does() -> None:
    assert not passes("github.com", "POST", "/octo/repo/git-receive-pack")
    assert passes("github.com", "POST", "/octo/repo/git-receive-pack", "*")
    assert passes("github.com", "POST", "/any/thing/git-upload-pack")


def test_a_dot_in_a_repository_name_is_literal() -> None:
    assert passes("api.github.com", "POST", "/repos/octo/a.b/issues", "octo/a.b")
    assert not passes("api.github.com", "POST", "/repos/octo/axb/issues", "octo/a.b")


@given(st.text(alphabet="abc/.*-_ \n$()|[]\\'\"%", max_size=12))
def test_repository_names_never_widen_a_rule(text: str) -> None:
    try:
        repositories = credentials.repositories(text)
    except ValueError:
        return
    if "*" not in text:
        assert not passes("github.com", "POST", "/evil/repo/git-receive-pack", *repositories)


@pytest.mark.parametrize("text", ["evil", "a/b/c", "a/*b", "*/b", "a//b", "../x", "a/b'"])
def test_invalid_repositories_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a repository"):
        credentials.repositories(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "credentials.toml: "),
        (CREDENTIAL.replace("A_TOKEN", "a token"), "credential 1: variable"),
        (CREDENTIAL.replace("a-placeholder-of-ours", "short"), "placeholder is too short"),
        (CREDENTIAL.replace('"authorization"', '"cookie"'), "header is 'cookie'"),
        (CREDENTIAL.replace("A_TOKEN", "GH_PAT"), "GH_PAT is predefined"),
        (CREDENTIAL.replace("variable", "bearer = 1\nvariable"), "bearer is 1, expected true or false"),
        (CREDENTIAL + CREDENTIAL.replace("A_TOKEN", "B_TOKEN"), "the same placeholder"),
        (CREDENTIAL + HOST + 'wirtes = ["POST /v1"]', "found wirtes"),
        (CREDENTIAL + "colour = 1", "found colour"),
        ("[hosts]", "found hosts"),
        ("host = 3", "[[host]]"),
        ('[[host]]\nname = "a.example"', "credentials is empty"),
        (CREDENTIAL + HOST + "refuse_headers = 3", "not a table"),
        (CREDENTIAL + HOST + "below = 3", "a path such as"),
        (CREDENTIAL + HOST + "announces = 3", "found 3"),
        (CREDENTIAL + HOST.replace("a.example", "10.0.0.1"), "host 1: expected a host name, not an address"),
        (CREDENTIAL + HOST.replace("A_TOKEN", "B_TOKEN"), "B_TOKEN is neither a predefined credential"),
        (CREDENTIAL + HOST + 'writes = ["POST v1"]', "expected METHOD /path"),
        (CREDENTIAL + HOST + 'writes = ["POST /v1 } deny"]', "expected METHOD /path"),
        (CREDENTIAL + HOST + 'refuse_paths = ["/a b"]', "letters, digits"),
        (CREDENTIAL + HOST + 'writes = ["POST /v1//x"]', "expected METHOD /path"),
        (CREDENTIAL + HOST + 'writes = ["POST /v1/../x"]', "expected METHOD /path"),
        (CREDENTIAL + HOST + 'refuse_paths = ["/"]', "letters, digits"),
        (CREDENTIAL + HOST + 'refuse_writes = ["/v1"]', "list the permitted requests in writes"),
        (CREDENTIAL + HOST + 'branches = "/heads } allow"', "expected a path such as PUSH/git/refs/heads"),
        (CREDENTIAL + HOST + 'branches = "/git/refs/heads"', "expected a path such as PUSH/git/refs/heads"),
        (CREDENTIAL + HOST + "branches = 3", "expected a path such as PUSH/git/refs/heads"),
        (CREDENTIAL + HOST + 'branches = "PUSH/git/refs/heads"', "branches needs below, and graphql"),
        (CREDENTIAL + HOST + 'refuse_headers = { "x } allow" = "a" }', "letters, digits"),
        (CREDENTIAL + HOST + 'answers = "xml"', "json, text or registry"),
        (CREDENTIAL + HOST + "url_tokens = 1", "url_tokens is 1, expected true or false"),
        (CREDENTIAL + HOST + 'any_credential = true\nwrites = ["POST /a"]', "only for hosts without writes"),
        (CREDENTIAL + HOST + 'graphql = "/a } b"', "expected a path such as /graphql"),
        (CREDENTIAL + HOST + 'mutations = ["a"]', "mutations need one"),
        (CREDENTIAL + HOST + 'writes = ["POST /a"]\nfiles = ["POST /b"]', "files contains a request that is not in writes"),
        (CREDENTIAL + HOST + "searched = true", "found searched, expected"),
        (CREDENTIAL + HOST + 'lfs = "/a } b"', "expected a path such as /info/lfs"),
        (CREDENTIAL + HOST + 'graphql = "/graphql"\nmutations = ["a b"]', "expected a name such as createPullRequest"),
    ],
)
def test_an_invalid_file_is_refused_with_place_and_reason(text: str, words: str) -> None:
    with pytest.raises(CredentialsError, match=re.escape(words)):
        credentials.parse(text, "credentials.toml", credentials.variables(SHIPPED))


def rendered(**secrets: str) -> str:
    return credential_proxy.render(proxy(secrets, ("octo/repo",)), "log")


def proxy(secrets: dict[str, str], repositories: tuple[str, ...], hosts: tuple[Host, ...] = SHIPPED) -> CredentialProxy:
    certificates, authorities, exact, below, granted = map(Path, ("/c", "/a.pem", "/exact", "/below", "/granted"))
    return CredentialProxy(
        hosts,
        secrets,
        repositories,
        certificates,
        authorities,
        exact,
        below,
        granted,
        "/inner",
        "/asks.sock",
        "/reader.sock",
        9,
        10,
    )


def test_every_host_verifies_its_upstream() -> None:
    text = rendered(GH_PAT="ghp_x")
    own_queries = 1  # the gate's own backend, for queries to GitHub
    granted = 1  # the backend of all hosts without a credential
    assert text.count("verify required") == text.count("server itself") == len(SHIPPED) + own_queries + granted


def test_an_api_key_is_also_accepted_as_a_bearer_token_but_in_no_other_scheme() -> None:
    """Anthropic's SDKs send it so."""
    text = rendered(ANTHROPIC_API_KEY="sk-ant-api03-x")
    assert "http-request set-header x-api-key 'sk-ant-api03-x' if" in text
    replaced = [line.strip() for line in text.splitlines() if "set-header authorization" in line]
    placeholder = credentials.placeholders(SHIPPED)["ANTHROPIC_API_KEY"]
    condition = f"{{ var(txn.scheme) -m str bearer }} {{ var(txn.secret) -m str {placeholder} }}"
    assert replaced == [f"http-request set-header authorization 'Bearer sk-ant-api03-x' if {condition}"]


def test_a_key_in_a_header_of_its_own_is_no_bearer_token_by_default() -> None:
    (host,) = credentials.parse(CREDENTIAL.replace('"authorization"', '"x-key"') + HOST, "credentials.toml")
    text = credential_proxy.render(proxy({"A_TOKEN": "secret"}, (), (host,)), "log")
    assert "set-header x-key 'secret'" in text
    assert "set-header authorization" not in text


def test_http_2_is_offered_only_by_versions_that_break_off_broken_answers() -> None:
    lines = [line.strip() for line in rendered(GH_PAT="ghp_x").splitlines()]
    first = lines.index(".if version_atleast(3.0)")
    assert "alpn h2,http/1.1 " in lines[first + 1]
    assert lines[first + 2 : first + 5 : 2] == [".else", ".endif"]
    assert "alpn http/1.1 " in lines[first + 3]
    assert sum("alpn h2" in line for line in lines) == 1


def test_the_placeholder_of_a_missing_credential_does_not_work() -> None:
    text = rendered(GH_PAT="ghp_x")
    assert credentials.placeholders(SHIPPED)["GH_PAT"] in text
    assert credentials.placeholders(SHIPPED)["ANTHROPIC_API_KEY"] not in text


@pytest.mark.parametrize("repositories", [(), ("octo/repo",), ("octo/*",), ("octo/repo", "*")])
def test_graphql_requests_are_always_checked(repositories: tuple[str, ...]) -> None:
    assert "lua.graphql_scope" in credential_proxy.render(proxy({"GH_PAT": "ghp_x"}, repositories), "log")


@pytest.mark.parametrize("repositories", [("octo/repo",), ("octo/*",), ("*",)])
def test_every_write_below_a_repository_is_listed_by_name(repositories: tuple[str, ...]) -> None:
    """Endpoints that GitHub may add later are refused."""
    for name in ("api.github.com", "uploads.github.com"):
        for method in credentials.METHODS:
            for path in ("", "/x", "/x/1", "/x/1/approve", "/issues/1/x", "/pulls/1/x", "/git/x/heads/a", "/actions/runs/1/x"):
                assert not passes(name, method, f"/repos/octo/repo{path}", *repositories), (method, path)


def test_a_rule_matches_a_path_without_trailing_slashes() -> None:
    (parsed,) = credentials.parse(CREDENTIAL + HOST + 'writes = ["POST /v1/x/", "POST /", "PUT /y/**"]', "credentials.toml")
    assert [write.path for write in parsed.allowed(())] == ["^/v1/x$", "^$", "^/y/.*$"]


@pytest.mark.parametrize("secret", ["50%off", 'with"quotes', "with\\backslash", "with$dollar", "with#hash"])
def test_a_secret_is_used_literally(secret: str) -> None:
    quoted = next(line for line in rendered(GH_PAT=secret).splitlines() if "'token " in line)
    assert f"'token {secret.replace('%', '%%')}'" in quoted


def test_a_secret_with_a_quote_is_refused() -> None:
    with pytest.raises(ValueError, match="quote"):
        rendered(GH_PAT="it's")


def test_without_hosts_only_granted_requests_pass() -> None:
    text = credential_proxy.render(proxy({}, (), ()), "log")
    assert re.findall(r"use_backend (\S+)", text) == ["granted"]
    assert "default_backend nothing" in text


@pytest.mark.parametrize(
    ("push", "repository", "included"),
    [
        ("owner/*", "owner/repo", True),
        ("owner/*", "owner/wiki", True),
        ("owner/*", "owner/a.wikis", True),
        ("owner/*", "owner/repo.wiki", False),
        ("owner/*", "owner/repo.wiki.git", False),
        ("*", "any/repo.git", True),
        ("*", "any/repo.wiki", False),
        ("owner/repo", "owner/repo.wiki", False),
        ("owner/repo.wiki", "owner/repo.wiki.git", True),
    ],
)
def test_a_wiki_has_to_be_named(push: str, repository: str, included: bool) -> None:
    host = next(host for host in credentials_file.shipped() if host.name == "github.com")
    writes = [write.path for write in host.allowed((push,)) if "receive-pack" in write.path]
    assert [bool(re.search(path, f"/{repository}/git-receive-pack")) for path in writes] == [included]
