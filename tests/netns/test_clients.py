"""Unmodified real clients behind the gate: they trust its certificates, and requests arrive with the operator's credential.

Length: tables of clients and their commands.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.contract.events import CookiesDropped
from backend.services.trust_stores import certificates
from backend.settings import credentials_file
from network.gate import credentials
from tests.netns.sandbox import LISTED, Running, eventually, start

pytestmark = pytest.mark.netns

ROOT = Path(__file__).parents[2]
TOKEN = credentials.placeholders(credentials_file.shipped())["GH_PAT"]
CLAUDE = credentials.placeholders(credentials_file.shipped())["CLAUDE_CODE_OAUTH_TOKEN"]
REAL = "ghp_the-operators-own"
API = "https://api.github.com"
MORE = "npm.pkg.github.com\nuploads.github.com\nrelease-assets.githubusercontent.com\n"
HOME = "/home/claude"
PYTHON = "/opt/codetainer/venv/bin/python3"
ASK = f"'{API}/client/%s', headers={{'Authorization': 'Bearer {TOKEN}'}}"
FETCH = f"fetch('{API}/client/%s', {{headers: {{authorization: 'Bearer {TOKEN}'}}}}).then(r => console.log(r.status))"
GO = f"""package main

import "net/http"

func main() {{
	request, _ := http.NewRequest("GET", "{API}/client/go", nil)
	request.Header.Set("Authorization", "Bearer {TOKEN}")
	if _, err := http.DefaultClient.Do(request); err != nil {{
		panic(err)
	}}
}}
"""
CLIENTS = {
    "urllib": ["/usr/bin/python3", "-c", f"import urllib.request as u; u.urlopen(u.Request({ASK % 'urllib'}))"],
    "requests": [PYTHON, "-c", f"import requests; requests.get({ASK % 'requests'}).raise_for_status()"],
    "httpx": [PYTHON, "-c", f"import httpx; httpx.get({ASK % 'httpx'}).raise_for_status()"],
    "curl": ["curl", "-sSf", "-H", f"Authorization: Bearer {TOKEN}", f"{API}/client/curl"],
    "node": ["node", "-e", FETCH % "node"],
    "bun": [f"{HOME}/bun", "-e", FETCH % "bun"],
    "go": [f"{HOME}/go-client"],
    "gh": ["gh", "api", "client/gh"],
    "java": ["java", "-Xmx64m", f"{HOME}/Ask.java", f"{API}/client/java", TOKEN],
}


RELEASE = "https://github.com/example/demo/releases/latest/download/thing-1.0-py3-none-any.whl"
# Clients that keep cookies, and how each downloads a release into the working directory.
SAVE = "r.raise_for_status(); open('thing-1.0-py3-none-any.whl', 'wb').write(r.content)"
DOWNLOADS = {
    "requests": [PYTHON, "-c", f"import requests; r = requests.get('{RELEASE}'); {SAVE}"],
    "httpx": [PYTHON, "-c", f"import httpx; r = httpx.Client(follow_redirects=True).get('{RELEASE}'); {SAVE}"],
    "wget": ["wget", "-q", RELEASE],
    "curl": ["curl", "-sSfLO", "-b", "", RELEASE],
    "pip": [PYTHON, "-m", "pip", "-q", "download", "--no-deps", "--no-cache-dir", "--disable-pip-version-check", RELEASE],
}
SESSIONS = {
    "requests": "import requests; s = requests.Session()",
    "httpx": "import httpx; s = httpx.Client()",
}
TWICE = """
{session}
for number in (1, 2):
    answer = s.get("{url}", headers={{"Authorization": "Bearer {token}"}})
    answer.raise_for_status()
    assert not s.cookies, s.cookies
"""


# Unmodified clients that offer another protocol (h2c) with a plain HTTP request.
JAVA = """
import java.net.URI;
import java.net.http.*;

class Ask {
    public static void main(String[] arguments) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(arguments[0]));
        if (arguments.length > 1) request.header("Authorization", "Bearer " + arguments[1]);
        var answer = HttpClient.newHttpClient().send(request.build(), HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) throw new Exception(answer.statusCode() + " " + answer.body());
    }
}
"""
ELSEWHERE = "https://short.test/client/%s"  # an allowed host whose TLS does not terminate at the gate
TRUSTING = {
    "node": ["node", "-e", f"fetch('{ELSEWHERE % 'node'}').then(r => console.log(r.status))"],
    "bun": [f"{HOME}/bun", "-e", f"fetch('{ELSEWHERE % 'bun'}').then(r => console.log(r.status))"],
    "npm": ["npm", "ping", f"--registry={ELSEWHERE % 'npm'}", "--fetch-retries=0"],
    "java": ["java", "-Xmx64m", f"{HOME}/Ask.java", ELSEWHERE % "java"],
}
OFFERS = {
    "curl": ["curl", "-sSf", "--http2", "http://plain.test/offer/curl"],
    "java": ["java", "-Xmx64m", f"{HOME}/Ask.java", "http://plain.test/offer/java"],
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("clients")
    running = start(
        folder, f"clients-{os.getpid()}", listed=LISTED + MORE, GH_PAT=REAL, REPO_URL="https://github.com/example/demo",
        CLAUDE_CODE_OAUTH_TOKEN="sk-ant-oat01-the-operators-own",
    )  # fmt: skip
    home = running.paths.root / HOME.lstrip("/")
    for name, program in (("bun", _bun()), ("cargo", _cargo()), ("go-client", _go_client(folder))):
        shutil.copyfile(program, home / name)
        (home / name).chmod(0o755)
    (home / "Ask.java").write_text(JAVA)
    yield running
    running.stop()


def _bun() -> Path:
    return next(ROOT.glob("build/programs/node_modules/@oven/*/bin/bun"))


def _cargo() -> Path:
    """Returns the path of cargo itself, not of rustup's proxy."""
    rustup = shutil.which("rustup")
    path = subprocess.run([rustup, "which", "cargo"], capture_output=True, text=True, check=True).stdout if rustup else ""
    return Path(path.strip() or shutil.which("cargo") or "cargo").resolve(strict=True)


def _go_client(folder: Path) -> Path:
    built = ROOT / "build/go/bin/go"
    source = folder / "client.go"
    source.write_text(GO)
    subprocess.run(
        [built if built.exists() else "go", "build", "-o", folder / "go-client", source], check=True, timeout=300,
        env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GO111MODULE": "off"},
    )  # fmt: skip
    return folder / "go-client"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_works_with_the_placeholder(sandbox: Running, client: str) -> None:
    done = sandbox.agent(*CLIENTS[client])
    assert done.returncode == 0, done.stdout + done.stderr
    arrived = [f"{scheme} {REAL}" for scheme in ("Bearer", "token")]
    assert sum(sandbox.asked(kind="http", path=f"/client/{client}", credential=one) for one in arrived) == 1


@pytest.mark.parametrize("client", TRUSTING)
def test_a_client_trusts_the_systems_authorities_for_other_hosts(sandbox: Running, client: str) -> None:
    """The CA of the pretend internet is one that an operator has added to the system's."""
    done = sandbox.agent(*TRUSTING[client])
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in sandbox.seen.read_text().splitlines()]
    assert [line for line in lines if line.get("path", "").startswith(f"/client/{client}") and line["host"] == "short.test"]


def test_node_reads_no_authorities_that_it_has_built_in(sandbox: Running) -> None:
    """Each one costs time at every start of Node.js."""
    file = sandbox.agent("printenv", "NODE_EXTRA_CA_CERTS").stdout.strip()
    added = certificates((sandbox.paths.root / file.lstrip("/")).read_text())
    shipped = [one for path in sandbox.paths.shipped_authorities.glob("*.crt") for one in certificates(path.read_text())]
    assert added
    assert set(added) == set(certificates(sandbox.paths.ca_bundle.read_text())) - set(shipped)


@pytest.mark.parametrize("client", OFFERS)
def test_an_offer_to_change_protocols_is_ignored(sandbox: Running, client: str) -> None:
    done = sandbox.agent(*OFFERS[client])
    assert done.returncode == 0, done.stdout + done.stderr
    assert sandbox.asked(kind="http", path=f"/offer/{client}") == 1


@pytest.mark.parametrize(
    "login", [f"{TOKEN}:", f"{TOKEN}:x-oauth-basic", f"x-access-token:{TOKEN}", f"{TOKEN}:{TOKEN}"], ids=range(4)
)
def test_a_repository_is_cloned_with_the_placeholder_in_its_url(sandbox: Running, login: str) -> None:
    """Tests every form that has appeared in GitHub's documentation."""
    for url in (f"https://{login}@github.com/example/demo", f"https://{login.removesuffix(':')}@github.com/example/demo"):
        done = sandbox.agent("sh", "-ec", 'rm -rf /tmp/cloned; git clone -q "$0" /tmp/cloned', url)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("client", DOWNLOADS)
def test_a_release_is_downloaded_although_the_host_sets_cookies(sandbox: Running, client: str) -> None:
    """The host sets cookies and redirects to itself, so a client that keeps cookies would send them with its second request."""
    program = DOWNLOADS[client][0]
    if shutil.which(program) is None and program != PYTHON and os.environ.get("CI") != "true":
        pytest.skip(f"{program} not found")
    folder = f"/tmp/{client}"
    done = sandbox.agent("sh", "-ec", 'mkdir "$0"; cd "$0"; exec "$@"', folder, *DOWNLOADS[client])
    assert done.returncode == 0, done.stdout + done.stderr
    listed = sandbox.agent(PYTHON, "-m", "zipfile", "-l", f"{folder}/thing-1.0-py3-none-any.whl")
    assert "thing/__init__.py" in listed.stdout, listed.stderr
    assert cookies_arrived(sandbox) == []


@pytest.mark.parametrize("client", SESSIONS)
@pytest.mark.parametrize("url", [f"{API}/user", "https://api.anthropic.com/v1/models"])
def test_a_session_can_make_two_requests(sandbox: Running, client: str, url: str) -> None:
    token = TOKEN if "github" in url else CLAUDE
    done = sandbox.agent(PYTHON, "-c", TWICE.format(session=SESSIONS[client], url=url, token=token))
    assert done.returncode == 0, done.stdout + done.stderr
    assert cookies_arrived(sandbox) == []


def test_only_cookies_that_the_gate_never_passed_in_are_reported(sandbox: Running) -> None:
    """The gate drops all cookies from servers, so a cookie that a client sends is foreign."""
    kept = sandbox.agent("curl", "-sSfL", "-b", "", *("-o", "/dev/null") * 3, RELEASE, f"{API}/user", RELEASE)
    assert kept.returncode == 0, kept.stderr
    sandbox.agent("curl", "-sSf", "-b", "user_session=somebody-elses", f"{API}/brought/along")
    eventually("it is in the journal", lambda: sandbox.events(CookiesDropped))
    assert sandbox.events(CookiesDropped) == [CookiesDropped("api.github.com", 1)]
    assert sandbox.asked(kind="http", path="/brought/along") == 1
    assert cookies_arrived(sandbox) == []
    assert "somebody-elses" not in sandbox.paths.journal.read_text()
    assert "Cookies dropped from 1 request to api.github.com" in " ".join(sandbox.codetainer("status").stdout.split())


def cookies_arrived(sandbox: Running) -> list[str]:
    """Returns the paths of requests that reached the pretend internet with a cookie."""
    lines = [json.loads(line) for line in sandbox.seen.read_text().splitlines()]
    return [line["path"] for line in lines if line["kind"] == "http" and {"cookie", "cookie2"} & {*line["headers"].split()}]


def test_cargo_trusts_the_gate(sandbox: Running) -> None:
    """The response is not an index, so cargo fails, but only after its request."""
    sandbox.agent(f"{HOME}/cargo", "search", "anything", "--index", f"sparse+{API}/client/cargo/")
    assert sandbox.asked(kind="http", path="/client/cargo/config.json") >= 1


def test_npm_reads_packages_of_github_with_the_placeholder(sandbox: Running) -> None:
    sandbox.agent("npm", "view", "@example/thing", "--@example:registry=https://npm.pkg.github.com", "--fetch-retries=0")
    assert sandbox.asked(kind="http", host="npm.pkg.github.com", credential=f"Bearer {REAL}") >= 1


def test_gh_finds_its_configuration_in_a_stripped_environment(sandbox: Running) -> None:
    done = sandbox.agent("env", "-i", f"HOME={HOME}", "PATH=/usr/local/bin:/usr/bin:/bin", "gh", "auth", "token")
    assert done.stdout.strip() == TOKEN, done.stderr


def test_a_fork_knows_where_it_comes_from(sandbox: Running) -> None:
    remote = sandbox.agent("git", "-C", "/workspace/repo", "remote", "get-url", "upstream")
    assert remote.stdout.strip() == "https://github.com/upstream/demo.git"
    assert sandbox.asked(kind="http", path="/repos/example/demo", credential=f"Bearer {REAL}") == 1
