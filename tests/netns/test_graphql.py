"""The gate parses GraphQL: mutations may only change the repositories that the agent may push to.

Length: tables of allowed and refused requests.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.contract.events import Reason, Refused
from backend.settings import credentials_file
from network.gate import credentials
from tests.netns import worlds
from tests.netns.sandbox import Begin, Running, eventually

pytestmark = worlds.BOTH

TOKEN = credentials.placeholders(credentials_file.shipped())["GH_PAT"]
REAL = "ghp_the-operators-own"
URL = "https://api.github.com/graphql"
# Mutations reserved for people, or that change the repository itself; the same as in the REST API (test_scope.py).
PERSONS = (
    "approveDeployments", "rejectDeployments", "createDeployment", "createDeploymentStatus", "createEnvironment",
    "updateEnvironment", "createCheckRun", "updateCheckRun", "createCheckSuite", "rerequestCheckSuite",
    "dismissPullRequestReview",
    "createBranchProtectionRule", "updateBranchProtectionRule", "deleteBranchProtectionRule", "createRepositoryRuleset",
    "updateRepository", "archiveRepository", "cloneTemplateRepository", "updateTopics", "dismissRepositoryVulnerabilityAlert",
    "deleteIssue", "addSubIssue", "updateSubscription",
)  # fmt: skip
ELSEWHERE = "names an object in another repository"
FORCE = "may not force"
NO_BRANCH = "names a ref that is not a branch"
INPUT = "mutation($input: AddCommentInput!) { addComment(input: $input) { subject { id } } }"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, begin: Begin) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("graphql")
    running = begin(
        folder,
        f"graphql-{os.getpid()}",
        GH_PAT=REAL,
        REPO_URL="https://github.com/example/demo.git",
        CODETAINER_PUSH="friend/*",
    )
    yield running
    if running.process.poll() is None:
        running.stop()


def posted(sandbox: Running, body: str, *options: str, url: str = URL) -> tuple[int, str]:
    """Makes one request as the agent. Returns its status and text."""
    if len(body) > 100_000:
        sandbox.agent(
            "/usr/bin/python3", "-c", "import sys; open('/tmp/body', 'w').write('x' * int(sys.argv[1]))", str(len(body))
        )
    done = sandbox.agent(
        "curl", "-sS", "-w", "\n%{http_code}", "-H", f"Authorization: Bearer {TOKEN}", *options,
        "--data-binary", body, url,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text, _, status = done.stdout.rpartition("\n")
    return int(status), text


def arrived(sandbox: Running) -> int:
    """Counts the requests that have reached GitHub, including the gate's own queries."""
    return sandbox.asked(kind="http", path="/graphql", host="api.github.com")


def request(query: str, variables: Any = None, **more: Any) -> str:
    return json.dumps({"query": query, **({"variables": variables} if variables is not None else {}), **more})


def mutate(fields: str) -> str:
    return request(f"mutation {{ {fields} }}")


def move(update: str) -> str:
    return mutate(f'updateRefs(input: {{repositoryId: "R_1", refUpdates: [{{{update}}}]}}) {{ x }}')


@pytest.mark.parametrize(
    "body",
    [
        request("{ viewer { login } }"),
        request("query($n: Int = 3) { search(first: $n, query: \"mutation\") { nodes { id } } }"),
        request("query mutationType { __schema { mutationType { name } } }"),
        request('# a mutation\nquery Q($a: String = "x") @cached(for: 3) { a(b: [1, 2.5e3, {c: $a}, E, null], d: """x""") '
                "{ ...F } } fragment F on Issue { id }"),
        request("{ node(id: \"I_2\") { id } }", {"anything": ["I_2", None, True, -1.5e-3]}, operationName=None),
    ],
)  # fmt: skip
def test_a_read_is_allowed(sandbox: Running, body: str) -> None:
    before = arrived(sandbox)
    assert posted(sandbox, body)[0] == 200
    assert arrived(sandbox) == before + 1


@pytest.mark.parametrize(
    "body",
    [
        request(INPUT, {"input": {"subjectId": "I_1", "body": "see stranger/elsewhere: \u2028 \U0001f600 \"\\"}}),
        request(INPUT, {"input": {"subjectId": "I_1", "body": "x" * 60_000}}),
        mutate('addComment(input: {subjectId: "I_1", body: "a\\n\\"b"}) { clientMutationId }'),
        request("mutation X($id: ID!, $b: String!) { one: addComment(input: {subjectId: $id, body: $b}) { subject "
                "{ ...F(x: {}) } } } fragment F on Node @x { id }", {"id": "PR_1", "b": "b"}, operationName="X"),
        mutate('deleteLinkedBranch(input: {linkedBranchId: "LB_1"}) { id } '
               'updateDiscussionComment(input: {commentId: "DC_1", body: "b"}) { id }'),
        mutate('a: closeIssue(input: {issueId: "I_1"}) { x } b: reopenIssue(input: {issueId: "I_1"}) { issue { id } }'),
        request("mutation($i: CreateIssueInput!) { createIssue(input: $i) { issue { id } } }",
                {"i": {"repositoryId": "R_1", "title": "t", "assigneeIds": ["U_9", "U_8"], "labelIds": ["LA_1"],
                       "milestoneId": None, "clientMutationId": "R_2"}}),
        request("mutation($i: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $i) { commit { oid } } }",
                {"i": {"branch": {"repositoryNameWithOwner": "Friend/Any", "branchName": "b"}, "commitOID": "I_2",
                       "message": {"headline": "h"}, "fileChanges": {"additions": [{"path": "p", "contents": "eA=="}]}}}),
        mutate('deleteRef(input: {refId: "BRANCH_1"}) { x } updateRef(input: {refId: "DEFAULT_1", oid: "a1"}) { x }'),
        mutate('updateRef(input: {refId: "DEFAULT_1", oid: "a1", force: false}) { clientMutationId }'),
        mutate('updatePullRequestBranch(input: {pullRequestId: "PR_1", updateMethod: MERGE}) { pullRequest { id } }'),
        request("mutation($i: UpdateRefsInput!) { updateRefs(input: $i) { clientMutationId } }",
                {"i": {"repositoryId": "R_1", "refUpdates": [{"name": "refs/heads/a", "afterOid": "0" * 39 + "1"},
                                                             {"name": "refs/heads/b", "afterOid": "1" * 40, "force": False},
                                                             {"name": "refs/heads/c", "afterOid": "2" * 40, "force": None}]}}),
    ],
)  # fmt: skip
def test_a_write_in_the_repository_is_allowed(sandbox: Running, body: str) -> None:
    status, text = posted(sandbox, body)
    assert (status, "data" in text) == (200, True), text


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (request(INPUT, {"input": {"subjectId": "I_2", "body": "b"}}), f"addComment {ELSEWHERE}"),
        (request(INPUT, {"input": {"subjectId": "I_1", "replyToId": "IC_2"}}), f"addComment {ELSEWHERE}"),
        (request(INPUT, {"input": {"subjectId": "I_1", "comments": [{"threads": [{"inReplyTo": "IC_2"}]}]}}), ELSEWHERE),
        (mutate('deleteLinkedBranch(input: {linkedBranchId: "LB_2"}) { id }'), ELSEWHERE),
        (mutate('updateDiscussionComment(input: {commentId: "DC_2"}) { id }'), ELSEWHERE),
        (request(INPUT, {"input": {"subjectId": "gone"}}), f"addComment {ELSEWHERE}"),
        (request(INPUT, {"input": {"subjectId": "U_1"}}), "addComment names no object"),
        (request(INPUT, {"input": {"body": "b"}}), "addComment names no object"),
        (request(INPUT, {}), "addComment names no object"),
        (request(INPUT, {"input": {"subjectId": 17}}), "an id is not a plain string"),
        (request(INPUT, {"input": {"subjectId": {"id": "I_1"}}}), "an id is not a plain string"),
        (request(INPUT, {"input": {"subjectId": "I_1", "labelIds": [["LA_2"]]}}), "an id is not a plain string"),
        (request(INPUT, json.dumps({"input": {"subjectId": "I_1"}})), "the variables are not an object"),
        (request(INPUT, {"input": {"subjectId": "I_1", "labelIds": [f"I_{n}" for n in range(200)]}}), "names too many objects"),
        (mutate('addComment(input: {subjectId: "I_1", id: "I_\\u0032"}) { id }'), "an id is not a plain string"),
        (mutate('addComment(input: {subjectId: """I_2"""}) { id }'), "an id is not a plain string"),
        (mutate('addComment(input: {subjectId: "I_1", subjectId: "I_2"}) { id }'), "query has a duplicate name"),
        (mutate('createGist(input: {repositoryId: "R_1"}) { id }'), "createGist is not allowed"),
        (mutate('addComment: createRepository(input: {id: "R_1"}) { id }'), "createRepository is not allowed"),
        *((mutate(f'{name}(input: {{id: "R_1"}}) {{ id }}'), f"{name} is not allowed") for name in PERSONS),
        (mutate('updateRef(input: {refId: "BRANCH_1", oid: "a1", force: true}) { x }'), f"updateRef {FORCE}"),
        (request("mutation($f: Boolean) { updateRef(input: {refId: \"BRANCH_1\", force: $f}) { x } }", {"f": True}), FORCE),
        (request("mutation($i: X!) { updateRef(input: $i) { x } }", {"i": {"refId": "BRANCH_1", "force": "no"}}), FORCE),
        (mutate('updatePullRequestBranch(input: {pullRequestId: "PR_1", updateMethod: REBASE}) { x }'), "may not rebase"),
        (request("mutation($m: X) { updatePullRequestBranch(input: {pullRequestId: \"PR_1\", updateMethod: $m}) { x } }",
                 {"m": "REBASE"}), "may not rebase"),
        (move('name: "refs/heads/a", afterOid: "1", force: true'), "updateRefs may not force"),
        (move('name: "refs/heads/../tags/v1", afterOid: "a1"'), f"updateRefs {NO_BRANCH}"),
        (move(f'name: "refs/heads/a", afterOid: "{"0" * 40}"'), "updateRefs may not delete"),
        (move('name: "refs/heads/a", afterOid: "\\u0030"'), "may not delete"),
        (move('name: "refs/tags/v1", afterOid: "a1"'), f"updateRefs {NO_BRANCH}"),
        (move('name: "\\u0072efs/heads/a", afterOid: "a1"'), f"updateRefs {NO_BRANCH}"),
        (mutate('deleteRef(input: {refId: "DEFAULT_1"}) { clientMutationId }'), "deleteRef names the default branch"),
        (mutate('deleteRef(input: {refId: "PROTECTED_1"}) { x }'), "deleteRef names a protected branch"),
        (mutate('deleteRef(input: {refId: "TAG_1"}) { clientMutationId }'), f"deleteRef {NO_BRANCH}"),
        (mutate('updateRef(input: {refId: "TAG_1", oid: "a1"}) { clientMutationId }'), f"updateRef {NO_BRANCH}"),
        (mutate('a: deleteRef(input: {refId: "BRANCH_1"}) { x } b: deleteRef(input: {refId: "DEFAULT_1"}) { x }'),
         "deleteRef names the default branch"),
        (mutate('deleteRef(input: {refId: "BRANCH_2"}) { clientMutationId }'), ELSEWHERE),
        (mutate('transferIssue(input: {issueId: "I_1", repositoryId: "R_1"}) { id }'), "transferIssue is not allowed"),
        (mutate('a: addComment(input: {subjectId: "I_1"}) { id } b: createGist(input: {}) { id }'), "createGist is"),
        (mutate('addComment(input: {subjectId: "I_1"}) { id } addComment(input: {subjectId: "I_2"}) { id }'),
         ELSEWHERE),
        (mutate('createRef(input: {repositoryNameWithOwner: "stranger/friend"}) { id }'), ELSEWHERE),
        (mutate('addComment(subjectId: "I_1") { id }'), "an argument other than input"),
        (mutate('addComment(input: {subjectId: "I_1"}, extra: 1) { id }'), "cannot be parsed"),
        (request('mutation @x { addComment(input: {subjectId: "I_1"}) { id } }'), "cannot be parsed"),
        (mutate('addComment(input: {subjectId: "I_1"}) @skip(if: false) { id }'), "cannot be parsed"),
        (mutate("...F } fragment F on Mutation { createGist(input: {}) { id }"), "cannot be parsed"),
        (mutate("... on Mutation { createGist(input: {}) { id } }"), "cannot be parsed"),
        (request('mutation($a: ID = "I_2") { addComment(input: {subjectId: "I_1", id: $a}) { id } }'), "default value"),
        (request('query A { a } mutation B { addComment(input: {subjectId: "I_1"}) { id } }', operationName="B"), "several"),
        (request("subscription { a } # mutation\n"), "cannot be parsed"),
        (request('# x\r mutation { createGist(input: {}) { id } }'), "comments can be read in two ways"),
        (mutate('addComment(input: {subjectId: "I_1", body: """a\\""" b """}) { id }'), "read in two ways"),
        (mutate('addComment(input: {subjectId: "I_1", body: """a""""}) { id }'), "read in two ways"),
        (mutate('addComment(input: {subjectId: "I_1", body: "a\nb"}) { id }'), "a string is malformed"),
        (mutate('addComment(input: {subjectId: "I_1"}) { id } \u00a0'), "unexpected character"),
        (mutate("addComment(input: {subjectId: \"I_1\"}) { id"), "cannot be parsed"),
        (request("mutation { addComment(input: " + "[" * 60), "cannot be parsed"),
        (request("{ a }", extensions={}), "members other than query"),
        ("[" + request(INPUT, {"input": {"subjectId": "I_2"}}) + "]", "the request is not a JSON object"),
        ('{"query": "{ a }", "query": "mutation { x }"}', "JSON has a duplicate name"),
        ('{"query": "{ a }", "qu\\u0065ry": "mutation { x }"}', "JSON has a duplicate name"),
        ('{"query": "m\\u0075tation { createGist(input: {}) { id } }"}', "createGist is not allowed"),
        ('{"query": "{ a }"} {"query": "mutation { x }"}', "JSON cannot be parsed"),
        ('{"query": "{ a }\\ud800"}', "JSON cannot be parsed"),
        ('{"query": ["mutation"]}', "the request has no query"),
        ("query=mutation { x }", "JSON cannot be parsed"),
        ("[" * 200, "JSON cannot be parsed"),
        (mutate('addComment(input: {subjectId: "I_1", body: "a\\\nb"}) { id }'), "a string is malformed"),
        (mutate('addComment(input: {subjectId: "I_1", body: "a\\x"}) { id }'), "a string is malformed"),
        (mutate(" ".join(f'c{n}: closeIssue(input: {{issueId: "I_{n}"}}) {{ id }}' for n in range(101))), "too many objects"),
    ],
)  # fmt: skip
def test_a_write_elsewhere_or_an_unreadable_request_is_refused(sandbox: Running, body: str, why: str) -> None:
    before = sandbox.asked(kind="http", path="/graphql", credential=f"Bearer {REAL}", headers=HEADERS)
    status, text = posted(sandbox, body, "-H", "x-marked: 1")
    assert (status, why in json.loads(text)["message"]) == (403, True), text
    assert ("Writes go to example/demo, friend/* only" in text) is (ELSEWHERE in text)
    assert sandbox.asked(kind="http", path="/graphql", credential=f"Bearer {REAL}", headers=HEADERS) == before


@pytest.mark.parametrize(
    ("within", "why"),
    [
        (r"\xff", "the request is not UTF-8"),
        (r"\xed\xa0\x80", "the request is not UTF-8"),
        (r"\xc1\xad", "the request is not UTF-8"),
        (r"\x5cu0000", "unexpected character"),
        (r"\x5cu007f", "unexpected character"),
        (r"\x5cufeff", "unexpected character"),
        (r"\xe2\x80\x8b", "unexpected character"),
    ],
)
def test_characters_that_another_parser_drops_do_not_hide_a_word(sandbox: Running, within: str, why: str) -> None:
    before = arrived(sandbox)
    text = f'{{"query":"muta{within}tion {{ createGist(input: {{}}) {{ id }} }}"}}'
    write = "import sys; open('/tmp/hidden', 'wb').write(eval('b' + repr(sys.argv[1]).replace(chr(92) * 2, chr(92))))"
    assert sandbox.agent("/usr/bin/python3", "-c", write, text).returncode == 0
    status, answer = posted(sandbox, "@/tmp/hidden")
    assert (status, why in answer) == (403, True), answer
    assert arrived(sandbox) == before


def test_a_second_content_type_with_an_underscore_does_not_arrive(sandbox: Running) -> None:
    names = "accept authorization content-length content-type host user-agent"
    before = sandbox.asked(kind="http", path="/graphql", headers=names)
    others = ("-H", "Content_Type: multipart/form-data", "-H", "Content_Encoding: gzip")
    assert posted(sandbox, request("{ a }"), *others)[0] == 200
    assert sandbox.asked(kind="http", path="/graphql", headers=names) == before + 1


def test_a_query_that_github_does_not_answer_is_sent_once(sandbox: Running) -> None:
    before = arrived(sandbox)
    status, text = posted(sandbox, mutate('closeIssue(input: {issueId: "SILENT_1"}) { id }'))
    assert (status, "GitHub did not answer the gate" in text) == (403, True), text
    assert arrived(sandbox) == before + 1


def test_the_gates_own_query_is_sent_with_its_length(sandbox: Running) -> None:
    """GitHub certainly accepts that. The HTTP client for Lua of HAProxy 3 would send chunks."""
    assert posted(sandbox, mutate('closeIssue(input: {issueId: "I_1"}) { id }'))[0] == 200
    *_, own, passed_on = (json.loads(line) for line in sandbox.seen.read_text().splitlines() if '"/graphql"' in line)
    assert "user-agent" in passed_on["headers"]
    assert own["headers"] == "authorization connection content-length content-type host user-agent"


def test_many_mutations_cost_one_query(sandbox: Running) -> None:
    before = arrived(sandbox)
    text = " ".join(f'{kind}: closeIssue(input: {{issueId: "{kind}_1"}}) {{ id }}' for kind in ("I", "IA", "IB", "IC"))
    assert posted(sandbox, mutate(text))[0] == 200
    assert arrived(sandbox) == before + 2


HEADERS = "accept authorization content-length content-type host user-agent x-marked"


def test_a_request_that_is_too_long_is_refused(sandbox: Running) -> None:
    assert sandbox.agent("/usr/bin/python3", "-c", "open('/tmp/body', 'w').write('x' * 200_000)").returncode == 0
    status, text = posted(sandbox, "@/tmp/body", "--http1.1", "-H", "Expect:")
    assert (status, "the request is too long" in text) == (403, True)


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ((), f"{URL}?query=mutation+%7B+x+%7D"),
        (("-H", "Content-Encoding: gzip"), URL),
        (("--http1.1", "-H", "Transfer-Encoding: chunked"), URL),
        (("-X", "GET"), f"{URL}?query=mutation"),
        (("-X", "GET"), f"{URL}/?query=mutation"),
        (("-X", "GET"), URL),
        (("-X", "PUT"), URL),
        ((), f"{URL}//"),
        ((), f"{URL}/x"),
        (("-X", "PUT"), f"{URL}/"),
    ],
)
def test_a_query_is_allowed_only_in_a_json_body(sandbox: Running, options: tuple[str, ...], url: str) -> None:
    before = arrived(sandbox)
    assert posted(sandbox, request("{ viewer { login } }"), *options, url=url)[0] == 403
    assert arrived(sandbox) == before


def test_a_trailing_slash_makes_no_difference(sandbox: Running) -> None:
    before = sandbox.asked(kind="http", path="/graphql/", host="api.github.com")
    assert posted(sandbox, mutate('closeIssue(input: {issueId: "I_1"}) { id }'), url=f"{URL}/")[0] == 200
    assert sandbox.asked(kind="http", path="/graphql/", host="api.github.com") == before + 1
    for url in (f"{URL}/", f"{URL}%2f", "https://api.github.com/GraphQL/", "https://api.github.com/%67raphql"):
        status, text = posted(sandbox, mutate("approveDeployments(input: {}) { id }"), "--path-as-is", url=url)
        assert (status, "is not allowed" in text or "two ways" in text) == (403, True), text
    assert sandbox.asked(kind="http", path="/graphql/", host="api.github.com") == before + 1


def test_write_access_everywhere_does_not_include_actions_reserved_for_people(tmp_path: Path, begin: Begin) -> None:
    running = begin(tmp_path, f"everywhere-{os.getpid()}", GH_PAT=REAL, CODETAINER_PUSH="*")
    try:
        assert posted(running, mutate('closeIssue(input: {issueId: "I_2"}) { id }'))[0] == 200
        for name in ("approveDeployments", "createGist"):
            status, text = posted(running, mutate(f'{name}(input: {{id: "R_1"}}) {{ id }}'))
            assert (status, f"{name} is not allowed" in text) == (403, True), text
        approval = "https://api.github.com/repos/stranger/elsewhere/actions/runs/1/approve"
        assert posted(running, "{}", url=approval)[0] == 403
        assert posted(running, "{}", url="https://api.github.com/repos/stranger/elsewhere/issues")[0] == 200
    finally:
        running.stop()


def test_the_gate_sets_the_content_type(sandbox: Running) -> None:
    """Parsed as a form, this body would contain another query, so the gate's type, not the agent's, reaches GitHub."""
    body = request("{ viewer { login } }", operationName="&query=mutation{x}&")
    before = sandbox.asked(kind="http", path="/graphql", type="application/json")
    assert posted(sandbox, body, "-H", "Content-Type: application/x-www-form-urlencoded")[0] == 200
    assert sandbox.asked(kind="http", path="/graphql", type="application/json") == before + 1


def test_the_operator_sees_which_mutation_was_refused(sandbox: Running) -> None:
    assert posted(sandbox, mutate("createGist(input: {}) { id }"))[0] == 403

    def seen() -> bool:
        return any(
            event.reason is Reason.NOT_GRANTED
            and event.name == "api.github.com"
            and event.detail == "createGist is not allowed"
            for event in sandbox.events(Refused)
        )

    eventually("it is in the journal", seen)


def test_the_agent_cannot_use_the_gates_own_query(sandbox: Running) -> None:
    path = sandbox.paths.gate / "root/asks.sock"
    assert path.is_socket()
    inside = "/" + str(path).split("/root/", 1)[1]
    done = sandbox.agent("curl", "-sS", "--unix-socket", inside, "http://api.github.com/graphql")
    assert done.returncode != 0
