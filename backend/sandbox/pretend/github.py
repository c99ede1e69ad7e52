"""As much of GitHub's API as `gh` asks for: one repository, whose pull requests can be made.

Source: GitHub's GraphQL and REST reference. Clients pass over what they did not ask for, so one answer serves every query.
"""

from __future__ import annotations

import base64
import json
from typing import Any

HOST = "api.github.com"


def answer(path: str, repository: str, body: bytes = b"") -> bytes | None:
    """The JSON answer to a request; None for what is not played here. `repository` is `owner/repo`."""
    owner, _, name = repository.partition("/")
    if path == "/graphql":
        return json.dumps({"data": {**_graph(owner, name), "nodes": _nodes(body, repository)}}).encode()
    if path == "/user":
        return json.dumps({"login": owner, "id": 1, "type": "User"}).encode()
    if path == f"/repos/{repository}":
        parent = {"full_name": f"upstream/{name}", "clone_url": f"https://github.com/upstream/{name}.git"}
        return json.dumps({"full_name": repository, "fork": True, "parent": parent}).encode()
    if path == f"/repos/{repository}/readme":
        text = base64.b64encode(b"# demo\n\nA repository to work on.\n").decode()
        return json.dumps({"name": "README.md", "encoding": "base64", "content": text}).encode()
    return None


def _graph(owner: str, name: str) -> dict[str, Any]:
    url = f"https://github.com/{owner}/{name}"
    repository = {
        "id": "R_1", "name": name, "nameWithOwner": f"{owner}/{name}", "owner": {"id": "U_1", "login": owner},
        "description": "A repository to work on", "url": url, "hasIssuesEnabled": True, "hasWikiEnabled": False,
        "viewerPermission": "WRITE", "defaultBranchRef": {"name": "main"}, "parent": None, "isPrivate": False,
        "mergeCommitAllowed": True, "rebaseMergeAllowed": True, "squashMergeAllowed": True,
        "pullRequests": {"nodes": [], "totalCount": 0}, "pullRequestTemplates": [],
    }  # fmt: skip
    made = {"pullRequest": {"id": "PR_1", "number": 1, "url": f"{url}/pull/1"}}
    viewer = {"id": "U_1", "login": owner, "organizations": {"nodes": []}}
    return {"repository": repository, "repo_000": repository, "viewer": viewer, "createPullRequest": made}


def _nodes(body: bytes, repository: str) -> list[Any]:
    """Objects by their ids: X_1 belongs to the repository, X_2 to somebody else's, U_ are users; others are not there."""
    try:
        ids = json.loads(body)["variables"]["ids"]
    except (ValueError, KeyError, TypeError):
        return []
    places = {"1": {"nameWithOwner": repository}, "2": {"nameWithOwner": "stranger/elsewhere"}}
    found: list[Any] = []
    for identity in ids:
        kind, _, number = identity.partition("_")
        if kind == "U":
            found.append({"__typename": "User"})
        elif number not in places:
            found.append(None)
        elif kind == "R":
            found.append({"__typename": "Repository", **places[number]})
        elif kind == "LB":
            found.append({"__typename": "LinkedBranch", "ref": {"repository": places[number]}})
        elif kind == "DC":
            found.append({"__typename": "DiscussionComment", "discussion": {"repository": places[number]}})
        else:
            found.append({"__typename": "Issue", "repository": places[number]})
    return found
