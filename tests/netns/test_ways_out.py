"""Each way in the catalogue of writes at GitHub is tried as the agent; the pretend internet's log shows what has arrived.

Length: attacks with their requests.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from backend.contract.events import Reason
from backend.settings import credentials_file, ways_file
from network import reasons
from network.gate.ways import Verdict, Way
from tests.netns import worlds
from tests.netns.sandbox import LISTED, Begin, Running, eventually
from tests.netns.test_scope import API, FORWARD, answers, ask, asked, body_of

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


def mutation(text: str) -> dict[str, Any]:
    return asked("POST", "/graphql", API, json.dumps({"query": f"mutation {{ {text} {{ clientMutationId }} }}"}))


def refusals(sandbox: Running, requests: list[dict[str, Any]], words: str) -> None:
    """Makes the requests, none of which may arrive. Each refusal has these words."""
    for one, (status, text, arrived) in zip(requests, answers(sandbox, requests), strict=True):
        assert (status, words in text, arrived) == (403, True, False), f"{shown(one)}: {status} {text}"


def shown(one: dict[str, Any]) -> str:
    return f"{one['method']} {one['host']}{one['path']} {one['body'][:80]}"


def requests_of(way: Way, repository: str, number: int) -> list[dict[str, Any]]:
    """A way's requests in a repository. Its objects in GraphQL end in `number` (backend/sandbox/pretend/github.py)."""
    made = []
    for one in way.requests:
        place = f"{HOSTS[one.host].below}/{repository}"
        path = one.path.replace("PUSH", place).replace("**", "x").replace("*", "5")
        body = FORWARD if path.endswith("git/refs/heads/x") and one.method == "PATCH" else body_of(path)
        if one.method == "GET" and way.verdict is Verdict.SCOPE:
            path += f"?{RECEIVE}"
        made.append(asked(one.method, path, one.host, "0000" if path.endswith("git-receive-pack") else body))
    for name in way.mutations:
        kind = "PR" if name == "updatePullRequestBranch" else "BRANCH"
        made.append(mutation(f'{name}(input: {{id: "{kind}_{number}"}})'))
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


HIDDEN = ("refs/hidden/x", "refs/pull/1/head", "refs/heads/../hidden/x", "refs/replace/a", "refs/heads/", "heads/x")


@pytest.mark.parametrize("name", HIDDEN)
def test_no_ref_is_created_outside_branches_tags_and_notes(sandbox: Running, name: str) -> None:
    """Others do not see such a ref, and no rule at GitHub covers it."""
    body = json.dumps({"ref": name, "sha": "0" * 39 + "1"})
    made = [
        asked("POST", f"/repos/{OURS}/git/refs", API, body),
        mutation(f'createRef(input: {{repositoryId: "R_1", name: "{name}", oid: "a1"}})'),
    ]
    refusals(sandbox, made, "branch, tag or note")
    updates = f'[{{name: "{name}", afterOid: "a1"}}]'
    branch = f'{{repositoryNameWithOwner: "{OURS}", branchName: "{name}"}}'
    moved = [mutation(f'updateRefs(input: {{repositoryId: "R_1", refUpdates: {updates}}})')]
    if name.startswith("refs/"):  # heads/x is the name of a branch
        moved.append(mutation(f"createCommitOnBranch(input: {{branch: {branch}}})"))
        refusals(sandbox, [asked("PATCH", f"/repos/{OURS}/git/{name}", API, FORWARD)], "codetainer: ")
    refusals(sandbox, moved, "names a ref that is not a branch")


def test_branches_tags_and_notes_are_created(sandbox: Running) -> None:
    made = [
        asked("POST", f"/repos/{OURS}/git/refs", API, json.dumps({"ref": name, "sha": "0" * 39 + "1"}))
        for name in ("refs/heads/new", "refs/tags/v3", "refs/notes/x")
    ]
    made += [mutation('createRef(input: {repositoryId: "R_1", name: "refs/heads/new", oid: "a1"})')]
    assert arrivals(sandbox, made) == [shown(one) for one in made]


AGENT = 'agentAssignment: {targetRepositoryId: "R_1", customInstructions: "x"}'


@pytest.mark.parametrize(
    "text",
    [
        f'createIssue(input: {{repositoryId: "R_1", title: "t", {AGENT}}})',
        f'updateIssue(input: {{id: "I_1", {AGENT}}})',
        f'addAssigneesToAssignable(input: {{assignableId: "I_1", assigneeIds: ["U_1"], {AGENT}}})',
        f'replaceActorsForAssignable(input: {{assignableId: "I_1", actorIds: ["U_1"], {AGENT}}})',
        'createIssue(input: {repositoryId: "R_1", title: "t", somethingNew: {deep: "x"}})',
        'enqueuePullRequest(input: {pullRequestId: "PR_1", jump: true})',
        'addComment(input: {subjectId: "I_1", body: "b", ids: {somethingNew: 1}})',
    ],
)
def test_a_mutation_has_only_known_fields_and_starts_no_agent(sandbox: Running, text: str) -> None:
    refusals(sandbox, [mutation(text)], " may not be set")


@pytest.mark.parametrize(
    "text",
    [
        'createIssue(input: {repositoryId: "R_1", title: "t", body: "b", assigneeIds: ["U_1"], labelIds: ["LA_1"]})',
        'replaceActorsForAssignable(input: {assignableId: "I_1", actorLogins: ["octocat"]})',
        'requestReviewsByLogin(input: {pullRequestId: "PR_1", userLogins: ["octocat"], teamSlugs: ["a/b"], union: true})',
        'enablePullRequestAutoMerge(input: {pullRequestId: "PR_1", mergeMethod: SQUASH, commitHeadline: "h"})',
        'updatePullRequestBranch(input: {pullRequestId: "PR_1", expectedHeadOid: "a1"})',
        'createCommitOnBranch(input: {branch: {id: "BRANCH_1"}, expectedHeadOid: "a1", message: {headline: "h"}})',
        'createCommitOnBranch(input: {branch: {id: "BRANCH_1"}, fileChanges: {additions: [{path: "p", contents: "eA=="}]}})',
    ],
)
def test_the_fields_of_daily_work_pass(sandbox: Running, text: str) -> None:
    assert arrivals(sandbox, [mutation(text)]) != []


@pytest.mark.parametrize(
    "text",
    [
        'createRef(input: {repositoryId: "R_2", name: "refs/heads/x", oid: "a1"})',
        'createIssue(input: {repositoryId: "R_1", title: "t", parentIssueId: "I_2"})',
        'closeIssue(input: {issueId: "I_1", duplicateIssueId: "I_2"})',
        'createLinkedBranch(input: {issueId: "I_1", repositoryId: "R_2", oid: "a1"})',
        'createCommitOnBranch(input: {branch: {id: "BRANCH_2"}, expectedHeadOid: "a1"})',
        f'createCommitOnBranch(input: {{branch: {{repositoryNameWithOwner: "{FOREIGN}", branchName: "b"}}}})',
        'createPullRequest(input: {repositoryId: "R_2", baseRefName: "main", headRefName: "example:work", title: "t"})',
        'createPullRequest(input: {repositoryId: "R_1", headRepositoryId: "R_2", baseRefName: "main", title: "t"})',
        'enablePullRequestAutoMerge(input: {pullRequestId: "PR_2"})', 'mergePullRequest(input: {pullRequestId: "PR_2"})',
        'mergeBranch(input: {repositoryId: "R_2", base: "main", head: "work"})',
    ],
)  # fmt: skip
def test_no_object_of_another_repository_is_written_to(sandbox: Running, text: str) -> None:
    refusals(sandbox, [mutation(text)], "names an object in another repository")


def test_a_commit_is_created_on_branches_only(sandbox: Running) -> None:
    refusals(sandbox, [mutation('createCommitOnBranch(input: {branch: {id: "TAG_1"}})')], "names a ref that is not a branch")


def test_the_branch_of_a_fork_is_not_updated(sandbox: Running) -> None:
    """The update would merge into the fork, which belongs to somebody else."""
    made = [
        asked("PUT", f"/repos/{OURS}/pulls/9/update-branch", API),
        mutation('updatePullRequestBranch(input: {pullRequestId: "FORK_1"})'),
    ]
    refusals(sandbox, made, "is from another repository, which the update would write to")
    empty = {**asked("PUT", f"/repos/{OURS}/pulls/5/update-branch", API), "body": ""}
    assert (
        arrivals(sandbox, [empty, asked("PUT", f"/repos/{OURS}/pulls/5/update-branch", API, '{"expected_head_sha": "a1"}')])
        != []
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "pulls/5/update-branch"), ("PUT", "pulls/5/merge"), ("POST", "pulls"), ("PATCH", "pulls/5"), ("POST", "merges"),
        ("POST", "pulls/5/requested_reviewers"), ("POST", "merge-upstream"), ("PUT", "issues/5/lock"), ("POST", "git/refs"),
        ("POST", "actions/runs/5/rerun-failed-jobs"),
    ],
)  # fmt: skip
def test_a_request_has_only_known_members(sandbox: Running, method: str, path: str) -> None:
    place = f"/repos/{OURS}/{path}"
    refusals(
        sandbox, [asked(method, place, API, '{"update_method": "rebase"}')], "update_method may not be set in this request"
    )
    refusals(sandbox, [asked(method, f"{place}?x=1", API), asked(method, place, API, "a=b")], "cannot be checked")


def test_a_write_that_github_leaves_undecided_is_serious(sandbox: Running) -> None:
    refusals(sandbox, [mutation('addComment(input: {subjectId: "SILENT_1", body: "b"})')], "addComment could not be checked")

    def reported() -> bool:
        serious = [view.latest for view in sandbox.state.refusals.serious.values()]
        return any(r.reason is Reason.UNANSWERED and r.detail == "addComment could not be checked" for r in serious)

    eventually("the operator sees it", reported)


def test_a_push_sets_no_options(sandbox: Running) -> None:
    """Forges change a repository's settings with them, for example its visibility."""
    lines = [f"{'0' * 40} {'1' * 40} refs/heads/new\0 report-status push-options", "", "repo.private=false", ""]
    body = "".join(f"{len(line) + 4:04x}{line}" if line else "0000" for line in lines)
    refusals(
        sandbox, [asked("POST", f"/{OURS}/git-receive-pack", "github.com", body)], "the push has the option repo.private?false"
    )


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
