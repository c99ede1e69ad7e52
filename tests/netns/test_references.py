"""CODETAINER_REFERENCES=refuse: no text that the agent writes at GitHub refers elsewhere.

The pretend internet's log shows what has arrived. `explain METHOD URL` says beforehand
that the text decides. Forms of references are cases of a unit test.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from backend.contract.control import Explain, decode_reply, encode_request
from backend.contract.events import Reason, Refused
from network import reasons
from network.gate.prediction import OPEN
from tests.netns.sandbox import LISTED, Running, eventually, start
from tests.netns.test_scope import API, FORWARD, OURS, answers, asked

pytestmark = pytest.mark.netns

ELSEWHERE, FINE = "Closes stranger/elsewhere#1", "Closes #1 and friend/any#2, as in https://github.com/example/demo/pull/3"
LONG = "x" * 100_000
REFUSED = f"codetainer: {reasons.REFERENCE}: "
WORK = "/tmp/references"
COMMIT = "git commit -q --allow-empty"
PREPARE = """
git clone -q https://github.com/example/demo "$0" && cd "$0"
git config user.name A && git config user.email a@a.example
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(
        tmp_path_factory.mktemp("references"), f"references-{os.getpid()}", listed=LISTED + "uploads.github.com\n",
        GH_PAT="ghp_the-operators-own", REPO_URL="https://github.com/example/demo", CODETAINER_PUSH="friend/*",
        CODETAINER_REFERENCES="refuse",
    )  # fmt: skip
    prepared = running.agent("sh", "-ec", PREPARE, WORK)
    assert prepared.returncode == 0, prepared.stdout + prepared.stderr
    yield running
    if running.process.poll() is None:
        running.stop()


def predicted(sandbox: Running, method: str, path: str, host: str = API) -> tuple[str, list[str]]:
    """The reason of the refusal that `explain` foresees, "" for none, and what the request depends on."""
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(sandbox.paths.control))
        stream = control.makefile("rw")
        stream.write(encode_request(Explain(method, f"https://{host}{path}")) + "\n")
        stream.flush()
        reply = decode_reply(stream.readline())
    assert reply.ok, reply
    depends = reply.data.get("depends", [])
    assert isinstance(depends, list)
    return str(reply.data.get("reason", "")), depends


# Method, path below the repository, and the member with the text; others that the request needs.
TEXTS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("POST", "issues", "title", {}), ("POST", "issues", "body", {"title": "t"}), ("PATCH", "issues/5", "body", {}),
    ("POST", "issues/5/comments", "body", {}), ("PATCH", "issues/comments/5", "body", {}),
    ("POST", "pulls", "title", {"head": "stranger:work", "base": "main"}), ("PATCH", "pulls/5", "body", {}),
    ("PUT", "pulls/5/merge", "commit_message", {}), ("PUT", "pulls/5/merge", "commit_title", {}),
    ("POST", "pulls/5/reviews", "body", {"event": "COMMENT"}), ("POST", "pulls/5/comments", "body", {"path": "a/@b/c"}),
    ("POST", "pulls/5/comments/5/replies", "body", {}), ("POST", "commits/abc/comments", "body", {}),
    ("POST", "releases", "body", {"tag_name": "v1"}), ("PATCH", "releases/5", "name", {}),
    ("PUT", "contents/a.md", "message", {"content": "QHN0cmFuZ2Vy", "branch": "work"}),
    ("DELETE", "contents/a.md", "message", {"sha": "0" * 40}), ("POST", "git/commits", "message", {"tree": "0" * 40}),
    ("POST", "git/tags", "message", {"tag": "v1", "object": "0" * 40, "type": "commit"}),
    ("POST", "merges", "commit_message", {}),
    ("POST", "labels", "description", {"name": "bug"}), ("POST", "milestones", "description", {"title": "t"}),
]  # fmt: skip


def test_no_text_of_a_request_refers_elsewhere(sandbox: Running) -> None:
    bad = [asked(method, f"{OURS}/{path}", body=json.dumps({**more, name: ELSEWHERE})) for method, path, name, more in TEXTS]
    fine = [asked(method, f"{OURS}/{path}", body=json.dumps({**more, name: FINE})) for method, path, name, more in TEXTS]
    wrong = []
    for case, (status, text, arrived) in zip(TEXTS, answers(sandbox, bad), strict=True):
        if arrived or status != 403 or not json.loads(text)["message"].startswith(f"{REFUSED}stranger/elsewhere#1. "):
            wrong.append((case, status, text))
    wrong += [
        (case, status, text) for case, (status, text, there) in zip(TEXTS, answers(sandbox, fine), strict=True) if not there
    ]
    assert wrong == []


def test_explain_says_that_the_text_decides(sandbox: Running) -> None:
    words = OPEN["references"]
    wrong = [(method, path) for method, path, *_ in TEXTS if words not in predicted(sandbox, method, f"{OURS}/{path}")[1]]
    assert wrong == []
    assert words in predicted(sandbox, "POST", "/graphql")[1]
    assert words in predicted(sandbox, "POST", "/example/demo.git/git-receive-pack", "github.com")[1]
    assert predicted(sandbox, "POST", f"{OURS}/git/blobs") == predicted(sandbox, "GET", OURS) == ("", [])
    assert predicted(sandbox, "POST", f"{OURS}/issues/5/comments?body=x")[0] == reasons.UNCLEAR


def test_a_body_that_is_not_read_whole_is_refused(sandbox: Running) -> None:
    long = json.dumps({"body": LONG + ELSEWHERE})
    made = [asked("POST", f"{OURS}/issues/5/comments", body=long), asked("POST", f"{OURS}/pulls/5/reviews", body=long)]
    for status, text, arrived in answers(sandbox, made):
        assert (status, f"{REFUSED}the gate cannot search so long a text" in text, arrived) == (403, True, False), text
    others = [
        asked("POST", f"{OURS}/issues/5/comments?body=x"), asked("POST", f"{OURS}/issues/5/comments", body=f"body={ELSEWHERE}"),
        asked("POST", f"{OURS}/issues/5/comments", body=json.dumps({"body": "x"}), **{"Content-Encoding": "gzip"}),
    ]  # fmt: skip
    assert [(status, arrived) for status, _, arrived in answers(sandbox, others)] == [(403, False)] * len(others)


def test_files_and_requests_without_text_pass(sandbox: Running) -> None:
    mail = json.dumps({"content": ELSEWHERE, "encoding": "utf-8"})
    made = [
        asked("POST", f"{OURS}/git/blobs", body=mail), asked("POST", f"{OURS}/git/blobs", body=json.dumps({"content": LONG})),
        asked("POST", f"{OURS}/git/trees", body=mail), {**asked("DELETE", f"{OURS}/labels/bug"), "body": ""},
        asked("PATCH", f"{OURS}/git/refs/heads/work", body=FORWARD), asked("GET", f"{OURS}/issues?q=stranger/elsewhere%231"),
        asked("POST", f"{OURS}/releases/1/assets?name=a", "uploads.github.com", ELSEWHERE),
    ]  # fmt: skip
    assert [arrived for _, _, arrived in answers(sandbox, made)] == [True] * len(made)


# Inputs of mutations, in which TEXT stands for the text, and the type of the variable.
MUTATIONS = [
    ("createPullRequest", '{repositoryId: "R_1", baseRefName: "main", headRefName: "work", title: TEXT}'),
    ("createIssue", '{repositoryId: "R_1", title: "t", body: TEXT}'), ("addComment", '{subjectId: "I_1", body: TEXT}'),
    ("mergePullRequest", '{pullRequestId: "PR_1", commitHeadline: TEXT}'),
    ("createCommitOnBranch", '{branch: {id: "BRANCH_1"}, message: {headline: "h", body: TEXT}}'),
    ("addPullRequestReview", '{pullRequestId: "PR_1", threads: [{path: "a/@b", body: TEXT}]}'),
    ("createRef", '{repositoryId: "R_1", name: TEXT, oid: "a1"}'),
]  # fmt: skip


def mutation(name: str, text: str) -> dict[str, Any]:
    return asked("POST", "/graphql", body=json.dumps({"query": f"mutation {{ {name}(input: {text}) {{ clientMutationId }} }}"}))


def test_no_text_of_a_mutation_refers_elsewhere(sandbox: Running) -> None:
    spelled = [json.dumps(ELSEWHERE), json.dumps(ELSEWHERE).replace("#", "\\u0023"), f'"""{ELSEWHERE}"""']
    bad = [mutation(name, text.replace("TEXT", one)) for name, text in MUTATIONS for one in spelled]
    query = "mutation($i: AddCommentInput!) { addComment(input: $i) { clientMutationId } }"
    variables = {"i": {"subjectId": "I_1", "body": ELSEWHERE}}
    bad.append(asked("POST", "/graphql", body=json.dumps({"query": query, "variables": variables})))
    for one, (status, text, arrived) in zip(bad, answers(sandbox, bad), strict=True):
        assert (status, f"{REFUSED}stranger/elsewhere#1. " in text, arrived) == (403, True, False), f"{one['body']}: {text}"
    fine = [mutation(name, text.replace("TEXT", json.dumps(FINE))) for name, text in MUTATIONS if name != "createRef"]
    fine.append(mutation("createRef", MUTATIONS[-1][1].replace("TEXT", '"refs/heads/new"')))
    fine.append(
        asked("POST", "/graphql", body=json.dumps({"query": f"query {{ search(query: {json.dumps(ELSEWHERE)}) {{ x }} }}"}))
    )
    assert [arrived for _, _, arrived in answers(sandbox, fine)] == [True] * len(fine)


def shell(sandbox: Running, script: str) -> tuple[int, str]:
    """Runs a script in the clone, on the remote's main branch. Returns its exit code and output."""
    start = "git fetch -q && git checkout -q -B main origin/main"
    done = sandbox.agent("sh", "-ec", f'cd "$0" && {start}\n{script}', WORK)
    return done.returncode, done.stdout + done.stderr


MANY = f'head -c 90000 /dev/urandom | base64 -w 150 | while read -r line; do {COMMIT} -m "$line"; done'
SIDE = f"git checkout -q --detach HEAD~1 && {COMMIT} -m side && git checkout -q -"
UNREAD = "the gate cannot read all commits and tags"
PUSHES = {
    "commit": (f"{COMMIT} -m '{ELSEWHERE}' && git push origin HEAD:main", "stranger/elsewhere#1"),
    "among others": (f"{COMMIT} -m a && {COMMIT} -m '@x' && {COMMIT} -m b && git push origin HEAD:refs/heads/new", "@x"),
    "tag": (f"git tag -f -m '{ELSEWHERE}' v9 && git push origin v9", "stranger/elsewhere#1"),
    "branch": ("git push origin HEAD:refs/heads/stranger/elsewhere#1", "stranger/elsewhere#1"),
    "too many": (f"{MANY}; git push origin HEAD:refs/heads/many", UNREAD),
}  # fmt: skip


@pytest.mark.parametrize("what", PUSHES)
def test_a_push_that_refers_elsewhere_is_refused(sandbox: Running, what: str) -> None:
    script, words = PUSHES[what]
    before = shell(sandbox, "git ls-remote origin")[1]
    code, text = shell(sandbox, script)
    assert (code != 0, f"remote: {REFUSED}{words}" in text) == (True, True), text
    assert shell(sandbox, "git ls-remote origin")[1] == before


@pytest.mark.parametrize(
    "script",
    [
        f"{COMMIT} -m '{FINE}' && git push origin HEAD:main",
        f"{COMMIT} -m a && git push origin HEAD:refs/heads/first && git push origin HEAD:refs/heads/second",
        f"{COMMIT} -m tagged && git tag -f -m 'version 1' v1 && git push origin HEAD:main v1",
        f"head -c 3000000 /dev/urandom >large && git add large && {COMMIT} -m large && git push origin HEAD:main",
        "git push origin HEAD:refs/heads/old && git push origin :refs/heads/old",
        SIDE + " && git merge -q --no-ff -m merge @{-1} && git push origin HEAD:main",
    ],
    ids=("commit", "branch of a known commit", "tag", "large file", "delete", "merge"),
)  # fmt: skip
def test_other_pushes_pass(sandbox: Running, script: str) -> None:
    code, text = shell(sandbox, script)
    assert code == 0, text


def test_the_operator_sees_the_reference(sandbox: Running) -> None:
    answers(sandbox, [asked("POST", f"{OURS}/issues/5/comments", body=json.dumps({"body": ELSEWHERE}))])

    def seen() -> bool:
        return any(e.reason is Reason.REFERENCE and e.detail == "stranger/elsewhere#1" for e in sandbox.events(Refused))

    eventually("it is in the journal", seen)
