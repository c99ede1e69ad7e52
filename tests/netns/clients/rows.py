"""The rows of the table: each client, how it is started, and the plan of what it does.

A plan is a list of steps. Each has the column of the table and `where` it goes: to the `gate` (a host whose TLS ends there) or
`through` it (a host whose TLS the gate passes unchanged). The clients' programs print one result per step.

Length: one function per kind of client.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from backend.settings import credentials_file
from network.gate import credentials
from tests.netns.clients.host import COLUMNS_OF_LFS, lfs_oid
from tests.netns.clients.payloads import LARGE, LARGE_TEXT

Step = dict[str, Any]

COLUMNS = {
    "redirect": "Redirect to itself, with a cookie",
    "login": "401 first",
    "early": "103 first",
    "length": "HTTP/2, with length",
    "stream": "HTTP/2, no length",
    "chunked": "Chunked",
    "limit": "429, Retry-After",
    "upload": "Large upload",
    "download": "Large download",
    "idle": "Idle for over an hour",
    "reset": "Reset in mid-stream",
}
TOKEN = credentials.placeholders(credentials_file.shipped())["GH_PAT"]
HOME = "/home/claude"
FOLDER = f"{HOME}/table"  # the clients and their plans, in the sandbox
PYTHON = "/opt/codetainer/venv/bin/python3"
GATE, THROUGH, THROUGH_OLD = "https://api.github.com", "https://two.test", "https://one.test"
UPLOADS = "https://uploads.github.com/repos/example/demo/releases/1/assets"
WHEEL = "/thing-1.0-py3-none-any.whl"
TRUST = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO", "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
)  # fmt: skip
SYSTEM = "the system's store"


@dataclass(frozen=True, slots=True)
class Client:
    """A row. `start` is the command that runs a plan; "PLAN" in it stands for the plan's path.

    `trust` says where the client finds the gate's authority: a variable of TRUST, or SYSTEM.
    """

    key: str
    name: str
    start: tuple[str, ...]
    plan: Sequence[Step]
    trust: str
    idle: tuple[str, ...] = ()  # the command for the column `idle`, by default `start`
    java: bool = False

    def steps(self, *, idle: bool) -> list[Step]:
        return [step for step in self.plan if step.get("wait") or (step["column"] == "idle") is idle]


def _places(client: str, column: str) -> dict[str, str]:
    """The URLs of a cell, by `where`."""
    through = THROUGH_OLD if column == "chunked" else THROUGH
    return {
        "gate": f"{UPLOADS}?name={client}--upload" if column == "upload" else f"{GATE}/table/{client}/{column}",
        "through": f"{through}/table/{client}/{column}",
    }


def _library(client: str) -> list[Step]:
    """A plan for programs that make one request after the other with the same client object."""

    def step(where: str, column: str, url: str, **more: object) -> Step:
        headers = {"Authorization": f"Bearer {TOKEN}"} if where == "gate" or column == "login" else {}
        return {"where": where, "column": column, "url": url, "method": "GET", "headers": headers, "body": 0, **more}

    steps: list[Step] = []
    for where in ("gate", "through"):
        # The 103 comes last: a client that takes it for the answer may read each later answer in place of the one before.
        for column in sorted(COLUMNS, key="early".__eq__):
            url = _places(client, column)[where]
            if column == "early":
                steps.append(step(where, "reset", _places(client, "broken")[where], broken=True))
            if column == "login":
                steps.append(step(where, column, url, headers={}, bare=True))
            if column == "upload":
                steps.append(step(where, column, url, method="POST", body=LARGE))
            elif column != "idle":
                steps.append(step(where, column, url))
    idle = [step(where, "idle", _places(client, "idle")[where]) for where in ("gate", "through")]
    return [*steps, *idle, {"wait": True}, *idle]


def _commands(
    client: str, get: str, *, through: Sequence[str] = tuple(COLUMNS), suffix: str = "", gate: str = "", **scripts: str
) -> list[Step]:
    """A plan of shell scripts: `get` for all columns but those that have a script of their own in `scripts` ("": none).

    `through` are the columns that are also tried through the gate, without termination. In a script, {url} is the URL, {login}
    the same with the credential, and {gate} an option with the credential. Its download goes to the file `out`, if it can.
    """
    steps: list[Step] = []
    for where in ("gate", "through"):
        for column in COLUMNS if where == "gate" else through:
            if column == "idle" or (script := scripts.get(f"{where}_{column}", scripts.get(column, get))) == "":
                continue
            url = _places(client, column)[where]
            if column != "upload":
                url += suffix
            login = url.replace("https://", "https://$GH_TOKEN:x-oauth-basic@")
            text = script.format(url=url, gate=gate if where == "gate" else "", login=login)
            steps.append({"where": where, "column": column, "script": text})
            if column == "reset":
                text = script.format(
                    url=_places(client, "broken")[where] + suffix, gate=gate if where == "gate" else "", login=""
                )
                steps.append({"where": where, "column": column, "script": text, "broken": True})
    return steps


_LARGE = f"{FOLDER}/large"


def _curl() -> list[Step]:
    get = "curl -sSf -L -b '' -o out {gate} '{url}'"
    return _commands(
        "curl", get, gate='-H "Authorization: Bearer $GH_TOKEN"', limit=get.replace("-L", "-L --retry 2"),
        login="curl -sSf -o out --anyauth -u \"$GH_TOKEN:\" '{url}'", upload=f"{get} --data-binary @{_LARGE}",
    )  # fmt: skip


def _wget() -> list[Step]:
    get = "wget -q -O out {gate} '{url}'"
    return _commands(
        "wget", get, gate='--header "Authorization: Bearer $GH_TOKEN"',
        limit=f"{get} --retry-on-http-error=429 --waitretry=1 --tries=3",
        login="wget -q -O out --user=\"$GH_TOKEN\" --password=x-oauth-basic '{url}'", upload=f"{get} --post-file={_LARGE}",
    )  # fmt: skip


def _aria2() -> list[Step]:
    get = "aria2c -q -o out --allow-overwrite=true {gate} '{url}'"
    return _commands(
        "aria2", get, upload="", gate='--header="Authorization: Bearer $GH_TOKEN"',
        login="aria2c -q -o out --http-user=\"$GH_TOKEN\" --http-passwd=x-oauth-basic --http-auth-challenge=true '{url}'",
    )  # fmt: skip


def _gh() -> list[Step]:
    upload = f"gh api --method POST '{{url}}' --input {_LARGE} >out"
    return _commands("gh", "gh api '{url}' >out", through=("length", "stream"), upload=upload)


def _packages(client: str, get: str, suffix: str, publish: str = "", login: str = "") -> list[Step]:
    """A plan for package managers. They publish only through the gate: the shipped rules grant no upload of packages."""
    login = login or get.replace("'{url}'", '"{login}"')
    return _commands(
        client, get, through=("length", "stream", "upload"), suffix=suffix, login=login, gate_upload="", through_upload=publish
    )


def _pip() -> list[Step]:
    options = "--no-deps --no-cache-dir --disable-pip-version-check"
    get = f"PYTHONPYCACHEPREFIX={FOLDER}/pycache {PYTHON} -m pip -q download {options} -d . '{{url}}'"
    return _packages("pip", get, WHEEL)


def _uv() -> list[Step]:
    uv = f"{FOLDER}/python/bin/uv"
    get = f"{uv} pip install -q --no-deps --no-cache --target t --python /usr/bin/python3 '{{url}}'"
    publish = f"{uv} publish -q --no-cache --publish-url '{{url}}' --token word {FOLDER}{WHEEL}"
    return _packages("uv", get, WHEEL, publish)


TARBALL = "/thing-1.0.0.tgz"
# npm and pnpm pause for 10 s and 60 s before they repeat a request. This is still longer than the host asks for.
_SOON = "npm_config_fetch_retry_mintimeout=1500 npm_config_fetch_retry_maxtimeout=1500"
_PROJECT = """echo '{{"name": "project", "version": "1.0.0"}}' >package.json; """  # braces for str.format


def _npm() -> list[Step]:
    npm = f"{_SOON} npm_config_userconfig=$PWD/rc npm"
    options = "--cache $PWD/cache --no-update-notifier --loglevel=error"
    get = f"{npm} pack {options} '{{url}}'"
    tokens = '"api.github.com/table/npm/login/:_authToken=$GH_TOKEN" two.test/table/npm/login/:_authToken=word'
    publish = "echo '//two.test/table/npm/upload/:_authToken=word' >rc; export npm_config_userconfig=$PWD/rc; mkdir p; cd p; "
    publish += f"{_PROJECT}cp {_LARGE} .; npm publish {options} --registry '{{url}}/'"
    return _packages("npm", get, TARBALL, publish, login=f"printf '//%s\\n' {tokens} >rc; {get}")


def _pnpm() -> list[Step]:
    pnpm = f"node {FOLDER}/node_modules/pnpm/bin/pnpm.cjs"
    get = f"{_PROJECT}{_SOON} {pnpm} add --store-dir ./store --ignore-scripts --reporter=append-only '{{url}}'"
    return _packages("pnpm", get, TARBALL)


def _yarn() -> list[Step]:
    yarn = f"node {FOLDER}/node_modules/yarn/bin/yarn.js"
    get = f"{_PROJECT}{yarn} add --cache-folder ./cache --no-lockfile --non-interactive '{{url}}'"
    return _packages("yarn", get, TARBALL)


def _bun_add() -> list[Step]:
    return _packages("bun-add", f"{_PROJECT}BUN_INSTALL_CACHE_DIR=$PWD/cache {FOLDER}/bun add '{{url}}'", TARBALL)


def _cargo() -> list[Step]:
    """Commands that do not need a compiler."""
    registry = "mkdir .cargo src; export CARGO_HOME=$PWD/home; touch src/lib.rs; "
    registry += "printf '[registries.t]\\nindex = \"sparse+%s/index/\"\\n' '{url}' >.cargo/config.toml; "
    about = ("name", "version", "edition", "description", "license")
    values = ("project", "1.0.0", "2021", "x", "MIT")
    lines = "".join(f'{key} = "{value}"\\n' for key, value in zip(about, values, strict=True))
    project = f"{registry}printf '[package]\\n{lines}' >Cargo.toml; "
    needed = 'printf \'[dependencies]\\nthing = {{ version = "1", registry = "t" }}\\n\' >>Cargo.toml; '
    publish = f"cp {_LARGE} .; {FOLDER}/cargo publish -q --no-verify --registry t --token word"
    steps = _packages("cargo", f"{project}{needed}{FOLDER}/cargo vendor -q", "", f"{project}{publish}")
    return [step for step in steps if step["column"] != "login"]


def _git() -> list[Step]:
    def clone(url: str) -> str:
        return f"git clone -q {url} r"

    work = "cd r; git config user.name x; git config user.email x@example.com; git checkout -q -b work; "
    push = f"{clone('https://github.com/example/demo')}; {work}head -c {LARGE} /dev/urandom >f; git add f; git commit -q -m x; "
    steps: list[Step] = []
    for column in COLUMNS:
        if column == "upload":
            steps.append({"where": "gate", "column": column, "script": f"{push}git push -q origin work"})
        elif column != "idle":
            steps.append({"where": "gate", "column": column, "script": clone(f"https://github.com/table-{column}/git")})
        if column in ("length", "stream"):
            steps.append({"where": "through", "column": column, "script": clone(f"https://two.test/table-{column}/git")})
    return [
        *steps,
        {"where": "gate", "column": "reset", "script": clone("https://github.com/table-broken/git"), "broken": True},
    ]


def _lfs() -> list[Step]:
    setup = "git init -q r; cd r; git remote add origin https://github.com/example/demo; git lfs install --local >/dev/null; "
    steps: list[Step] = []
    for column in COLUMNS_OF_LFS:
        size = len(column) + (LARGE if column in ("download", "reset") else 10)
        pointer = f"version https://git-lfs.github.com/spec/v1\\noid sha256:{lfs_oid(column)}\\nsize {size}\\n"
        script = f"{setup}printf '{pointer}' | git lfs smudge >../out; test $(stat -c %s ../out) = {size}"
        steps.append({"where": "gate", "column": column, "script": script})
    push = f"{setup}oid=$(git lfs clean <{_LARGE} | sed -n 's/^oid sha256://p'); git lfs push --object-id origin $oid"
    return [*steps, {"where": "gate", "column": "upload", "script": push}]


def _sdk(client: str) -> list[Step]:
    """A plan for Anthropic's SDKs. The header names the cell, because the path is the API's."""
    steps: list[Step] = []

    def add(column: str, **more: object) -> None:
        cell = "broken" if more.get("broken") else column
        steps.append({"where": "gate", "column": column, "headers": {"X-Table": f"{client}/{cell}"}, "body": 0, **more})

    for column in COLUMNS:
        if column == "login":
            add(column, bare=True)
        if column == "upload":
            add(column, body=LARGE_TEXT)
        elif column != "idle":
            add(column, stream=column in ("stream", "chunked", "download"))
    add("reset", broken=True, stream=True)
    add("idle")
    steps.append({"wait": True})
    add("idle")
    return steps


_OPTIONS = "--dangerously-skip-permissions -p"
_OTHER_CLAUDE = f"{FOLDER}/claude-other"


def _claude(key: str, program: str) -> list[Step]:
    run = f"{program} {_OPTIONS} --output-format json >../out; grep -q '\"is_error\":false' ../out"
    steps: list[Step] = []
    for column in (*COLUMNS, "broken"):
        if column in ("idle", "login"):
            continue
        prompt = f"head -c {LARGE_TEXT} /dev/zero | tr '\\0' a" if column == "upload" else "echo hello"
        settings = f"CLAUDE_CODE_MAX_RETRIES=${{CLAUDE_CODE_MAX_RETRIES:-2}} ANTHROPIC_CUSTOM_HEADERS='X-Table: {key}/{column}'"
        script = f"mkdir w; cd w; export {settings}; {prompt} | {run}"
        named = "reset" if column == "broken" else column
        steps.append({"where": "gate", "column": named, "script": script, **({"broken": True} if column == "broken" else {})})
    idle = {"where": "gate", "column": "idle"}
    return [*steps, idle, {"wait": True}, idle]


_SAID = '{"type":"user","message":{"role":"user","content":"hello"}}'
_RESULT = "{status: (if .is_error then 0 else 200 end), size: 0, error: .result}"


def _claude_idle(key: str, program: str) -> str:
    """A script for the column `idle`: two turns of one process."""
    return f"""
export ANTHROPIC_CUSTOM_HEADERS='X-Table: {key}/idle'
(echo '{_SAID}'; head -n 1 >/dev/null; echo '{_SAID}') |
    {program} {_OPTIONS} --verbose --input-format stream-json --output-format stream-json |
    jq -c --unbuffered 'select(.type == "result") | {_RESULT}'
"""


_RUN = (PYTHON, f"{FOLDER}/commands.py", "PLAN", "RUNS")


def _of_commands(key: str, name: str, plan: Callable[[], list[Step]], trust: str = SYSTEM) -> Client:
    return Client(key, name, _RUN, plan(), trust)


def _of_claude(key: str, name: str, program: str) -> Client:
    return Client(key, name, _RUN, _claude(key, program), SYSTEM, idle=("bash", "-c", _claude_idle(key, program)))


def _of_library(key: str, name: str, *start: str, trust: str = SYSTEM, java: bool = False) -> Client:
    return Client(key, name, (*start, "PLAN"), _library(key), trust, java=java)


def _of_sdk(key: str, name: str, *start: str, trust: str) -> Client:
    return Client(key, name, (*start, "PLAN"), _sdk(key), trust)


_JAVA = ("java", "-Xmx128m", "-cp", FOLDER, "Client")
_SDK_PYTHON = ("env", f"PYTHONPATH={FOLDER}/python", "/usr/bin/python3", f"{FOLDER}/anthropic_sdk.py")
_SDK_NODE = ("node", f"{FOLDER}/anthropic_sdk.mjs")

ROWS = (
    _of_commands("git", "git", _git),
    _of_commands("git-lfs", "git-lfs", _lfs),
    _of_commands("gh", "gh", _gh),
    _of_commands("curl", "curl", _curl),
    _of_commands("wget", "wget", _wget),
    _of_commands("aria2", "aria2", _aria2),
    _of_library("requests", "Python requests", PYTHON, f"{FOLDER}/library.py", "requests", trust="REQUESTS_CA_BUNDLE"),
    _of_library("httpx", "Python httpx", PYTHON, f"{FOLDER}/library.py", "httpx", trust="SSL_CERT_FILE"),
    _of_commands("pip", "pip", _pip),
    _of_commands("uv", "uv", _uv, "SSL_CERT_FILE"),
    _of_commands("npm", "npm", _npm, "NODE_EXTRA_CA_CERTS"),
    _of_commands("pnpm", "pnpm", _pnpm, "NODE_EXTRA_CA_CERTS"),
    _of_commands("yarn", "Yarn", _yarn, "NODE_EXTRA_CA_CERTS"),
    _of_commands("bun-add", "bun add", _bun_add, "NODE_EXTRA_CA_CERTS"),
    _of_library("bun", "bun fetch", f"{FOLDER}/bun", f"{FOLDER}/fetch.mjs", trust="NODE_EXTRA_CA_CERTS"),
    _of_library("deno", "Deno fetch", f"{FOLDER}/deno", "run", "-A", f"{FOLDER}/fetch.mjs", trust="NODE_EXTRA_CA_CERTS"),
    _of_library("node", "Node.js fetch", "node", f"{FOLDER}/fetch.mjs", trust="NODE_EXTRA_CA_CERTS"),
    _of_library("go", "Go net/http", f"{FOLDER}/go-client"),
    _of_commands("cargo", "cargo", _cargo),
    _of_library("java", "Java HttpClient", *_JAVA, "HttpClient", java=True),
    _of_library("java-url", "Java HttpURLConnection", *_JAVA, "HttpURLConnection", java=True),
    _of_library("ruby", "Ruby Net::HTTP", "ruby", f"{FOLDER}/client.rb"),
    _of_sdk("sdk-python", "Anthropic SDK for Python", *_SDK_PYTHON, trust=SYSTEM),
    _of_sdk("sdk-typescript", "Anthropic SDK for TypeScript", *_SDK_NODE, trust="NODE_EXTRA_CA_CERTS"),
    _of_claude("claude", "Claude Code", "claude"),
    _of_claude("claude-other", "Claude Code 2.1.197", _OTHER_CLAUDE),
)  # fmt: skip
