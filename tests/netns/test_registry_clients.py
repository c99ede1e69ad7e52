"""Real package tools at a registry that is only read: they install as before, and publishing does not arrive.

Each command runs at a host that grants any request, and at one that grants what the registry of its tool grants.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from network import grant
from network.allowlist import REGISTRY_GRANTS
from tests.netns.sandbox import INTERNET, LISTED, Running, start
from tests.netns.test_clients import HOME, _bun, _cargo

pytestmark = pytest.mark.netns

OPEN, LIMITED = "open.test", "limited.test"
NAMES = "".join(f'  {{ name = "{name}", addresses = ["198.51.100.61"] }},\n' for name in (OPEN, LIMITED))
GRANT = grant.text(REGISTRY_GRANTS["npm"])

# Each command works in an empty folder; $R is the registry.
NPM = 'export npm_config_registry=$R/npm/ npm_config_fetch_retries=0; echo \'{"name": "mine"}\' >package.json;'
BUN = f"BUN_CONFIG_REGISTRY=$R/npm {HOME}/bun add thing"
GO = "PATH=$PATH:/usr/local/go/bin GOPROXY=$R/go GONOSUMDB='*' GOTOOLCHAIN=local GOPATH=$PWD/go GOCACHE=$PWD/cache"
CARGO = f"PATH={HOME}:$PATH CARGO_HOME=$PWD/home CARGO_REGISTRIES_OURS_INDEX=sparse+$R/cargo/"
MANIFEST = (
    """'[package]\\nname = "mine"\\nversion = "0.1.0"\\n[dependencies]\\nthing = { version = "1", registry = "ours" }\\n'"""
)
# apt with folders of its own, as the agent; it unpacks what it has downloaded.
APT = (
    'mkdir -p etc state/lists/partial cache/archives/partial; printf \'APT::Architecture "all";\\n'
    'APT::Architectures { "all"; };\\n\' >conf; echo "deb [trusted=yes] $M/apt stable main" >etc/sources.list; touch status; '
    "apt() { APT_CONFIG=$PWD/conf apt-get -q -o Dir::Etc=$PWD/etc -o Dir::State=$PWD/state -o Dir::Cache=$PWD/cache "
    '-o Dir::State::status=$PWD/status -o Acquire::Retries=0 "$@"; }; '
    "apt update && apt download thing && dpkg-deb -x thing_1.0.0_all.deb unpacked && test -f unpacked/usr/share/thing/file"
)
INSTALLS = {
    "npm install": f"{NPM} npm install thing && test -f node_modules/thing/index.js",
    "npm install, scoped": f"{NPM} npm install @scope/thing && test -f node_modules/@scope/thing/index.js",
    "npm ci": f"{NPM} npm install thing && rm -r node_modules && npm ci",
    "npm audit": f"{NPM} npm install --no-audit thing && npm audit",
    "npm view": f"{NPM} npm view thing",
    "bun": f"{NPM} {BUN} && test -f node_modules/thing/index.js",
    "pip": "/usr/bin/python3 -m pip download --disable-pip-version-check --no-cache-dir --index-url $R/pip/simple thing",
    "go": f"printf 'module mine\\n' >go.mod; {GO} go get packages.test/thing@v1.0.0",
    "cargo": f"mkdir src; touch src/lib.rs; printf {MANIFEST} >Cargo.toml; {CARGO} cargo vendor && test -d vendor/thing",
    "apt over https": f"M=$R; {APT}",
    "apt over http": f"M=http:${{R#https:}}; {APT}",
}
PUBLISH = f'{NPM} echo "${{R#https:}}/npm/:_authToken=of-a-stranger" >.npmrc; npm publish'
PUBLISHES = {
    "npm publish": (PUBLISH.replace('"mine"', '"stolen", "version": "1.0.0"'), "PUT", "/registry/npm/stolen"),
    "an account": ("curl -sSf -X PUT -d '{}' $R/npm/-/user/stranger", "PUT", "/registry/npm/-/user/stranger"),
    "an upload as with twine": ("curl -sSf -F content=@/etc/hostname $R/pip/legacy/", "POST", "/registry/pip/legacy/"),
    "as cargo publish": ("curl -sSf -T /etc/hostname $R/cargo/api/v1/crates/new", "PUT", "/registry/cargo/api/v1/crates/new"),
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(
        tmp_path_factory.mktemp("registry"), f"registry-{os.getpid()}", listed=f"{LISTED}{OPEN}\n{LIMITED} {GRANT}\n",
        internet=INTERNET.replace("name = [\n", f"name = [\n{NAMES}"),
    )  # fmt: skip
    home = running.paths.root / HOME.lstrip("/")
    for name, program in (("bun", _bun()), ("cargo", _cargo())):
        shutil.copyfile(program, home / name)
        (home / name).chmod(0o755)
    yield running
    if running.process.poll() is None:
        running.stop()


def run(sandbox: Running, host: str, command: str) -> tuple[int, str]:
    """Runs a command as the agent in an empty folder. Returns its exit code and output."""
    script = f'cd "$(mktemp -d)"; R=https://{host}/registry; {command}'
    done = sandbox.agent("bash", "-c", script, seconds=120)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("what", INSTALLS)
def test_tools_work_where_only_reading_is_granted(sandbox: Running, what: str) -> None:
    code, text = run(sandbox, OPEN, INSTALLS[what])
    assert code == 0, text
    before = served(sandbox, LIMITED)
    code, text = run(sandbox, LIMITED, INSTALLS[what])
    assert code == 0, text
    assert "codetainer" not in text, text
    assert served(sandbox, LIMITED) > before


@pytest.mark.parametrize("what", PUBLISHES)
def test_publishing_does_not_arrive(sandbox: Running, what: str) -> None:
    command, method, path = PUBLISHES[what]
    code, text = run(sandbox, OPEN, command)
    assert code == 0, text
    assert sandbox.asked(kind="http", host=OPEN, method=method, path=path) == 1
    code, text = run(sandbox, LIMITED, command)
    assert code != 0, text
    assert sandbox.asked(kind="http", host=LIMITED, method=method, path=path) == 0


def served(sandbox: Running, host: str) -> int:
    return sandbox.asked(kind="http", host=host)
