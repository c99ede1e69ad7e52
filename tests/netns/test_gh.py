"""Real gh does an agent's daily work in a repository in scope, and is refused everything else with a reason."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from backend.contract.events import Wrote
from tests.netns.sandbox import LISTED, Running, eventually, start

pytestmark = pytest.mark.netns

REPO = "--repo example/demo"
WORK = "/workspace/repo"
WORKS = {
    "pr list": f"gh pr list {REPO}",
    "pr create": f"gh pr create {REPO} --title T --body B --head work --base main --label bug",
    "pr view": f"gh pr view 1 {REPO}",
    "pr diff": f"gh pr diff 1 {REPO}",
    "pr checks": f"gh pr checks 1 {REPO}",
    "pr checkout": f"gh pr checkout 1 {REPO}",
    "pr edit": f"gh pr edit 1 {REPO} --title U --add-label bug",
    "pr comment": f"gh pr comment 1 {REPO} --body hello",
    "pr review": f"gh pr review 1 {REPO} --comment --body fine",
    "pr approve": f"gh pr review 1 {REPO} --approve",
    "pr ready": f"gh pr ready 1 {REPO}",
    "pr merge": f"gh pr merge 1 {REPO} --squash",
    "pr merge auto": f"gh pr merge 1 {REPO} --auto --merge",
    "pr close": f"gh pr close 1 {REPO}",
    "issue list": f"gh issue list {REPO}",
    "issue create": f"gh issue create {REPO} --title T --body B --label bug --assignee @me",
    "issue view": f"gh issue view 2 {REPO}",
    "issue comment": f"gh issue comment 2 {REPO} --body hello",
    "issue edit": f"gh issue edit 2 {REPO} --title U --add-label bug",
    "issue close": f"gh issue close 2 {REPO} --comment done",
    "issue pin": f"gh issue pin 2 {REPO}",
    "release create": f"gh release create v1.0 /etc/hostname {REPO} --title T --notes N",
    "release upload": f"gh release upload v2.0 /etc/hostname {REPO}",
    "release list": f"gh release list {REPO}",
    "run list": f"gh run list {REPO}",
    "run view": f"gh run view 7 {REPO}",
    "run rerun": f"gh run rerun 7 --failed {REPO}",
    "workflow list": f"gh workflow list {REPO}",
    "label create": f"gh label create later {REPO}",
    "label list": f"gh label list {REPO}",
    "label edit": f"gh label edit bug --color 123456 {REPO}",
    "label delete": f"gh label delete bug --confirm {REPO}",
    "repo view": "gh repo view example/demo",
    "repo clone": "gh repo clone example/demo /tmp/gh-clone",
    "api": "gh api repos/example/demo/issues/1/comments -f body=hello",
    "api graphql": "gh api graphql -f query='{viewer{login}}'",
    "search": "gh search issues --repo example/demo x",
    "status": "gh auth status",
}
SCOPE, GRANT = "outside the writable repositories", "not granted to the agent"
FOREIGN = "--repo stranger/elsewhere"
# Each with a part of the message that gh shows.
REFUSED = {
    "gist": ("gh gist create /etc/hostname", SCOPE),
    "fork": ("gh repo fork example/demo --clone=false", GRANT),
    "fork elsewhere": ("gh repo fork stranger/elsewhere --clone=false", SCOPE),
    "repo create": ("gh repo create mine --private", "createRepository is not allowed"),
    "repo edit": ("gh repo edit example/demo --visibility public", GRANT),
    "repo delete": ("gh repo delete example/demo --confirm", GRANT),
    "repo archive": ("gh repo archive example/demo --confirm", "archiveRepository is not allowed"),
    "secret set": ("gh api -X PUT repos/example/demo/actions/secrets/A -f encrypted_value=x", GRANT),
    "key": ("gh ssh-key add /tmp/key.pub", SCOPE),
    "workflow run": (f"gh workflow run 7 {REPO} --ref main", GRANT),
    "run rerun": (f"gh run rerun 7 {REPO}", "run 7 cannot be rerun"),  # gh's own words for 403
    "run cancel": (f"gh run cancel 7 {REPO}", GRANT),
    "run approve": ("gh api -X POST repos/example/demo/actions/runs/7/approve", GRANT),
    "release delete": (f"gh release delete v2.0 --yes {REPO}", GRANT),
    "issue delete": (f"gh issue delete 2 --confirm {REPO}", "deleteIssue is not allowed"),
    "issue transfer": ("gh issue transfer 2 stranger/elsewhere -R example/demo", "transferIssue is not allowed"),
    "issue elsewhere": (f"gh issue create {FOREIGN} --title T --body B", "createIssue names an object in another repository"),
    "issue comment elsewhere": (f"gh issue comment 2 {FOREIGN} --body x", "addComment names an object in another repository"),
    "pr elsewhere": (f"gh pr create {FOREIGN} --title T --body B --head example:work --base main",
                     "createPullRequest names an object in another repository"),
    "label elsewhere": (f"gh label create later {FOREIGN}", SCOPE),
    "release elsewhere": (f"gh release create v1.0 {FOREIGN} --notes N", SCOPE),
    "star": ("gh api -X PUT user/starred/stranger/elsewhere", SCOPE),
    "delete main": ("gh api -X DELETE repos/example/demo/git/refs/heads/main", "deletion of the default branch"),
    "force main": ("gh api -X PATCH repos/example/demo/git/refs/heads/main -f sha=0123456789abcdef -F force=true",
                   "only fast-forwards of a branch"),
}  # fmt: skip


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(
        tmp_path_factory.mktemp("gh"), f"gh-{os.getpid()}", listed=LISTED + "uploads.github.com\n",
        GH_PAT="ghp_the-operators-own", REPO_URL="https://github.com/example/demo",
    )  # fmt: skip
    pushed = running.agent("git", "-C", WORK, "push", "-q", "origin", "HEAD:refs/heads/work")
    assert pushed.returncode == 0, pushed.stderr
    yield running
    running.stop()


def gh(sandbox: Running, command: str) -> tuple[int, str]:
    done = sandbox.agent("sh", "-c", f"cd {WORK} && {command} </dev/null")
    return done.returncode, done.stdout + done.stderr


def written(sandbox: Running) -> list[str]:
    """Returns the writes that have reached GitHub's REST API."""
    lines = [json.loads(line) for line in sandbox.seen.read_text().splitlines()]
    return [f"{one['method']} {one['path']}" for one in lines
            if one["kind"] == "http" and one["method"] not in ("GET", "HEAD") and one["path"] != "/graphql"]  # fmt: skip


def test_daily_work_needs_no_change(sandbox: Running) -> None:
    results = {name: gh(sandbox, command) for name, command in WORKS.items()}
    assert {name: text for name, (code, text) in results.items() if code or "codetainer" in text} == {}
    assert results["pr create"][1].strip() == "https://github.com/example/demo/pull/1"
    arrived = written(sandbox)
    for write in ("POST issues/1/comments", "POST releases", "POST releases/1/assets", "POST labels", "PATCH labels/bug",
                  "DELETE labels/bug", "POST actions/runs/7/rerun-failed-jobs"):  # fmt: skip
        method, path = write.split()
        assert f"{method} /repos/example/demo/{path}" in arrived
    expected = {
        ("createPullRequest in example/demo", ""),
        ("addComment in example/demo", ""),
        ("POST releases in example/demo", "https://github.com/example/demo/releases"),
        ("POST issues/*/comments in example/demo", ""),
        ("DELETE labels/bug in example/demo", ""),
    }
    eventually("the journal has them", lambda: expected <= {(event.what, event.link) for event in sandbox.events(Wrote)})


def test_everything_else_is_refused_with_the_reason(sandbox: Running) -> None:
    write = (
        "open('/tmp/key.pub', 'w').write('ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl a')"
    )
    assert sandbox.agent("/usr/bin/python3", "-c", write).returncode == 0
    before = written(sandbox)
    results = {name: gh(sandbox, command) for name, (command, _) in REFUSED.items()}
    assert {name: text for name, (code, text) in results.items() if not code or REFUSED[name][1] not in text} == {}
    assert written(sandbox) == before
    assert not [event.what for event in sandbox.events(Wrote) if "elsewhere" in event.what]
