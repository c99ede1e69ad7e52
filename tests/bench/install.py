"""Installing packages and cloning a repository through the gate, compared with direct connections in the same run.

The firewall does not redirect processes with the gate's uid, so the direct connections are made as that uid. Client, gate and
server share this machine, without a slow link between them, so the gate's part of the time is as large as it can be.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from backend.contract.paths import AGENT_UID, GATE_UID
from tests.bench.network import TOP
from tests.bench.packages import served
from tests.bench.rows import Row, measures
from tests.bench.sandbox import Sandbox, running

HOST = "packages.example"
ROUNDS = 7
CLONED = 100 << 20  # bytes
INSTALLED, CLONE = 1.10, 1.05  # at most, times the direct duration
INTERNET = TOP + '[[name]]\nname = "{host}"\naddresses = ["198.51.100.77"]\nttl = 300\nfolder = "{folder}"\n'
OPENED = f"""
[[credential]]
variable = "PACKAGES_TOKEN"
header = "authorization"
[[host]]
name = "{HOST}"
credentials = ["PACKAGES_TOKEN"]
writes = []
"""
NO_FILES: Mapping[str, str] = {}
REPOSITORY = "https://github.com/example/demo"
URL = f"https://{HOST}"
PIP = [
    "/opt/codetainer/venv/bin/python3", "-m", "pip", "install", "-q", "--no-cache-dir", "--no-compile", "--target=here",
    "--disable-pip-version-check", "-r", "requirements.txt", f"--index-url={URL}/simple",
]  # fmt: skip
# Not from a cache, and without the install scripts and the later checks that other hosts would answer.
NPM = ["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", f"--registry={URL}/npm/", "--cache=cache"]
COMMANDS = {
    "npm": (NPM, {name: f"{URL}/project/{name}" for name in ("package.json", "package-lock.json")}),
    "pip": (PIP, {"requirements.txt": f"{URL}/project/requirements.txt"}),
    "clone": (["git", "clone", "-q", REPOSITORY, "cloned"], {}),
}
# Not through the gate, so that the push needs no scope: the pretend host takes any credential.
PUSH = f"""
git clone -q {REPOSITORY} pushed; cd pushed
for number in $(seq {CLONED >> 20}); do head -c {1 << 20} /dev/urandom >$number; done
git add .; git -c user.name=Example -c user.email=example@example.com commit -qm large
git push -q https://any:any@github.com/example/demo HEAD:main
"""


@measures("install_through_gate", "npm_through_gate", "pip_through_gate", "clone_through_gate")
def passed() -> Iterator[Row]:
    """Measures with hosts without a credential, whose TLS passes through the gate, and a clone, for which the gate opens it."""
    return _rows("through_gate")


@measures("install_through_opened_gate", "npm_through_opened_gate", "pip_through_opened_gate", "clone_through_opened_gate")
def opened() -> Iterator[Row]:
    """Measures hosts with a credential, whose TLS terminates at the gate."""
    return _rows("through_opened_gate", PACKAGES_TOKEN="of-the-bench", GH_PAT="ghp_of_the_bench")


def _rows(name: str, **secrets: str) -> Iterator[Row]:
    times = _times(secrets)
    medians = {key: statistics.median(values) for key, values in times.items()}
    installed = {uid: medians["npm", uid] + medians["pip", uid] for uid in (AGENT_UID, GATE_UID)}
    for what, by_uid, most in (
        ("install", installed, INSTALLED),
        *((what, {uid: medians[what, uid] for uid in installed}, INSTALLED) for what in ("npm", "pip")),
        ("clone", {uid: medians["clone", uid] for uid in installed}, CLONE),
    ):
        direct = by_uid[GATE_UID]
        yield Row(f"{what}_{name}", by_uid[AGENT_UID], "s", most=direct * most, yardstick="direct", beside=direct)


def _times(secrets: Mapping[str, str]) -> Mapping[tuple[str, int], list[float]]:
    """Returns the seconds of each command, by uid: the agent's goes through the gate, the gate's goes direct."""
    times: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="codetainer-bench-") as folder:
        credentials = Path(folder) / "credentials.toml"
        credentials.write_text(OPENED)
        options = ["--credentials", str(credentials)] if secrets else []
        internet = INTERNET.format(host=HOST, folder=served(HOST))
        with running(*options, pretend=internet, domains=f"github.com\n{HOST}\n", **secrets) as sandbox:
            timed(sandbox, GATE_UID, ["sh", "-euc", PUSH])
            for number in range(ROUNDS + 1):  # the first round only fills the page cache
                for what, (command, files) in COMMANDS.items():
                    for uid in (AGENT_UID, GATE_UID) if number % 2 else (GATE_UID, AGENT_UID):
                        seconds = timed(sandbox, uid, command, files)
                        if number:
                            times[what, uid].append(seconds)
    return times


def timed(sandbox: Sandbox, uid: int, command: list[str], files: Mapping[str, str] = NO_FILES, before: str = "") -> float:
    """Returns the seconds of a command, which runs as a uid in a new folder with some files, after the script `before`."""
    node = f"/{sandbox.paths.node_authorities.relative_to(sandbox.paths.root)}"
    environment = {"NODE_EXTRA_CA_CERTS": node, "GIT_TERMINAL_PROMPT": "0"}
    return float(sandbox.run("timed", *map(json.dumps, (command, environment, dict(files), before)), uid=uid, seconds=300))
