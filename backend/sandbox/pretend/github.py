"""The part of GitHub's API that `gh` uses: one repository, in which pull requests and releases can be created.

Source: GitHub's GraphQL and REST reference. REST clients ignore fields that they do not know, so one answer serves all.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from backend.sandbox.pretend import graphql
from backend.sandbox.pretend.repositories import EMPTY, MIXED, RENAMED, SIZES

HOST = "api.github.com"
UPLOADS_HOST = "uploads.github.com"
DEFAULT_BRANCH = "main"
WHEN = "2026-01-02T03:04:05Z"
SIZE = 24  # KiB of the repository, packed
MIXED_ID = 2  # of the repository MIXED
PROTECTED = "protected"  # a branch of this name is protected
FORKED = 9  # a pull request of this number comes from a fork in FORK, as does the object FORK_1
FORK = "stranger/elsewhere"
SILENT = "SILENT_1"  # a query for the object with this id is never answered


def answer(path: str, repository: str, body: bytes = b"") -> tuple[int, bytes] | None:
    """The status and JSON for a request, None if the path is not implemented. `repository` is `owner/repo`."""
    owner, _, name = repository.partition("/")
    if path == "/graphql":
        result: Any = {"data": _data(body, repository)}
    elif path == "/search/issues":
        result = {"total_count": 0, "items": []}
    elif path == "/user":
        result = {"login": owner, "id": 1, "type": "User"}
    elif path == f"/repos/{repository}":
        parent = {"full_name": f"upstream/{name}", "clone_url": f"https://github.com/upstream/{name}.git"}
        result = {"full_name": repository, "fork": True, "parent": parent, "size": SIZE}
    elif path == f"/repositories/{MIXED_ID}":
        result = _other(f"{owner}/{MIXED}")
    elif path.startswith(f"/repos/{owner}/") and path.rpartition("/")[2] in SIZES:
        result = _other(path.removeprefix("/repos/"))
    elif path.startswith(f"/repos/{repository}/"):
        return _below(path.removeprefix(f"/repos/{repository}/"), repository)
    else:
        return None
    return 200, json.dumps(result).encode()


def creates(path: str) -> bool:
    """True if a POST to this path creates an object, whose address GitHub names in the header Location."""
    return path.endswith(("/pulls", "/issues", "/releases"))


def renamed(host: str, git_host: str, repository: str, path: str) -> str:
    """The redirect target of a request for RENAMED, "" for any other. As at GitHub: the API names the repository by its id."""
    owner = repository.partition("/")[0]
    api, git = f"/repos/{owner}/{RENAMED}", f"/{owner}/{RENAMED}"
    if host == HOST and (path == api or path.startswith((f"{api}/", f"{api}?"))):
        return f"https://{HOST}/repositories/{MIXED_ID}{path.removeprefix(api)}"
    if git_host and host == git_host and path.startswith((f"{git}/", f"{git}.git/")):
        return f"https://{git_host}/{owner}/{MIXED}{path.removeprefix(git)}"
    return ""


def _other(repository: str) -> dict[str, Any]:
    """An awkward repository."""
    return {"full_name": repository, "fork": False, "size": SIZES[repository.rpartition("/")[2]], "default_branch": "main"}


def _below(path: str, repository: str) -> tuple[int, bytes] | None:
    """Answers requests for objects in the repository: a README, release 1, workflow 7 and its only run, which has failed."""
    text = base64.b64encode(b"# demo\n\nA repository to work on.\n").decode()
    jobs = f"https://{HOST}/repos/{repository}/actions/runs/7/jobs"
    run = {"id": 7, "name": "CI", "workflow_id": 7, "status": "completed", "conclusion": "failure", "jobs_url": jobs,
           "head_branch": "work", "event": "push", "created_at": WHEN, "updated_at": WHEN, "run_started_at": WHEN}  # fmt: skip
    workflow = {"id": 7, "name": "CI", "path": ".github/workflows/ci.yml", "state": "active"}
    objects: dict[str, dict[str, Any]] = {
        "readme": {"name": "README.md", "encoding": "base64", "content": text},
        "labels": {"id": 1, "name": "later", "color": "cccccc"},
        "releases": _release(repository),
        "releases/1": _release(repository),
        "releases/1/assets": {"id": 1, "name": "file", "state": "uploaded"},  # at UPLOADS_HOST
        "actions/workflows/7": workflow,
        "actions/runs/7": run,
        "actions/runs": {"total_count": 1, "workflow_runs": [run]},
        "actions/runs/7/artifacts": {"total_count": 0, "artifacts": []},
        "actions/runs/7/jobs": {"total_count": 0, "jobs": []},
        "actions/workflows": {"total_count": 1, "workflows": [workflow]},
        "labels/bug": {"id": 1, "name": "bug", "color": "cccccc"},
        "releases/tags/v2.0": _release(repository),
        "actions/runs/7/rerun-failed-jobs": {},
    }
    if path.startswith("releases/tags/") and path not in objects:
        return 404, json.dumps({"message": "Not Found"}).encode()
    return (200, json.dumps(objects[path]).encode()) if path in objects else None


def is_silent(body: bytes) -> bool:
    """True for a query that is never answered. A mutation that names the object is answered as usual."""
    ids = _variables(body).get("ids")
    return isinstance(ids, list) and SILENT in ids


def _variables(body: bytes) -> dict[str, Any]:
    try:
        variables = json.loads(body)["variables"]
    except (ValueError, KeyError, TypeError):
        return {}
    return variables if isinstance(variables, dict) else {}


def _release(repository: str) -> dict[str, Any]:
    url = f"https://{HOST}/repos/{repository}/releases/1"
    uploads = f"https://{UPLOADS_HOST}/repos/{repository}/releases/1/assets{{?name,label}}"
    return {"id": 1, "url": url, "upload_url": uploads, "html_url": f"https://github.com/{repository}/releases/tag/v1.0",
            "tag_name": "v1.0", "draft": True, "assets": []}  # fmt: skip


def _data(body: bytes, repository: str) -> dict[str, Any]:
    """Answers a GraphQL request; an empty object if the query cannot be parsed, because it is a test's."""
    try:
        query = str(json.loads(body)["query"])
        return graphql.answer(query, _variables(body), _graph(repository, query))
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return {}


def _nodes_of(*items: Any) -> dict[str, Any]:
    return {"nodes": list(items), "totalCount": len(items), "pageInfo": {"hasNextPage": False, "endCursor": ""}}


def _graph(repository: str, query: str) -> dict[str, Any]:
    """The root of queries and mutations: pull request 1 and issue 2, which are open."""
    owner, _, name = repository.partition("/")
    url, when = f"https://github.com/{repository}", WHEN
    of_owner, bug = {"id": "U_1", "login": owner, "__typename": "User"}, {"id": "LA_1", "name": "bug", "color": "cccccc"}
    lists = ("labels", "assignees", "reviewRequests", "reviews", "latestReviews", "comments", "projectCards", "projectItems")
    common = {
        "title": "T", "body": "B", "state": "OPEN", "closed": False, "author": of_owner, "createdAt": when, "updatedAt": when,
        **{key: _nodes_of() for key in lists},
    }  # fmt: skip
    check = {"__typename": "StatusContext", "context": "ci", "state": "SUCCESS", "targetUrl": url, "createdAt": when}
    commit = {"oid": "0" * 40, "commit": {"oid": "0" * 40, "statusCheckRollup": {"contexts": _nodes_of(check)}}}
    pull = {
        **common, "__typename": "PullRequest", "id": "PR_1", "number": 1, "url": f"{url}/pull/1", "isDraft": True,
        "headRefName": "work", "baseRefName": "main",
        "headRepository": {"id": "R_1", "name": name, "nameWithOwner": repository},
        "headRepositoryOwner": of_owner, "isCrossRepository": False, "mergeable": "MERGEABLE", "mergeStateStatus": "CLEAN",
        "commits": _nodes_of(commit), "statusCheckRollup": _nodes_of(commit), "files": _nodes_of(), "reviewDecision": "",
    }  # fmt: skip
    forked = {**pull, "headRepository": {"nameWithOwner": FORK}}
    issue = {**common, "__typename": "Issue", "id": "I_1", "number": 2, "url": f"{url}/issues/2"}
    here = {
        "id": "R_1", "name": name, "nameWithOwner": repository, "owner": of_owner, "__typename": "Repository",
        "description": "A repository to work on", "url": url, "hasIssuesEnabled": True, "hasWikiEnabled": False,
        "viewerPermission": "WRITE", "parent": None, "isPrivate": False, "defaultBranchRef": {"name": DEFAULT_BRANCH},
        "mergeCommitAllowed": True, "rebaseMergeAllowed": True, "squashMergeAllowed": True, "pullRequestTemplates": [],
        "pullRequest": lambda asked: forked if asked.get("number") == FORKED else pull,
        "issue": issue, "issueOrPullRequest": lambda asked: issue if asked.get("number") == 2 else pull,
        "pullRequests": lambda asked: _nodes_of() if asked.get("headRefName") else _nodes_of(pull), "issues": _nodes_of(issue),
        "labels": _nodes_of(bug), "label": bug, "assignableUsers": _nodes_of(of_owner), "milestones": _nodes_of(),
        "projects": _nodes_of(), "projectsV2": _nodes_of(), "releases": _nodes_of(),
        "ref": lambda asked: _protection(str(asked.get("qualifiedName"))),
    }  # fmt: skip

    def found(asked: dict[str, Any]) -> dict[str, Any]:
        """A repository. The ids in all others end in 2."""
        named = f"{asked.get('owner')}/{asked.get('name')}"
        if asked.get("name") == EMPTY:
            return {**here, "defaultBranchRef": None}
        if named == repository:
            return here
        foreign = {**here, "id": "R_2", "name": asked.get("name"), "nameWithOwner": named}
        return foreign | {"issue": issue | {"id": "I_2"}, "issueOrPullRequest": issue | {"id": "I_2"}}

    done = {
        "pullRequest": pull, "issue": issue, "commentEdge": {"node": {"url": f"{url}/issues/2#1"}}, "clientMutationId": "",
        "subject": issue,
    }  # fmt: skip
    root: dict[str, Any] = {
        "repository": found, "viewer": {**of_owner, "organizations": _nodes_of()}, "node": pull, "user": of_owner,
        "search": _nodes_of(), "nodes": lambda asked: _nodes(asked.get("ids"), repository), "organization": None,
    }  # fmt: skip
    return root | dict.fromkeys(re.findall(r"\w+(?=\s*\(\s*input\s*:)", query), done)


def _protection(ref: str) -> dict[str, Any]:
    """The fields of a branch that say whether it is protected."""
    rule = {"pattern": PROTECTED} if ref == f"refs/heads/{PROTECTED}" else None
    return {"refUpdateRule": rule, "rules": {"totalCount": 0}}


def compared(path: str, repository: str) -> tuple[str, str] | None:
    """The two commits of a request to compare commits; None for other paths."""
    match = re.fullmatch(f"/repos/{re.escape(repository)}/compare/([0-9a-f]{{40}})\\.\\.\\.([0-9a-f]{{40}})", path)
    return (match[1], match[2]) if match else None


def comparison(*, ahead: bool) -> bytes:
    return json.dumps({"status": "ahead" if ahead else "diverged", "commits": []}).encode()


def _nodes(ids: object, repository: str) -> list[Any]:
    """Returns the objects with the requested ids. X_1 is in the repository, X_2 in a foreign one, and U_ is a user.

    PR_1 is a pull request from a branch of the repository, FORK_1 one from a fork. DEFAULT_1 is the default branch,
    PROTECTED_1 a protected branch, BRANCH_1 another one, TAG_1 a tag. Unknown ids give None.
    """
    if not isinstance(ids, list):
        return []
    places = {"1": {"nameWithOwner": repository}, "2": {"nameWithOwner": FORK}}
    nodes: list[Any] = []
    for identity in ids:
        kind, _, number = identity.partition("_")
        if kind == "U":
            nodes.append({"__typename": "User"})
        elif number not in places:
            nodes.append(None)
        elif kind == "R":
            nodes.append({"__typename": "Repository", **places[number]})
        elif kind in ("DEFAULT", "PROTECTED", "BRANCH", "TAG"):
            here = {**places[number], "defaultBranchRef": {"name": DEFAULT_BRANCH}}
            name = {"DEFAULT": DEFAULT_BRANCH, "PROTECTED": PROTECTED, "BRANCH": "work", "TAG": "v1"}[kind]
            prefix = "refs/tags/" if kind == "TAG" else "refs/heads/"
            of_ref = {"name": name, "prefix": prefix, "repository": here}
            nodes.append({"__typename": "Ref", **of_ref, **_protection(prefix + name)})
        elif kind == "LB":
            nodes.append({"__typename": "LinkedBranch", "ref": {"repository": places[number]}})
        elif kind == "DC":
            nodes.append({"__typename": "DiscussionComment", "discussion": {"repository": places[number]}})
        elif kind in ("PR", "FORK"):
            head = places[number] if kind == "PR" else places["2"]
            nodes.append({"__typename": "PullRequest", "repository": places[number], "headRepository": head})
        else:
            nodes.append({"__typename": "Issue", "repository": places[number]})
    return nodes
