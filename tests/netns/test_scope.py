"""The scope of the operator's credential: only listed writes, with normalised paths, are allowed.

The agent makes each request, and the pretend internet's log shows whether it has arrived.

Length: a table of allowed requests and one of refused requests.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from backend.contract.events import Reason, Refused, Via
from backend.settings import credentials_file
from network.gate import credentials
from tests.netns import worlds
from tests.netns.sandbox import LISTED, Begin, Running, eventually

pytestmark = worlds.BOTH

GIVEN = credentials.placeholders(credentials_file.shipped())
GITHUB, CLAUDE = GIVEN["GH_PAT"], GIVEN["CLAUDE_CODE_OAUTH_TOKEN"]
API, GIT, UPLOADS = "api.github.com", "github.com", "uploads.github.com"
OURS = "/repos/example/demo"
OWN = """
[[credential]]
variable = "FORGE_TOKEN"
header = "x-forge"

[[host]]
name = "forge.test"
credentials = ["FORGE_TOKEN"]
writes = ["POST /api/issues/"]
refuse_paths = ["/admin/"]
refuse_headers = { x-act-as = "root" }
"""
FORGE = "codetainer-holds-FORGE_TOKEN"

# Makes requests from a list of {host, method, path, headers, body}, over one connection for each host and with unchanged
# paths. Prints the statuses.
ASK = """
import http.client, json, ssl, sys
connections, statuses = {}, []
for one in json.load(open(sys.argv[1])):
    host = one["host"]
    if host not in connections:
        connections[host] = http.client.HTTPSConnection(host, timeout=30, context=ssl.create_default_context())
    connection = connections[host]
    connection.putrequest(one["method"], one["path"])
    body = one["body"].encode()
    for name, value in {"User-Agent": "test", **one["headers"], "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    text = answer.read().decode()
    statuses.append([answer.status, text])
    if answer.will_close:
        connection.close()
print(json.dumps(statuses))
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, begin: Begin) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("scope")
    (folder / "credentials.toml").write_text(OWN)
    running = begin(
        folder, f"scope-{os.getpid()}", "--credentials", str(folder / "credentials.toml"),
        listed=LISTED + "uploads.github.com\nforge.test\n", REPO_URL="https://github.com/example/demo",
        CODETAINER_PUSH="friend/*", GH_PAT="ghp_the-operators-own", FORGE_TOKEN="forge-the-operators-own",
        CLAUDE_CODE_OAUTH_TOKEN="sk-ant-oat01-the-operators-own",
    )  # fmt: skip
    yield running
    if running.process.poll() is None:
        running.stop()


def asked(method: str, path: str, host: str = API, body: str = "{}", **headers: str) -> dict[str, Any]:
    """Returns a request with the right placeholder. Underscores in header names stay underscores."""
    if host == "api.anthropic.com":  # the gate reads its requests, and a GET there has no body
        body, headers = "" if method == "GET" else body, {"Content-Type": "application/json", **headers}
    own = {"x-forge": FORGE} if host == "forge.test" else {
        "Authorization": f"Bearer {CLAUDE if host == 'api.anthropic.com' else GITHUB}"
    }  # fmt: skip
    return {"host": host, "method": method, "path": path, "body": body, "headers": {**own, **headers}}


def ask(sandbox: Running, requests: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Makes the requests, over one connection for each host. Returns the status and text of each."""
    (sandbox.paths.root / "tmp/requests").write_text(json.dumps(requests))
    return [(status, text) for status, text in sandbox.python(ASK, "/tmp/requests")]


def answers(sandbox: Running, requests: Iterable[dict[str, Any]]) -> list[tuple[int, str, bool]]:
    """Returns each request's status, its response, and whether it arrived, which a mark in a header's name shows."""
    marks, marked = [], []
    for one in requests:
        marks.append(os.urandom(8).hex())
        marked.append({**one, "headers": {**one["headers"], f"X-Mark-{marks[-1]}": "1"}})
    results = ask(sandbox, marked)
    seen = sandbox.seen.read_text()
    return [(status, text, mark in seen) for (status, text), mark in zip(results, marks, strict=True)]


def differing(sandbox: Running, requests: list[dict[str, Any]], status: int) -> list[str]:
    """Returns the requests with another status, and those that arrived unexpectedly or did not arrive."""
    results = answers(sandbox, requests)
    return [
        f"{one['method']} {one['host']}{one['path']}: {got}{', arrived' if arrived else ''}"
        for one, (got, _, arrived) in zip(requests, results, strict=True)
        if got != status or arrived is not (status == 200)
    ]


GRANTED = [
    ("POST", "git/blobs"), ("POST", "git/trees"), ("POST", "git/commits"), ("POST", "git/tags"), ("POST", "git/refs"),
    ("DELETE", "git/refs/heads/work"), ("DELETE", "git/refs/heads/a/deeper/one"),
    ("PUT", "contents/src/a.py"), ("DELETE", "contents/.github/a"), ("POST", "merges"), ("POST", "merge-upstream"),
    ("POST", "commits/abc/comments"), ("PATCH", "comments/5"), ("DELETE", "comments/5"),
    ("POST", "pulls"), ("PATCH", "pulls/5"), ("PUT", "pulls/5/merge"), ("PUT", "pulls/5/update-branch"),
    ("POST", "pulls/5/requested_reviewers"), ("DELETE", "pulls/5/requested_reviewers"), ("POST", "pulls/5/reviews"),
    ("PUT", "pulls/5/reviews/7"), ("DELETE", "pulls/5/reviews/7"), ("POST", "pulls/5/reviews/7/events"),
    ("POST", "pulls/5/comments"), ("POST", "pulls/5/comments/7/replies"), ("PATCH", "pulls/comments/7"),
    ("DELETE", "pulls/comments/7"), ("POST", "pulls/comments/7/reactions"),
    ("POST", "issues"), ("PATCH", "issues/5"), ("POST", "issues/5/comments"), ("PATCH", "issues/comments/7"),
    ("DELETE", "issues/comments/7"), ("POST", "issues/5/labels"), ("PUT", "issues/5/labels"), ("DELETE", "issues/5/labels/bug"),
    ("POST", "issues/5/assignees"), ("PUT", "issues/5/lock"), ("DELETE", "issues/5/lock"), ("POST", "issues/5/reactions"),
    ("POST", "labels"), ("PATCH", "labels/bug"), ("DELETE", "labels/bug"), ("POST", "milestones"), ("PATCH", "milestones/1"),
    ("POST", "releases"), ("PATCH", "releases/1"), ("POST", "releases/generate-notes"),
    ("POST", "actions/runs/5/rerun-failed-jobs"),
    # these look like settings, but are files, labels or branches
    ("PUT", "contents/hooks/keys"), ("DELETE", "labels/hooks"), ("DELETE", "git/refs/heads/main/approve"),
]  # fmt: skip

REFUSED = [
    # the repository itself
    ("PATCH", ""), ("DELETE", ""), ("POST", "transfer"), ("POST", "forks"), ("POST", "generate"), ("PUT", "topics"),
    ("POST", "branches/main/rename"), ("PUT", "branches/main/protection"), ("DELETE", "branches/main/protection"),
    ("POST", "branches/main/protection/enforce_admins"), ("POST", "rulesets"), ("PUT", "rulesets/1"), ("DELETE", "rulesets/1"),
    ("POST", "tags/protection"), ("PATCH", "properties/values"), ("POST", "autolinks"), ("PUT", "interaction-limits"),
    ("POST", "pages"), ("PUT", "pages"), ("POST", "pages/deployments"), ("PUT", "lfs"), ("DELETE", "lfs"),
    ("PUT", "immutable-releases"), ("DELETE", "immutable-releases"), ("PUT", "import"), ("POST", "attestations"),
    # access and notifications
    ("PUT", "collaborators/evil"), ("DELETE", "collaborators/evil"), ("PATCH", "invitations/1"), ("POST", "hooks"),
    ("PATCH", "hooks/1"), ("POST", "hooks/1/deliveries/2/attempts"), ("POST", "keys"), ("DELETE", "keys/1"),
    ("PUT", "teams/evil"), ("PUT", "subscription"), ("PUT", "notifications"), ("POST", "codespaces"),
    ("POST", "pulls/5/codespaces"),
    # approvals, which are reserved for people
    ("POST", "actions/runs/5/approve"), ("POST", "actions/runs/5/pending_deployments"),
    ("POST", "actions/runs/5/deployment_protection_rule"), ("POST", "statuses/abc"), ("POST", "check-runs"),
    ("PATCH", "check-runs/5"), ("POST", "check-runs/5/rerequest"), ("POST", "check-suites"),
    ("PATCH", "check-suites/preferences"), ("POST", "check-suites/5/rerequest"), ("PUT", "pulls/5/reviews/7/dismissals"),
    # workflows and deployments
    ("POST", "dispatches"), ("POST", "actions/workflows/5/dispatches"), ("PUT", "actions/workflows/5/enable"),
    ("PUT", "actions/workflows/5/disable"), ("POST", "actions/runs/5/rerun"), ("POST", "actions/jobs/5/rerun"),
    ("POST", "actions/runs/5/cancel"), ("POST", "actions/runs/5/force-cancel"), ("DELETE", "actions/runs/5"),
    ("DELETE", "actions/runs/5/logs"), ("DELETE", "actions/artifacts/5"), ("DELETE", "actions/caches"),
    ("DELETE", "actions/caches/5"), ("PUT", "actions/cache/retention-limit"), ("PUT", "actions/cache/storage-limit"),
    ("PATCH", "actions/cache/usage-policy"), ("PUT", "actions/permissions"), ("PUT", "actions/permissions/workflow"),
    ("PUT", "actions/secrets/A"), ("POST", "actions/variables"), ("POST", "actions/runners/registration-token"),
    ("PUT", "actions/oidc/customization/sub"), ("POST", "deployments"), ("POST", "deployments/5/statuses"),
    ("DELETE", "deployments/5"), ("PUT", "environments/production"), ("DELETE", "environments/production"),
    ("PUT", "environments/production/secrets/A"), ("POST", "environments/production/deployment_protection_rules"),
    # security
    ("POST", "security-advisories"), ("POST", "security-advisories/reports"), ("PATCH", "security-advisories/GHSA-1"),
    ("POST", "security-advisories/GHSA-1/forks"), ("POST", "security-advisories/GHSA-1/cve"),
    ("POST", "secret-scanning/push-protection-bypasses"), ("PATCH", "secret-scanning/alerts/1"),
    ("PATCH", "code-scanning/alerts/1"), ("PATCH", "code-scanning/default-setup"), ("POST", "code-scanning/sarifs"),
    ("DELETE", "code-scanning/analyses/1"), ("POST", "code-scanning/codeql/variant-analyses"),
    ("PATCH", "dependabot/alerts/1"), ("PUT", "dependabot/secrets/A"), ("PUT", "vulnerability-alerts"),
    ("DELETE", "vulnerability-alerts"), ("PUT", "automated-security-fixes"), ("DELETE", "automated-security-fixes"),
    ("PUT", "private-vulnerability-reporting"), ("DELETE", "private-vulnerability-reporting"),
    ("POST", "dependency-graph/snapshots"),
    # objects that others use, and objects of other repositories
    ("DELETE", "releases/1"), ("DELETE", "releases/assets/1"), ("PATCH", "releases/assets/1"),
    ("PATCH", "git/refs/tags/v1"), ("DELETE", "git/refs/tags/v1"), ("PATCH", "git/refs/heads"), ("DELETE", "git/refs/heads"),
    ("POST", "issues/5/sub_issues"), ("DELETE", "issues/5/sub_issue"), ("POST", "issues/5/dependencies/blocked_by"),
    # unknown paths
    ("POST", "something-new"), ("POST", "issues/5/something-new"), ("OPTIONS", "issues"), ("REPORT", "issues"),
]  # fmt: skip


def paths(cases: list[tuple[str, str]], form: str) -> list[dict[str, Any]]:
    return [asked(method, form.format(f"{OURS}/{path}".rstrip("/")), body=body_of(path)) for method, path in cases]


def body_of(path: str) -> str:
    return json.dumps({"ref": "refs/heads/new", "sha": "0" * 39 + "1"}) if path.endswith("git/refs") else "{}"


@pytest.mark.parametrize("form", ["{}", "{}/"])
def test_daily_work_is_allowed(sandbox: Running, form: str) -> None:
    assert differing(sandbox, paths(GRANTED, form), 200) == []


@pytest.mark.parametrize("form", ["{}", "{}/", "{}//", "{}/?x=1", "{}/."])
def test_actions_reserved_for_people_are_refused_in_every_form(sandbox: Running, form: str) -> None:
    assert differing(sandbox, paths(REFUSED, form), 403) == []


@pytest.mark.parametrize(
    "change", [str.upper, lambda path: path.replace("a", "%61"), lambda path: path.replace("demo", "demo.git")]
)
def test_other_spellings_are_refused_too(sandbox: Running, change: Any) -> None:
    assert differing(sandbox, [asked(method, change(f"{OURS}/{path}")) for method, path in REFUSED], 403) == []


@pytest.mark.parametrize(
    "path",
    [
        "{}/issues//", "{}//issues", "{}/./issues", "{}/pulls/../issues", "{}/issues/.", "{}/issues;x", "{}/issues\\x",
        "{}/%69ssues/%2e%2e/issues", "{}%2Fissues", "{}%2fissues", "{}/iss%2575es", "{}/contents/a%2Fb", "{}/labels%00",
        "{}/issues%0a", "{}/issues%3Fx", "{}/issues%23x", "{}/issues%5c", "{}/issues%3b", "{}/contents/%",
    ],
)  # fmt: skip
def test_a_write_with_an_ambiguous_path_is_refused(sandbox: Running, path: str) -> None:
    method = "PUT" if "contents" in path else "POST"
    ((status, text, arrived),) = answers(sandbox, [asked(method, path.format(OURS))])
    assert status == (400 if path.endswith(("%00", "%")) else 403)
    assert not arrived
    assert "can be read in two ways" in json.loads(text)["message"]


def test_a_path_is_compared_as_a_server_decodes_it(sandbox: Running) -> None:
    requests = [
        asked("DELETE", f"{OURS}/issues/5/labels/help%20wanted"), asked("PUT", f"{OURS}/contents/%C3%BCber%20uns.txt"),
        asked("POST", "/repos/ex%61mple/demo/%69ssues"), asked("POST", "/REPOS/Example/DEMO.git/Issues/"),
        asked("GET", f"{OURS}/contents/a%2Fb//c/../d;e"), asked("GET", "/v1/models/a%2Fb", "api.anthropic.com"),
    ]  # fmt: skip
    assert differing(sandbox, requests, 200) == []


FORWARD = '{"sha": "0123456789012345678901234567890123456789"}'
MOVED = [
    (FORWARD, 200), ('{"force":false,"sha":"0123456789012345678901234567890123456789"}', 200),
    (' {"sha":"0123456789012345678901234567890123456789", "force": false}\n', 200),
    ('{"sha": "0123456789012345678901234567890123456789", "force": true}', 403),
    ('{"sha": "0123456789012345678901234567890123456789", "f\\u006frce": true}', 403),
    ('{"sha": "0123456789012345678901234567890123456789", "force": "1"}', 403),
    ('{"sha": "0123456789012345678901234567890123456789", "force": false, "force": true}', 403),
    ('{"sha": "0123456789012345678901234567890123456789"}{"force": true}', 403), ("sha=0123456789&force=true", 403),
    (FORWARD + " " * 60_000 + '{"force": true}', 403), (FORWARD + "\0" + '{"force": true}', 403), ("", 403), ("{}", 403),
]  # fmt: skip


@pytest.mark.parametrize("branch", ["work", "main", "main/"])
def test_a_branch_moves_forwards_only(sandbox: Running, branch: str) -> None:
    path = f"{OURS}/git/refs/heads/{branch}"
    before = sandbox.asked(kind="http", path=path, method="PATCH")
    results = ask(sandbox, [asked("PATCH", path, body=body) for body, _ in MOVED])
    assert [(body[:90], status) for (body, _), (status, _) in zip(MOVED, results, strict=True)] == [
        (body[:90], status) for body, status in MOVED
    ]
    assert sandbox.asked(kind="http", path=path, method="PATCH") == before + sum(status == 200 for _, status in MOVED)
    assert differing(sandbox, [asked("PATCH", f"{path}?x=1", body=FORWARD)], 403) == [], "a query could say force, too"


@pytest.mark.parametrize(
    "options", [("-d", FORWARD, "-H", "Transfer-Encoding: chunked"), ("-d", "@/tmp/long", "-H", "Expect:")]
)
def test_an_incomplete_body_moves_no_branch(sandbox: Running, options: tuple[str, ...]) -> None:
    (sandbox.paths.root / "tmp/long").write_text(FORWARD + " " * 200_000)
    path = f"{OURS}/git/refs/heads/not-all"
    done = sandbox.agent(
        "curl", "-sS", "-w", "%{http_code}", "-o", "/dev/null", "--http1.1", "-X", "PATCH", *options,
        "-H", f"Authorization: Bearer {GITHUB}", f"https://{API}{path}",
    )  # fmt: skip
    assert done.stdout == "403", done.stderr
    assert sandbox.asked(kind="http", path=path) == 0


def test_a_protected_branch_is_not_deleted(sandbox: Running) -> None:
    ((status, text, arrived),) = answers(sandbox, [asked("DELETE", f"{OURS}/git/refs/heads/protected")])
    assert (status, arrived) == (403, False)
    assert "deletion of a protected branch" in json.loads(text)["message"]


@pytest.mark.parametrize("path", ["main", "main/", "Main", "m%61in", "main?x"])
@pytest.mark.parametrize("repository", ["example/demo", "friend/other", "example/demo.git"])
def test_the_default_branch_is_not_deleted(sandbox: Running, repository: str, path: str) -> None:
    ((status, text, arrived),) = answers(sandbox, [asked("DELETE", f"/repos/{repository}/git/refs/heads/{path}")])
    assert (status, arrived) == (403, False)
    assert "deletion of the default branch" in json.loads(text)["message"]


def test_no_branch_is_deleted_if_the_default_branch_is_unknown(sandbox: Running) -> None:
    ((status, text, arrived),) = answers(sandbox, [asked("DELETE", "/repos/friend/empty/git/refs/heads/work")])
    assert (status, arrived) == (403, False)
    assert "GitHub did not name the default branch" in text


def test_uploads_are_files_of_a_release(sandbox: Running) -> None:
    assets = f"{OURS}/releases/1/assets"
    assert (
        differing(sandbox, [asked("POST", f"{assets}?name=a", UPLOADS), asked("POST", f"{assets}/?name=a", UPLOADS)], 200) == []
    )
    others = ("/markdown", OURS, f"{OURS}/issues", f"{OURS}/releases/1", "/repos/evil/repo/releases/1/assets")
    assert differing(sandbox, [asked("POST", path, UPLOADS) for path in others], 403) == []


def test_other_hosts_treat_a_trailing_slash_in_the_same_way(sandbox: Running) -> None:
    anthropic, receive = "api.anthropic.com", "service=git-receive-pack"
    message = json.dumps({"model": "claude-test", "max_tokens": 1, "messages": []})
    passes = [
        asked("POST", "/v1/messages", anthropic, message), asked("POST", "/v1/messages/", anthropic, message),
        asked("POST", "/api/issues", "forge.test"), asked("POST", "/api/issues/", "forge.test"),
    ]  # fmt: skip
    assert differing(sandbox, passes, 200) == []
    refused = [
        *(asked(method, path + slash, anthropic) for slash in ("", "/") for method, path in (
            ("GET", "/v1/organizations"), ("GET", "/v1/organizations/x"), ("POST", "/v1/files"),
            ("GET", "/api/oauth/claude_cli/create_api_key"), ("POST", "/api/oauth/claude_cli/create_api_key"))),
        *(asked("GET", path, "forge.test") for path in ("/admin", "/admin/", "/admin/x", "/Admin", "/%61dmin", "/x/../admin")),
        *(asked("GET", path, GIT) for path in (
            f"/evil/repo/info/refs?{receive}", f"/evil/repo/info/refs/?{receive}", f"/evil/repo/info/refs?{receive.upper()}",
            "/evil/repo/info/refs?service=git%2Dreceive-pack", f"/evil/repo/info/refs?%zz&{receive}")),
        *(asked("POST", path, GIT) for path in ("/evil/repo/git-receive-pack/", "/evil/repo.git/info/lfs/objects/batch/")),
    ]  # fmt: skip
    assert differing(sandbox, refused, 403) == []
    ((status, _, arrived),) = answers(sandbox, [asked("GET", "/v1/organizations/%zz", anthropic)])
    assert (status, arrived) == (400, False)


@pytest.mark.parametrize("name", ["anthropic-beta", "Anthropic-Beta", "Anthropic_Beta", "ANTHROPIC_BETA"])
@pytest.mark.parametrize("value", ["mcp-client-2025-11-20", "oauth-2025-04-20, MCP-Client-2025-11-20"])
def test_a_header_is_recognised_in_every_spelling(sandbox: Running, name: str, value: str) -> None:
    request = asked("POST", "/v1/messages", "api.anthropic.com", **{name: value})
    assert differing(sandbox, [request], 403) == []


def test_headers_of_the_operators_own_hosts_are_recognised_too(sandbox: Running) -> None:
    refused = [{"X_Act_As": "root"}, {"x-act_as": "admin, root"}, {"X_Forge": "somebody-elses"}, {"X-Forge": "somebody-elses"}]
    assert differing(sandbox, [asked("GET", "/x", "forge.test", **headers) for headers in refused], 403) == []
    assert differing(sandbox, [asked("GET", "/x", "forge.test", **{"X-Act-As": "me"})], 200) == []


def test_no_header_with_an_underscore_arrives(sandbox: Running) -> None:
    """Some servers treat underscores in header names as hyphens."""
    request = asked("GET", f"{OURS}/underscores", **{"Content_Length": "5", "X_Forwarded_Host": "evil.test", "X-Plain": "1"})
    assert differing(sandbox, [request], 200) == []
    (line,) = [
        one for text in sandbox.seen.read_text().splitlines() if (one := json.loads(text)).get("path") == f"{OURS}/underscores"
    ]
    assert "x-plain" in line["headers"].split()
    assert "_" not in line["headers"]


def test_refusals_distinguish_ungranted_actions_from_other_repositories(sandbox: Running) -> None:
    requests = [
        asked("POST", f"{OURS}/actions/runs/123/approve/"), asked("POST", "/repos/evil/repo/issues/7/comments"),
        asked("POST", "/example/demo/settings", GIT), asked("POST", "/v1/files", "api.anthropic.com"),
    ]  # fmt: skip
    words = [json.loads(text)["message"] if text.startswith("{") else text for _, text, _ in answers(sandbox, requests)]
    assert ["not granted to the agent" in text for text in words] == [True, False, True, True]
    assert "Writes go to example/demo, friend/* only" in words[1]
    expected = {
        (API, Reason.NOT_GRANTED, "POST actions/runs/*/approve in example/demo"),
        (API, Reason.PUSH_SCOPE, "POST issues/*/comments in evil/repo"),
        (GIT, Reason.NOT_GRANTED, "example/demo"),
        ("api.anthropic.com", Reason.NOT_GRANTED, "POST /v1/files"),
    }

    def reported() -> bool:
        return expected <= {(r.name, r.reason, r.detail) for r in sandbox.events(Refused) if r.via is Via.GATE}

    eventually("it is in the journal", reported)


def test_a_path_cannot_write_lines_of_the_log(sandbox: Running) -> None:
    """It cannot truncate its own line either. The operator sees the path as it was sent."""
    forged = "/v1/forged%0A198.51.100.9:443%20carried%20forged.example"
    before = len(sandbox.events(Refused))
    ends = [
        ("api.anthropic.com", forged),
        ("api.anthropic.com", "/v1/cut%00short"),
        (API, f"{OURS}/forged%0Ax"),
        (GIT, "/a/forged%0Ax"),
    ]
    for name, path in ends:
        ask(sandbox, [asked("POST", path, name)])

    def reported() -> bool:
        mine = [refused.detail for refused in sandbox.events(Refused)[before:]]
        return all(any(path.split("/")[-1] in detail for detail in mine) for _, path in ends[:3])

    eventually("they are in the journal", reported)
    assert "forged.example" not in {refused.name for refused in sandbox.events(Refused)}
    assert not [line for line in sandbox.paths.traffic.read_text().splitlines() if "forged.example" in line]
