"""Each way in the catalogue of writes at GitHub is tried as the agent; the pretend internet's log shows what has arrived."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from backend.settings import credentials_file, ways_file
from network import reasons
from network.gate.ways import Verdict, Way
from tests.netns import worlds
from tests.netns.sandbox import LISTED, Begin, Running
from tests.netns.test_scope import API, FORWARD, answers, ask, asked

pytestmark = worlds.BOTH

WAYS = ways_file.read().ways
HOSTS = {host.name: host for host in credentials_file.shipped()}
OURS, FOREIGN = "example/demo", "stranger/elsewhere"
RECEIVE = "service=git-receive-pack"
MESSAGES = tuple(f"codetainer: {reason}" for reason in reasons.ADVICE)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, begin: Begin) -> Iterator[Running]:
    hosts = {request.host for way in WAYS for request in way.requests}
    running = begin(
        tmp_path_factory.mktemp("ways"), f"ways-{os.getpid()}", listed=LISTED + "\n".join(sorted(hosts)) + "\n",
        GH_PAT="ghp_the-operators-own", REPO_URL=f"https://github.com/{OURS}", CODETAINER_PUSH="friend/*",
    )  # fmt: skip
    yield running
    if running.process.poll() is None:
        running.stop()


def arrivals(sandbox: Running, requests: list[dict[str, Any]]) -> list[str]:
    """Makes the requests. Returns those that have arrived; the others must have been refused with a reason."""
    found = []
    for one, (status, text, arrived) in zip(requests, answers(sandbox, requests), strict=True):
        if arrived:
            found.append(shown(one))
        else:
            assert status in (400, 403) and any(words in text for words in MESSAGES), f"{shown(one)}: {status} {text}"
    return found


def shown(one: dict[str, Any]) -> str:
    return f"{one['method']} {one['host']}{one['path']} {one['body'][:80]}"


def requests_of(way: Way, repository: str, number: int) -> list[dict[str, Any]]:
    """A way's requests in a repository. Its objects in GraphQL end in `number` (backend/sandbox/pretend/github.py)."""
    made = []
    for one in way.requests:
        place = f"{HOSTS[one.host].below}/{repository}"
        path = one.path.replace("PUSH", place).replace("**", "x").replace("*", "5")
        body = FORWARD if path.endswith("git/refs/heads/x") and one.method == "PATCH" else "{}"
        if one.method == "GET" and way.verdict is Verdict.SCOPE:
            path += f"?{RECEIVE}"
        made.append(asked(one.method, path, one.host, "0000" if path.endswith("git-receive-pack") else body))
    for name in way.mutations:
        query = f'mutation {{ {name}(input: {{id: "BRANCH_{number}"}}) {{ clientMutationId }} }}'
        made.append(asked("POST", "/graphql", API, json.dumps({"query": query})))
    return made


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.name))
def test_a_way_is_open_or_closed_as_the_catalogue_says(sandbox: Running, way: Way) -> None:
    ours, foreign = requests_of(way, OURS, 1), requests_of(way, FOREIGN, 2)
    open_ones = [] if way.verdict is Verdict.REFUSED else [shown(one) for one in ours]
    assert arrivals(sandbox, ours) == open_ones
    assert arrivals(sandbox, foreign) == (open_ones if way.verdict is Verdict.PASSES else [])


@pytest.mark.parametrize("repository", ["friend/other.wiki", "friend/OTHER.Wiki", "friend/other.wiki.git"])
def test_a_wildcard_includes_no_wiki(sandbox: Running, repository: str) -> None:
    paths = [f"/{repository}/git-receive-pack", f"/{repository}/info/lfs/objects/batch", f"/{repository}/info/refs?{RECEIVE}"]
    made = [asked("GET" if "refs" in path else "POST", path, "github.com", "0000") for path in paths]
    assert arrivals(sandbox, made) == []
    assert arrivals(sandbox, [asked("POST", "/friend/wiki/git-receive-pack", "github.com", "0000")]) != []


@pytest.mark.parametrize("agent", ["agent_assignment", "agent\\u005fassignment", "Agent_Assignment", "something_new"])
@pytest.mark.parametrize(("method", "path"), [("POST", "issues"), ("PATCH", "issues/5"), ("POST", "issues/5/assignees")])
def test_an_issue_starts_no_agent_in_another_repository(sandbox: Running, method: str, path: str, agent: str) -> None:
    place, target = f"/repos/{OURS}/{path}", '{"target_repo": "stranger/elsewhere"}'
    made = [
        asked(method, place, API, f'{{"assignees": ["copilot-swe-agent[bot]"], "{agent}": {target}}}'),
        asked(method, place, API, f'{{"assignees": [], "assignees": {target}}}'),
        asked(method, place, API, "assignees[]=x&agent_assignment[target_repo]=stranger/elsewhere"),
        asked(method, f"{place}?agent_assignment[target_repo]=stranger/elsewhere", API),
        asked(method, place, API, "[]"),
        asked(method, place, API, '{"assignees": []} x'),
    ]
    results = ask(sandbox, made)
    assert [status for status, _ in results] == [403] * len(made)
    assert " may not be set in this request" in results[0][1]
    assert arrivals(sandbox, [asked(method, place, API, '{"assignees": ["octocat"]}')]) != []


MENTIONS = "Closes stranger/elsewhere#1, see https://github.com/stranger/elsewhere/pull/2. Thanks @stranger!"


def test_a_commit_is_created_in_scope_only(sandbox: Running) -> None:
    query = "mutation($i: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $i) { clientMutationId } }"

    def commit(repository: str) -> dict[str, Any]:
        branch = {"repositoryNameWithOwner": repository, "branchName": "main"}
        return asked("POST", "/graphql", API, json.dumps({"query": query, "variables": {"i": {"branch": branch}}}))

    assert arrivals(sandbox, [commit(FOREIGN)]) == []
    assert arrivals(sandbox, [commit(OURS)]) != []


def test_a_pull_request_is_opened_in_scope_only(sandbox: Running) -> None:
    """A fork's pull request belongs to the repository that it is opened in. Its head may be in a fork, which is only read."""
    body = json.dumps({"title": "t", "head": "stranger:work", "base": "main", "body": MENTIONS})
    assert arrivals(sandbox, [asked("POST", f"/repos/{name}/pulls", API, body) for name in (FOREIGN, "upstream/demo")]) == []
    assert arrivals(sandbox, [asked("POST", f"/repos/{OURS}/pulls", API, body)]) != [], "R61: GitHub interprets its text"


# Prints what a server says to an SSH client, and the addresses of its host name.
SSH = """
import json, socket, sys
try:
    with socket.create_connection((sys.argv[1], 443), 10) as sock:
        sock.sendall(b"SSH-2.0-OpenSSH_9.2\\r\\n")
        answer = sock.recv(100).decode()
except OSError as error:
    answer = ""
print(json.dumps(answer))
"""


@pytest.mark.parametrize("host", ["github.com", "ssh.github.com"])
def test_ssh_gets_no_answer_on_the_port_for_tls(sandbox: Running, host: str) -> None:
    assert sandbox.python(SSH, host) == ""


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("api.github.com", "Credential: the operator's GH_PAT, which the gate inserts; every other one is refused."),
        (
            "api.github.com",
            "Writes: only to example/demo, friend/*; all other repositories, and others' accounts, are refused:",
        ),
        ("github.com:443", "  Commits and branches (code, to the repository): GET info/refs, POST git-receive-pack"),
        ("gist.github.com", "Refused everywhere: Gists."),
        ("codeload.github.com", "Writes: none, so the agent can store nothing there."),
    ],
)
def test_the_operator_is_told_what_passes(sandbox: Running, host: str, words: str) -> None:
    assert words in sandbox.codetainer("explain", host).stdout.splitlines()
