"""`codetainer explain` says what passes at a host whose TLS ends at the gate."""

from __future__ import annotations

import pytest

from backend.settings import credentials_file, ways_file
from network.gate import grant, references
from network.gate.credentials import Host
from network.gate.references import References

HOSTS = {host.name: host for host in credentials_file.shipped()}
CATALOGUE = ways_file.read()


def lines(name: str, *repositories: str) -> list[str]:
    held = ("GH_PAT", "CLAUDE_CODE_OAUTH_TOKEN")
    return list(grant.lines(HOSTS[name], held, repositories, CATALOGUE))


def test_writes_are_named_with_the_repositories_that_they_reach() -> None:
    text = "\n".join(lines("api.github.com", "octo/repo", "friend/*"))
    assert "Credential: the operator's GH_PAT, which the gate inserts; every other one is refused." in text
    assert "Reads: GET and HEAD on every path." in text
    assert "Writes: only to friend/*, octo/repo; all other repositories, and others' accounts, are refused:" in text
    assert "  Rerunning failed checks (nothing): POST actions/runs/*/rerun-failed-jobs" in text
    assert "9 GraphQL mutations" in text
    assert "Gists" in text.split("Refused everywhere: ")[1]


@pytest.mark.parametrize("host", [host for host in HOSTS.values() if host.writes], ids=lambda host: str(host.name))
def test_every_permitted_write_is_named(host: Host) -> None:
    text = "\n".join(lines(host.name, "octo/repo"))
    for write in host.writes:
        if write not in ("POST /graphql",) and "upload-pack" not in write:
            assert write.replace("PUSH/", "") in text


def test_without_a_repository_nothing_is_written_to_one() -> None:
    assert grant.NO_REPOSITORY in lines("api.github.com")


def test_other_hosts_have_their_own_words() -> None:
    assert (
        "Writes: POST /v1/messages, POST /v1/messages/count_tokens, POST /api/event_logging/**, POST /api/eval/**; "
        "all others are refused. They reach the operator's account only."
    ) in lines("api.anthropic.com")
    assert "CLAUDE_CODE_OAUTH_TOKEN, which the gate inserts" in lines("api.anthropic.com")[0]
    assert "except below /api/oauth/claude_cli/create_api_key, /v1/organizations." in lines("api.anthropic.com")[1]
    assert grant.READ in lines("api.anthropic.com")
    assert grant.READ not in lines("api.github.com")
    assert grant.NO_WRITES in lines("npm.pkg.github.com")
    assert lines("ghcr.io")[0] == "Credential: not the operator's; clients may use any other, for reading only."
    assert (
        "which the gate inserts; every other one is refused, except for a token in the URL." in lines("codeload.github.com")[0]
    )
    assert "handed out" in lines("lfs.github.com")[1]


def test_texts_are_named_if_they_are_searched() -> None:
    def named(setting: References) -> bool:
        host = references.applied(HOSTS["api.github.com"], setting)
        return grant.NO_REFERENCES in grant.lines(host, ("GH_PAT",), ("octo/repo",), CATALOGUE)

    assert [named(setting) for setting in (References.PASS, References.REFUSE)] == [False, True]


def test_every_host_of_the_catalogue_is_known() -> None:
    github = {name for name in HOSTS if not name.startswith(("maven", "nuget", "rubygems"))}
    assert github <= set(CATALOGUE.about)
