"""Which credential goes where, and what may be done with it: the file that says so, and the rules made of it."""

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
def test_pushes_fit_the_repositories_that_were_named(path: str, fits: bool) -> None:
    assert passes("github.com", "POST", path, "octo/repo", "mine/*") is fits


def test_without_a_repository_nothing_can_be_pushed_and_with_a_star_everything_can() -> None:
    assert not passes("github.com", "POST", "/octo/repo/git-receive-pack")
    assert passes("github.com", "POST", "/octo/repo/git-receive-pack", "*")
    assert passes("github.com", "POST", "/any/thing/git-upload-pack")


def test_a_dot_in_a_repositorys_name_is_a_dot() -> None:
    assert passes("api.github.com", "POST", "/repos/octo/a.b/issues", "octo/a.b")
    assert not passes("api.github.com", "POST", "/repos/octo/axb/issues", "octo/a.b")


@given(st.text(alphabet="abc/.*-_ \n$()|[]\\'\"%", max_size=12))
def test_no_text_of_the_operators_makes_a_wider_rule_than_it_says(text: str) -> None:
    try:
        found = credentials.repositories(text)
    except ValueError:
        return
    if "*" not in text:
        assert not passes("github.com", "POST", "/evil/repo/git-receive-pack", *found)


@pytest.mark.parametrize("text", ["evil", "a/b/c", "a/*b", "*/b", "a//b", "../x", "a/b'"])
def test_what_is_no_repository_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no repository"):
        credentials.repositories(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "credentials.toml: "),
        (CREDENTIAL.replace("A_TOKEN", "a token"), "credential 1: variable"),
        (CREDENTIAL.replace("a-placeholder-of-ours", "short"), "placeholder is too short"),
        (CREDENTIAL.replace('"authorization"', '"cookie"'), "header is 'cookie'"),
        (CREDENTIAL.replace("A_TOKEN", "GH_PAT"), "GH_PAT is shipped"),
        (CREDENTIAL + CREDENTIAL.replace("A_TOKEN", "B_TOKEN"), "one placeholder"),
        (CREDENTIAL + HOST + 'wirtes = ["POST /v1"]', "found wirtes"),
        (CREDENTIAL + "colour = 1", "found colour"),
        ("[hosts]", "found hosts"),
        ("host = 3", "[[host]]"),
        ('[[host]]\nname = "a.example"', "credentials is empty"),
        (CREDENTIAL + HOST + "refuse_headers = 3", "no table"),
        (CREDENTIAL + HOST + "below = 3", "a path such as"),
        (CREDENTIAL + HOST + "announces = 3", "found 3"),
        (CREDENTIAL + HOST.replace("a.example", "10.0.0.1"), "host 1: an address is no name"),
        (CREDENTIAL + HOST.replace("A_TOKEN", "B_TOKEN"), "B_TOKEN is no credential"),
        (CREDENTIAL + HOST + 'writes = ["POST v1"]', "expected METHOD /path"),
        (CREDENTIAL + HOST + 'writes = ["POST /v1 } deny"]', "expected METHOD /path"),
        (CREDENTIAL + HOST + 'refuse_paths = ["/a b"]', "letters, digits"),
        (CREDENTIAL + HOST + 'writes = ["POST /v1//x"]', "expected METHOD /path"),
        (CREDENTIAL + HOST + 'writes = ["POST /v1/../x"]', "expected METHOD /path"),
        (CREDENTIAL + HOST + 'refuse_paths = ["/"]', "letters, digits"),
        (CREDENTIAL + HOST + 'refuse_writes = ["/v1"]', "name in writes what may be written"),
        (CREDENTIAL + HOST + 'branches = "/heads } allow"', "expected a path in a repository"),
        (CREDENTIAL + HOST + 'branches = "/git/refs/heads"', "expected a path in a repository"),
        (CREDENTIAL + HOST + "branches = 3", "expected a path in a repository"),
        (CREDENTIAL + HOST + 'branches = "PUSH/git/refs/heads"', "branches needs graphql"),
        (CREDENTIAL + HOST + 'refuse_headers = { "x } allow" = "a" }', "letters, digits"),
        (CREDENTIAL + HOST + 'answers = "xml"', "json or text"),
        (CREDENTIAL + HOST + 'graphql = "/a } b"', "expected a path such as /graphql"),
        (CREDENTIAL + HOST + 'mutations = ["a"]', "mutations need one"),
        (CREDENTIAL + HOST + 'graphql = "/graphql"\nmutations = ["a b"]', "expected a name, as in createPullRequest"),
    ],
)
def test_a_file_that_is_wrong_says_where_and_why(text: str, words: str) -> None:
    with pytest.raises(CredentialsError, match=re.escape(words)):
        credentials.parse(text, "credentials.toml", credentials.variables(SHIPPED))


def rendered(**secrets: str) -> str:
    made = CredentialProxy(SHIPPED, secrets, ("octo/repo",), Path("/c"), Path("/a.pem"), "/inner", "/asks.sock", 9, 10)
    return credential_proxy.render(made, "log")


def test_every_host_verifies_its_upstream() -> None:
    text = rendered(GH_PAT="ghp_x")
    questions = 1  # of the gate's own: whose an object is
    assert text.count("verify required") == text.count("server itself") == len(SHIPPED) + questions


def test_a_credential_that_is_not_there_has_no_placeholder_that_works() -> None:
    text = rendered(GH_PAT="ghp_x")
    assert credentials.placeholders(SHIPPED)["GH_PAT"] in text
    assert credentials.placeholders(SHIPPED)["ANTHROPIC_API_KEY"] not in text


@pytest.mark.parametrize("repositories", [(), ("octo/repo",), ("octo/*",), ("octo/repo", "*")])
def test_graphql_is_read_whatever_may_be_written(repositories: tuple[str, ...]) -> None:
    made = CredentialProxy(
        SHIPPED, {"GH_PAT": "ghp_x"}, repositories, Path("/c"), Path("/a.pem"), "/inner", "/asks.sock", 9, 10
    )
    assert "lua.graphql_scope" in credential_proxy.render(made, "log")


@pytest.mark.parametrize("repositories", [("octo/repo",), ("octo/*",), ("*",)])
def test_every_write_below_a_repository_is_listed_by_name(repositories: tuple[str, ...]) -> None:
    """Of what GitHub may add some day, nothing passes by itself."""
    for name in ("api.github.com", "uploads.github.com"):
        for method in credentials.METHODS:
            for path in ("", "/x", "/x/1", "/x/1/approve", "/issues/1/x", "/pulls/1/x", "/git/x/heads/a", "/actions/runs/1/x"):
                assert not passes(name, method, f"/repos/octo/repo{path}", *repositories), (method, path)


def test_a_rule_fits_a_path_without_the_slashes_at_its_end() -> None:
    (made,) = credentials.parse(CREDENTIAL + HOST + 'writes = ["POST /v1/x/", "POST /", "PUT /y/**"]', "credentials.toml")
    assert [write.path for write in made.allowed(())] == ["^/v1/x$", "^$", "^/y/.*$"]


@pytest.mark.parametrize("secret", ["50%off", 'with"quotes', "with\\backslash", "with$dollar", "with#hash"])
def test_a_secret_is_taken_as_it_is(secret: str) -> None:
    quoted = next(line for line in rendered(GH_PAT=secret).splitlines() if "'token " in line)
    assert f"'token {secret.replace('%', '%%')}'" in quoted


def test_a_secret_that_cannot_be_written_down_is_said() -> None:
    with pytest.raises(ValueError, match="quote"):
        rendered(GH_PAT="it's")


def test_without_hosts_nothing_is_opened() -> None:
    assert credential_proxy.render(CredentialProxy((), {}, (), Path("/c"), Path("/a"), "/s", "/t"), "log") == ""
