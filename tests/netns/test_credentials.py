"""Credentials stay outside: real clients work with placeholders, foreign credentials are refused, and writes are limited.

Length: mostly tables of cases for one gate.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.contract.events import BootStarted, CookiesDropped, Noted, Refused, Via
from backend.settings import credentials_file
from network.gate import credentials
from tests.netns import worlds
from tests.netns.sandbox import LISTED, Begin, Running, eventually
from tests.netns.talk import go_on, talking

pytestmark = worlds.BOTH

GIVEN = credentials.placeholders(credentials_file.shipped())
GITHUB, CLAUDE = GIVEN["GH_PAT"], GIVEN["CLAUDE_CODE_OAUTH_TOKEN"]
REAL = {
    "GH_PAT": "ghp_the-operators-own",
    "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-the-operators-own",
    "FORGE_TOKEN": "forge-the-operators-own",
    "MIRROR_TOKEN": "mirror-the-operators-own",
    "ODD_TOKEN": "odd-the-operators-own",
}
OWN = """
[[credential]]
variable = "FORGE_TOKEN"
header = "private-token"

[[credential]]
variable = "MIRROR_TOKEN"
header = "authorization"
placeholder = "the-gate-holds-the-mirrors"
login = "reader"

[[credential]]
variable = "ABSENT_TOKEN"
header = "authorization"

[[credential]]
variable = "ODD_TOKEN"
header = "x-forwarded-user"

[[host]]
name = "odd.test"
credentials = ["ODD_TOKEN"]

[[host]]
name = "forge.test"
credentials = ["FORGE_TOKEN"]
writes = ["POST /api/issues"]

[[host]]
name = "mirror.test"
credentials = ["MIRROR_TOKEN"]

[[host]]
name = "absent.test"
credentials = ["ABSENT_TOKEN"]
"""
FORGE, ODD = "codetainer-holds-FORGE_TOKEN", "codetainer-holds-ODD_TOKEN"
API = "https://api.github.com"


def encoded(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


def basic(secret: str) -> str:
    return encoded(f"x-access-token:{secret}")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, begin: Begin) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("credentials")
    (folder / "credentials.toml").write_text(OWN)
    running = begin(
        folder, f"credentials-{os.getpid()}", "--credentials", str(folder / "credentials.toml"),
        listed=LISTED + "npm.pkg.github.com\nforge.test\nmirror.test\nodd.test\n", CODETAINER_PUSH="friend/*",
        GH_PAT=REAL["GH_PAT"], CLAUDE_CODE_OAUTH_TOKEN=REAL["CLAUDE_CODE_OAUTH_TOKEN"], FORGE_TOKEN=REAL["FORGE_TOKEN"],
        MIRROR_TOKEN=REAL["MIRROR_TOKEN"], ODD_TOKEN=REAL["ODD_TOKEN"],
    )  # fmt: skip
    yield running
    if running.process.poll() is None:
        running.stop()


def curl(sandbox: Running, url: str, *options: str, credential: str = "") -> tuple[int, str]:
    """Makes one request as the agent. Returns its status and body."""
    header = ["-H", f"Authorization: {credential}"] if credential else []
    done = sandbox.agent("curl", "-sS", "--path-as-is", "-w", "\n%{http_code}", *header, *options, url)
    body, _, status = done.stdout.rpartition("\n")
    assert done.returncode == 0, done.stderr
    return int(status), body


def test_haproxy_accepts_the_configuration_without_a_warning(sandbox: Running) -> None:
    """Its warnings differ between versions. The configuration here has almost every kind of rule."""
    assert [
        note.text for note in sandbox.events(Noted) if "haproxy" in note.text.lower() or note.text.startswith("gate: ")
    ] == []


@pytest.mark.parametrize(
    ("scheme", "arrives"),
    [
        (f"Bearer {GITHUB}", f"Bearer {REAL['GH_PAT']}"),
        (f"token {GITHUB}", f"token {REAL['GH_PAT']}"),
        (f"bearer {GITHUB} and more", f"Bearer {REAL['GH_PAT']}"),
        (basic(GITHUB), basic(REAL["GH_PAT"])),
        (encoded(f"octocat:{GITHUB}"), basic(REAL["GH_PAT"])),
        (encoded(f"{GITHUB}:"), basic(REAL["GH_PAT"])),
        (encoded(GITHUB), basic(REAL["GH_PAT"])),
        (encoded(f"{GITHUB}:x-oauth-basic"), basic(REAL["GH_PAT"])),
        (encoded(f"{GITHUB}:{GITHUB}"), basic(REAL["GH_PAT"])),
        (encoded(f"ghp_somebody-elses:{GITHUB}:ghp_somebody-elses"), basic(REAL["GH_PAT"])),
    ],
)
def test_a_placeholder_becomes_the_credential_outside(sandbox: Running, scheme: str, arrives: str) -> None:
    before = sandbox.asked(kind="http", path="/user", credential=arrives)
    assert curl(sandbox, f"{API}/user", credential=scheme)[0] == 200
    assert sandbox.asked(kind="http", path="/user", credential=arrives) == before + 1


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (f"{API}/x1", ["-H", "Authorization: Bearer ghp_somebody-elses"]),
        (f"{API}/x1", ["-H", "Authorization: token ghp_somebody-elses"]),
        (f"{API}/x1", ["-H", f"Authorization: {basic('ghp_somebody-elses')}"]),
        (f"{API}/x1", ["-H", "Authorization: Basic nonsense"]),
        *(
            (f"{API}/x1", ["-H", f"Authorization: {encoded(login)}"])
            for login in (
                "ghp_somebody-elses:x-oauth-basic",
                "ghp_somebody-elses:",
                "ghp_somebody-elses",
                f"{GITHUB}:ghp_somebody-elses",
                f":{GITHUB}x",
                f"{GITHUB}x:",
                f":{GITHUB[:-1]}",
                ":",
                "",
                f"{GITHUB}::ghp_somebody-elses"[:-19] + "x",
            )
        ),
        (f"{API}/x1", ["-H", f"Authorization: Digest {GITHUB}"]),
        (f"{API}/x1", ["-H", f"Authorization: {GITHUB}"]),
        (f"{API}/x1", ["-H", f"Authorization: Bearer {GITHUB}", "-H", "Authorization: Bearer ghp_somebody-elses"]),
        (f"{API}/x1", ["-H", f"Authorization: Bearer {CLAUDE}"]),
        (f"{API}/x1", ["-H", f"Authorization: Bearer {GITHUB}x"]),
        (f"{API}/x1", ["-H", "x-api-key: somebody-elses"]),
        (f"{API}/x1?access_token=somebody-elses", []),
        (f"{API}/x1?a=1&access%5Ftok%65n=somebody-elses", []),
        (f"{API}/x1?Access_Token=somebody-elses", []),
        (f"{API}/x1?access_token%5B%5D=somebody-elses", []),
        (f"{API}/x1", ["-H", "X_Api_Key: somebody-elses"]),
        (f"{API}/x1", ["-H", "license_key: somebody-elses"]),
        (f"{API}/x1", ["-H", "X-License-Key: somebody-elses"]),
        (f"{API}/x1", ["-H", f"Authorization: Bearer {GITHUB}", "-H", "X-Other-Token: somebody-elses"]),
        (f"{API}/x1", ["-H", "Accept: */*", "-H", "api-key: somebody-elses", "-H", f"Authorization: Bearer {GITHUB}"]),
        ("https://api.anthropic.com/x1", ["-H", "x-api-key: sk-ant-api03-somebody-elses"]),
        ("https://api.anthropic.com/x1", ["-H", f"Authorization: Bearer {CLAUDE}", "-H", "x-api-key: somebody-elses"]),
        ("https://api.anthropic.com/x1", ["-H", "Authorization: Bearer sk-ant-oat01-somebody-elses"]),
    ],
)
def test_a_foreign_credential_is_refused(sandbox: Running, url: str, options: list[str]) -> None:
    status, body = curl(sandbox, url, *options)
    assert status == 403
    assert "Only the operator's credentials work here" in json.loads(body)["error"]["message"]
    assert sandbox.asked(kind="http", path="/x1") == 0


@pytest.mark.parametrize(
    "options",
    [
        ["-H", "Cookie: user_session=somebody-elses"],
        ["-H", "COOKIE: a=1", "-H", "Cookie: b=2", "-H", "cookie: user_session=somebody-elses; c"],
        ["-H", "Cookie2: $Version=1; user_session=somebody-elses"],
        ["--http1.1", "-H", "Cookie: user_session=somebody-elses"],
        ["--http1.1", "-H", "Cookie2: user_session=somebody-elses", "-H", "Cookie;"],
        ["-X", "GET", "-d", "{}", "-b", "user_session=somebody-elses"],
    ],
)
@pytest.mark.parametrize(
    ("url", "credential"),
    [
        (f"{API}/repos/example/demo/issues", GITHUB),
        ("https://github.com/example/demo", GITHUB),
        ("https://api.anthropic.com/v1/messages", CLAUDE),
        ("https://forge.test/api/issues", ""),
    ],
)
def test_a_cookie_is_dropped_and_the_request_continues(sandbox: Running, url: str, credential: str, options: list[str]) -> None:
    host, mark = url.split("/")[2], os.urandom(6).hex()
    authorization = f"Bearer {credential}" if credential else ""
    status, _ = curl(sandbox, f"{url}?{mark}", *options, credential=authorization)
    if credential == CLAUDE and "-d" in options:  # a GET with a body, which the API of a model does not get
        assert status == 422
        return
    (arrived,) = [line for text in sandbox.seen.read_text().splitlines() if (line := json.loads(text)).get("query") == mark]
    assert (arrived["host"], status) == (host, 200)
    assert not [name for name in arrived["headers"].split() if "cookie" in name]
    eventually("it is reported", lambda: any(event.name == host for event in sandbox.events(CookiesDropped)))


def test_a_cookie_is_no_refusal_and_one_event_reports_many(sandbox: Running) -> None:
    """The event does not contain the cookie, because a cookie is a secret."""
    curl(sandbox, "https://mirror.test/one", "-b", "first-of-many=1")
    first = eventually("the first is reported at once", lambda: cookies_reported(sandbox, "mirror.test"))
    for _ in range(5):
        curl(sandbox, "https://mirror.test/more", "-b", "more-of-them=1")
    last = "https://mirror.test/refused"
    assert curl(sandbox, last, "-X", "DELETE", "-b", "x=1")[0] == 403
    eventually("a later refusal is in the journal", lambda: "mirror.test" in {r.name for r in sandbox.events(Refused)})
    assert first == cookies_reported(sandbox, "mirror.test") == [CookiesDropped("mirror.test", 1)]
    assert [r.detail for r in sandbox.events(Refused) if "cookie" in f"{r.reason} {r.detail}"] == []
    assert "of-many" not in sandbox.paths.journal.read_text()


def cookies_reported(sandbox: Running, host: str) -> list[CookiesDropped]:
    return [event for event in sandbox.events(CookiesDropped) if event.name == host]


@pytest.mark.parametrize("url", [f"{API}/user", "https://github.com/example/demo", "https://api.anthropic.com/v1/models"])
def test_no_cookie_is_let_in(sandbox: Running, url: str) -> None:
    for version in ("--http1.1", "--http2"):
        status, text = curl(sandbox, url, "-i", version)
        assert status == 200
        assert "set-cookie" not in text.lower()


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", f"{API}/repos/evil/repo/issues", 200),
        ("POST", f"{API}/repos/example/demo/issues", 200),
        ("POST", f"{API}/repos/friend/other/issues", 200),
        ("POST", f"{API}/repos/evil/repo/issues", 403),
        ("POST", f"{API}/repos/example/demon/issues", 403),
        ("POST", f"{API}/gists", 403),
        ("PUT", f"{API}/user/starred/evil/repo", 403),
        ("POST", f"{API}/repos/example/demo/../../evil/repo/issues", 403),
        ("POST", f"{API}/repos/example/demo/%2e%2e/%2e%2e/evil/repo/issues", 403),
        ("POST", f"{API}/repos/example/demo//issues", 403),
        ("POST", f"{API}/repos/example/demo/issues;x", 403),
        ("POST", "https://github.com/evil/repo/git-receive-pack", 403),
        ("GET", "https://github.com/evil/repo/info/refs?service=git-receive-pack", 403),
        ("POST", "https://github.com/evil/repo.git/info/lfs/objects/batch", 403),
        ("POST", "https://github.com/session", 403),
        ("POST", "https://api.anthropic.com/v1/messages", 200),
        ("POST", "https://api.anthropic.com/v1/files", 403),
        ("POST", "https://api.anthropic.com/API/OAuth/claude_cli/create_api_key", 403),
        ("GET", "https://api.anthropic.com/api/oauth/claude_cli/create_api_key", 403),
        ("PUT", "https://npm.pkg.github.com/@evil/package", 403),
        ("GET", "https://api.anthropic.com/api/oauth/claude_cli/%63reate_api_key", 403),
        ("GET", "https://api.anthropic.com//api/oauth/claude_cli/create_api_key", 403),
        ("GET", "https://api.anthropic.com/x/../v1/organizations", 403),
        ("GET", "https://api.anthropic.com/v1/%256frganizations", 403),
        ("GET", "https://api.anthropic.com/v1/%2e/organizations", 403),
        ("GET", "https://api.anthropic.com/v1/models/one%5B1m%5D", 200),
        ("PUT", f"{API}/repos/example/demo/collaborators/evil", 403),
        ("PUT", f"{API}/Repos/Example/demo/Collaborators/evil", 403),
        ("POST", f"{API}/repos/example/demo/hooks", 403),
        ("POST", f"{API}/repos/friend/other/keys", 403),
        ("PUT", f"{API}/repos/example/demo/branches/main/protection", 403),
        ("PUT", f"{API}/repos/example/demo/contents/hooks/keys", 200),
        ("POST", f"{API}/repos/example/demo/keyspace", 403),
        ("GET", f"{API}/repos/example/demo/hooks", 200),
    ],
)
def test_writes_are_limited_to_their_scope(sandbox: Running, method: str, url: str, status: int) -> None:
    credential = f"Bearer {CLAUDE if 'anthropic' in url else GITHUB}"
    body = [] if method == "GET" else ["-d", "{}", "-H", "Content-Type: application/json"]
    assert curl(sandbox, url, "-X", method, *body, credential=credential)[0] == status


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X_HTTP_Method_Override", "X-Method-Override", "x-http-method"])
def test_a_header_cannot_turn_a_read_into_a_write(sandbox: Running, name: str) -> None:
    path = f"/user/following/{name.lower()}"
    assert curl(sandbox, f"{API}{path}", "-H", f"{name}: PUT", credential=f"Bearer {GITHUB}")[0] == 200
    (line,) = [json.loads(line) for line in sandbox.seen.read_text().splitlines() if f'"{path}"' in line]
    assert line["method"] == "GET"
    assert "method" not in line["headers"]
    assert "authorization" in line["headers"]


# Headers that change the method, path, host, client address or user that a server behind a proxy sees.
MISLEADING = """
    x-original-url x-original-uri x-original-method x-original-host x-rewrite-url x-rewritten-url x-envoy-original-path
    x-accel-redirect x-middleware-subrequest x-request-uri request-uri x-proxy-url base-url x-url x-uri forwarded
    x-forwarded x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port x-forwarded-prefix x-forwarded-user
    x-forwarded-email x-host x-http-host-override x-method x-http-method x-method-override x-http-method-override
    x-real-ip client-ip x-client-ip x-cluster-client-ip true-client-ip cf-connecting-ip cf-connecting-ipv6
    fastly-client-ip x-remote-ip x-remote-addr x-originating-ip x-azure-clientip x-azure-socketip x-appengine-user-ip
    remote-user x-remote-user x-remote-groups x-authenticated-user x-authenticated-userid x-webauth-user
    x-goog-authenticated-user-email x-ms-client-principal-name x-ms-client-principal-id x-auth-request-user
    x-auth-request-email x-auth-user x-auth-username x-auth-roles x-auth-groups
"""
# Headers of git, gh, Claude Code, and of Anthropic's, OpenAI's, Google's and Microsoft's libraries.
USUAL = """
    accept accept-encoding accept-language user-agent content-encoding range if-none-match if-modified-since prefer
    git-protocol x-github-api-version x-github-next-global-id x-gh-cache-ttl graphql-features time-zone
    x-github-request-id anthropic-version anthropic-dangerous-direct-browser-access x-app x-claude-code-session-id
    x-claude-remote-session-id x-anthropic-additional-protection x-stainless-lang x-stainless-os x-stainless-arch
    x-stainless-runtime x-stainless-runtime-version x-stainless-package-version x-stainless-retry-count
    x-stainless-timeout x-stainless-helper-method x-client-request-id x-client-current-telemetry x-request-id request-id
    idempotency-key traceparent tracestate baggage openai-organization x-goog-api-client x-goog-user-project
    x-ms-version x-ms-date x-ms-client-request-id x-amz-date x-user-id x-auth-email x-requested-with sec-fetch-mode
    origin referer
"""


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
@pytest.mark.parametrize(("names", "arrive"), [(MISLEADING, "accept user-agent"), (USUAL, USUAL)], ids=["misleading", "usual"])
def test_headers_that_mislead_a_server_are_dropped_and_those_of_usual_clients_arrive(
    sandbox: Running, names: str, arrive: str, version: str
) -> None:
    path = f"/headers{version.strip('-')}-{len(arrive)}"
    options = [word for name in names.split() for word in ("-H", f"{name.title()}: 1")]
    assert curl(sandbox, f"{API}{path}", version, *options, credential=f"Bearer {GITHUB}")[0] == 200
    (line,) = [json.loads(line) for line in sandbox.seen.read_text().splitlines() if f'"{path}"' in line]
    assert set(line["headers"].split()) == {*arrive.split(), "authorization", "host"}


def test_a_header_of_the_operators_own_is_kept(sandbox: Running) -> None:
    """A credential may be in a header that is dropped elsewhere."""
    assert curl(sandbox, "https://odd.test/odd", "-H", f"X-Forwarded-User: {ODD}", "-H", "X-Forwarded-For: 1")[0] == 200
    (line,) = [json.loads(line) for line in sandbox.seen.read_text().splitlines() if '"/odd"' in line]
    assert set(line["headers"].split()) == {"x-forwarded-user", "host", "accept", "user-agent"}


SIGNED = (
    "Cf-Access-Jwt-Assertion", "X-Goog-Iap-Jwt-Assertion", "X-Amzn-Oidc-Data", "X-Ms-Client-Principal", "Client-Cert",
    "X-Client-Cert", "X-Arr-ClientCert", "X-Amzn-Mtls-Clientcert-Leaf", "Ssl-Client-Cert", "X-Ssl-Client-Verify", "X-Auth",
)  # fmt: skip


@pytest.mark.parametrize("name", SIGNED)
def test_a_signed_identity_is_a_foreign_credential(sandbox: Running, name: str) -> None:
    assert curl(sandbox, f"{API}/signed", "-H", f"{name}: somebody-elses", credential=f"Bearer {GITHUB}")[0] == 403


def test_remote_tools_by_way_of_the_api_are_refused(sandbox: Running) -> None:
    beta = "anthropic-beta: oauth-2025-04-20,mcp-client-2025-11-20"
    url = "https://api.anthropic.com/v1/messages"
    assert curl(sandbox, url, "-H", beta, "-d", "{}", credential=f"Bearer {CLAUDE}")[0] == 403


def test_request_and_connection_name_the_same_host(sandbox: Running) -> None:
    assert curl(sandbox, f"{API}/user", "-H", "Host: github.com", credential=f"Bearer {GITHUB}")[0] == 421
    assert curl(sandbox, f"{API}/user", "-H", "Host: API.GitHub.com:443", credential=f"Bearer {GITHUB}")[0] == 200


def test_a_request_names_a_path(sandbox: Running) -> None:
    """A full URL could contain a user and password, and gate and server might parse it differently."""
    ours, whole = f"Bearer {GITHUB}", "https://somebody:else@api.github.com/x1"
    assert curl(sandbox, f"{API}/x1", "--http1.1", "--request-target", whole, credential=ours)[0] == 400
    for version in ("--http1.1", "--http2"):
        assert curl(sandbox, f"{API}/x1", version, credential=ours)[0] == 200


# One HTTP/2 request with a chosen scheme, every header a literal (RFC 7541, 6.2.2). The first byte of the response's headers
# shows the status: 0x88 is 200 by index, all others are literals.
SCHEME = """
import json, socket, ssl, struct, sys
scheme, token = sys.argv[1:]
headers = {":method": "GET", ":scheme": scheme, ":authority": "api.github.com", ":path": "/user"}
headers["authorization"] = "Bearer " + token
headers["user-agent"] = "test"  # GitHub's API refuses requests without one
block = b"".join(bytes([0, len(n)]) + n.encode() + bytes([len(v)]) + v.encode() for n, v in headers.items())
context = ssl.create_default_context()
context.set_alpn_protocols(["h2"])
sock = context.wrap_socket(socket.create_connection(("api.github.com", 443), 20), server_hostname="api.github.com")
def frame(kind, flags, stream, body):
    return struct.pack("!I", len(body))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + body
sock.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + frame(4, 0, 0, b"") + frame(1, 5, 1, block))
reader = sock.makefile("rb")
while True:
    head = reader.read(9)
    body = reader.read(int.from_bytes(head[:3], "big"))
    if head[3] in (1, 3, 7):
        break
print(json.dumps(head[3] == 1 and body[0] == 0x88))
"""


@pytest.mark.parametrize(("scheme", "carried"), [("https", True), ("http", False), ("ftp", False)])
def test_a_request_has_the_scheme_of_its_connection(sandbox: Running, scheme: str, carried: bool) -> None:
    """With another scheme, HAProxy once sent the server a full URL."""
    assert sandbox.python(SCHEME, scheme, GITHUB) is carried


def test_plain_http_does_not_bypass_the_rules(sandbox: Running) -> None:
    before = sandbox.asked(kind="http", path="/plain")
    status, _ = curl(sandbox, "http://api.github.com/plain", credential="Bearer ghp_somebody-elses")
    assert status == 302
    assert sandbox.asked(kind="http", path="/plain") == before


def test_git_pushes_to_its_own_repository_and_to_no_other(sandbox: Running) -> None:
    environment = ["env", "HOME=/home/claude", "GIT_TERMINAL_PROMPT=0", "PATH=/usr/local/bin:/usr/bin:/bin"]
    script = "cd /tmp && rm -rf c && git clone -q https://github.com/example/demo c && cd c && git commit -q --allow-empty -m x"
    assert sandbox.agent(*environment, "sh", "-c", f"{script} && git push -q origin HEAD:main").returncode == 0
    pushed = sandbox.asked(kind="http", path="/example/demo/git-receive-pack", credential=basic(REAL["GH_PAT"]))
    assert pushed >= 1
    refused = sandbox.agent(*environment, "git", "-C", "/tmp/c", "push", "https://github.com/evil/repo", "HEAD:main")
    assert refused.returncode != 0
    assert "Writes go to" in refused.stderr

    def reported() -> bool:
        return any(r.via is Via.GATE and r.name == "github.com" and r.detail == "evil/repo" for r in sandbox.events(Refused))

    eventually("the repository is named", reported)
    assert sandbox.asked(kind="http", path="/evil/repo/git-receive-pack") == 0


@pytest.mark.parametrize(
    ("url", "options", "status", "arrives"),
    [
        ("https://forge.test/api", ["-H", f"Private-Token: {FORGE}"], 200, REAL["FORGE_TOKEN"]),
        ("https://forge.test/api", ["-H", "Private-Token: somebody-elses"], 403, ""),
        ("https://forge.test/api", ["-H", f"Authorization: Bearer {FORGE}"], 403, ""),
        ("https://forge.test/api/issues", ["-d", "{}", "-H", f"Private-Token: {FORGE}"], 200, REAL["FORGE_TOKEN"]),
        ("https://forge.test/api/users", ["-d", "{}", "-H", f"Private-Token: {FORGE}"], 403, ""),
        (
            "https://mirror.test/simple/", ["-u", "anybody:the-gate-holds-the-mirrors"], 200,
            "Basic " + base64.b64encode(b"reader:mirror-the-operators-own").decode(),
        ),
        ("https://mirror.test/simple/", ["-u", f"reader:{FORGE}"], 403, ""),
    ],
)  # fmt: skip
def test_the_operators_own_credentials(sandbox: Running, url: str, options: list[str], status: int, arrives: str) -> None:
    path = "/" + url.split("/", 3)[3]
    before = sandbox.asked(kind="http", path=path, credential=arrives)
    assert curl(sandbox, url, *options)[0] == status
    assert sandbox.asked(kind="http", path=path, credential=arrives) == before + (status == 200)


def test_the_agent_gets_placeholders_and_unusable_credentials_are_reported(sandbox: Running) -> None:
    environment = sandbox.agent("cat", "/proc/self/environ").stdout.split("\0")
    assert "MIRROR_TOKEN=the-gate-holds-the-mirrors" in environment
    assert f"FORGE_TOKEN={FORGE}" in environment
    output = sandbox.codetainer("logs").stdout
    assert "ABSENT_TOKEN is not set, so absent.test" in output
    assert "absent.test has a credential but is not on the allowlist" in output


def test_the_gate_refuses_an_upstream_with_an_untrusted_certificate(sandbox: Running) -> None:
    """Even if the only CA is the gate's own, which the gate itself does not trust."""
    authorities = sandbox.paths.gate / "authorities.pem"
    trusted = authorities.read_bytes()
    own = sandbox.paths.ca_bundle.read_bytes().removeprefix(trusted)
    assert b"Its key was discarded" in own
    assert b"Its key was discarded" not in trusted

    def begin_again(authorities_then: bytes) -> None:
        authorities.write_bytes(authorities_then)
        killed = sandbox.kill("gate")
        eventually("the gate is back", lambda: sandbox.came_back("gate", killed))

    begin_again(own)
    try:
        asked = sandbox.asked(kind="http", path="/unvouched")
        assert curl(sandbox, f"{API}/unvouched", credential=f"Bearer {GITHUB}")[0] == 503
        assert sandbox.asked(kind="http", path="/unvouched") == asked
    finally:
        begin_again(trusted)
    assert curl(sandbox, f"{API}/user", credential=f"Bearer {GITHUB}")[0] == 200


def test_credentials_inside_are_the_agents_and_that_is_reported(tmp_path: Path, begin: Begin) -> None:
    sandbox = begin(tmp_path, f"inside-{os.getpid()}", CODETAINER_CREDENTIALS="inside", GH_PAT=REAL["GH_PAT"])
    try:
        assert sandbox.events(BootStarted)[-1].credentials == "inside"
        assert REAL["GH_PAT"] in sandbox.agent("cat", "/opt/gh-config/git-credential").stdout
        assert "credentials inside" in sandbox.codetainer("status").stdout
        assert curl(sandbox, f"{API}/mine", credential="Bearer whatever")[0] == 200
    finally:
        sandbox.stop()


def test_certificates_are_renewed_before_they_end_and_what_is_open_stays_open(tmp_path: Path, begin: Begin) -> None:
    """The certificates are valid for 12 s, so they are renewed after 8 s."""
    sandbox = begin(tmp_path, f"renewal-{os.getpid()}", CODETAINER_CERTIFICATES="12s", GH_PAT=REAL["GH_PAT"])
    try:
        before = sandbox.state.services["gate"].pid
        open_one = talking(sandbox, "api.github.com")
        eventually(
            "they are renewed twice", lambda: sum("certificates were renewed" in e.text for e in sandbox.events(Noted)) >= 2
        )
        assert curl(sandbox, f"{API}/user", credential=f"Bearer {GITHUB}")[0] == 200
        assert go_on(open_one) == "answered"
        assert sandbox.state.services["gate"].pid == before
    finally:
        sandbox.stop()
