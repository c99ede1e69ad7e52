"""Pushes of real git: the default branch and protected branches only move forwards, and tags stay."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from backend.contract.events import Reason, Refused, Wrote
from tests.netns import worlds
from tests.netns.sandbox import Begin, Running, eventually

pytestmark = worlds.BOTH

REAL = "ghp_the-operators-own"
WORK = "/tmp/pushes"
COMMIT = "git -c user.name=A -c user.email=a@a.example commit -q --allow-empty"
PREPARE = """
git clone -q https://github.com/example/demo "$0" && cd "$0"
git config user.name A && git config user.email a@a.example
git push -q origin HEAD:refs/heads/work HEAD:refs/heads/protected HEAD:refs/heads/old HEAD:refs/tags/v1
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, begin: Begin) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("pushes")
    running = begin(folder, f"pushes-{os.getpid()}", GH_PAT=REAL, REPO_URL="https://github.com/example/demo")
    prepared = running.agent("sh", "-ec", PREPARE, WORK)
    assert prepared.returncode == 0, prepared.stdout + prepared.stderr
    yield running
    if running.process.poll() is None:
        running.stop()


def shell(sandbox: Running, script: str) -> tuple[int, str]:
    """Runs a script in the clone, on the remote's main branch. Returns its exit code and output."""
    start = "git fetch -q && git checkout -q -B main origin/main"
    done = sandbox.agent("sh", "-ec", f'cd "$0" && {start}\n{script}', WORK)
    return done.returncode, done.stdout + done.stderr


def queries(sandbox: Running) -> int:
    """Counts the gate's own questions about branches."""
    return sandbox.asked(kind="http", path="/graphql", host="api.github.com")


ORDINARY = {
    "a commit": f"{COMMIT} -m one && git push -q",
    "many commits": f"for n in $(seq 120); do {COMMIT} -m $n; done; git push -q",
    "a merge": f"git checkout -q --detach HEAD~1 && {COMMIT} -m side && git checkout -q - && "
               "git merge -q --no-ff -m merge @{-1} && git push -q",
    "a large file": f"head -c 3000000 /dev/urandom >large && git add large && {COMMIT} -m large && git push -q",
    "a new branch and a new tag": f"{COMMIT} -m new && git push -q origin HEAD:refs/heads/new HEAD:refs/tags/v2",
}  # fmt: skip


@pytest.mark.parametrize("what", ORDINARY)
def test_an_ordinary_push_asks_github_nothing(sandbox: Running, what: str) -> None:
    before = queries(sandbox)
    code, text = shell(sandbox, ORDINARY[what])
    assert code == 0, text
    assert queries(sandbox) == before


@pytest.mark.parametrize(
    "script",
    [
        f"{COMMIT} -m first && git push -q origin HEAD:refs/heads/feature && git push -q origin HEAD:main",
        f"{COMMIT} -m two && git push -q origin HEAD:main HEAD:protected",
    ],
    ids=("main", "protected"),
)
def test_a_branch_is_moved_to_a_commit_that_github_has(sandbox: Running, script: str) -> None:
    before = sandbox.asked(kind="http", host="api.github.com", method="GET", credential=f"Bearer {REAL}")
    code, text = shell(sandbox, script)
    assert code == 0, text
    assert sandbox.asked(kind="http", host="api.github.com", method="GET", credential=f"Bearer {REAL}") == before + 1


@pytest.mark.parametrize(
    "script",
    [
        f"git reset -q --hard HEAD~1 && {COMMIT} -m other && git push --force origin HEAD:work",
        "git push origin :refs/heads/old",
        f"{COMMIT} -m note && git notes add -f -m x && git push -f origin refs/notes/commits",
    ],
    ids=("force", "delete", "notes"),
)
def test_other_branches_are_moved_and_deleted_freely(sandbox: Running, script: str) -> None:
    code, text = shell(sandbox, script)
    assert code == 0, text


FORCE = "force-push to a guarded branch: {}. Merge or rebase"
TO_MAIN = "git push -f origin HEAD:main"
REFUSED = {
    "force main": ("git commit -q --allow-empty --amend -m x && git push -f origin HEAD:main", FORCE.format("main")),
    "rewind main": ("git push -f origin HEAD~1:main", FORCE.format("main")),
    "force-with-lease": (f"git reset -q --hard HEAD~1 && {COMMIT} -m x && git push --force-with-lease origin HEAD:main",
                         FORCE.format("main")),
    "large": (f"git reset -q --hard HEAD~1 && head -c 3000000 /dev/urandom >big && git add big && {COMMIT} -m x && {TO_MAIN}",
              FORCE.format("main")),
    "force a protected one": (f"git checkout -q --orphan o && {COMMIT} -m x && git push -f origin HEAD:protected",
                              FORCE.format("protected")),
    "delete main": ("git push origin :main", "deletion of the default branch: main."),
    "delete a protected one": ("git push origin :protected", "deletion of a protected branch: protected."),
    "among others": ("git push -f origin HEAD:refs/heads/another HEAD~1:main", FORCE.format("main")),
    "move a tag": (f"{COMMIT} -m x && git push -f origin HEAD:refs/tags/v1", "change of a tag: refs/tags/v1."),
    "delete a tag": ("git push origin :refs/tags/v1", "change of a tag: refs/tags/v1."),
    "another kind of ref": ("git push -q origin HEAD:refs/hidden/x", "not granted to the agent: refs/hidden/x is no"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_guarded_branch_or_tag_is_not_lost(sandbox: Running, what: str) -> None:
    script, why = REFUSED[what]
    before = shell(sandbox, "git ls-remote origin")[1]
    code, text = shell(sandbox, script)
    assert (code != 0, f"remote: codetainer: {why}" in text) == (True, True), text
    assert "[remote rejected]" in text and "refused by the sandbox" in text
    assert shell(sandbox, "git ls-remote origin")[1] == before


def test_the_operator_sees_the_refusal(sandbox: Running) -> None:
    def seen() -> bool:
        return any(e.reason is Reason.DEFAULT_BRANCH and e.detail == "main" for e in sandbox.events(Refused))

    shell(sandbox, "git push origin :main || true")
    eventually("it is in the journal", seen)


def test_the_operator_sees_what_was_pushed(sandbox: Running) -> None:
    code, text = shell(sandbox, f"{COMMIT} -m seen && git push -q origin HEAD:refs/heads/seen HEAD:refs/tags/seen")
    assert code == 0, text
    shell(sandbox, "git push -q origin HEAD:refs/heads/linked; git push -q origin :linked")
    page = "https://github.com/example/demo/tree/linked"
    expected = {
        ("push to example/demo: seen, refs/tags/seen", ""),
        ("push to example/demo: linked", page),
        ("push to example/demo: deleted linked", ""),
    }
    eventually("it is in the journal", lambda: expected <= {(event.what, event.link) for event in sandbox.events(Wrote)})
    assert not [event for event in sandbox.events(Wrote) if "main" in event.what and "deleted" in event.what]


def test_a_compressed_push_is_refused(sandbox: Running) -> None:
    done = sandbox.agent(
        "sh", "-c",
        'printf 0000 | gzip | curl -sS -o /dev/null -w "%{http_code}" -u "x:$GH_TOKEN" -H "Content-Encoding: gzip" '
        "--data-binary @- https://github.com/example/demo.git/git-receive-pack",
    )  # fmt: skip
    assert done.stdout == "403", done.stderr
