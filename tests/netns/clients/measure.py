"""Runs all clients of the table in one sandbox, behind the real gate, against the host of host.py.

The last column needs a gate whose timeouts have passed. It runs the same gate once more, with the timeouts for silence reduced
from an hour and a minute to seconds (SHORT), and lets the clients' connections be closed by it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from backend.system import AGENT
from network.gate import haproxy
from tests.netns.clients import payloads
from tests.netns.clients.host import OLD
from tests.netns.clients.payloads import LARGE
from tests.netns.clients.rows import FOLDER, ROWS, TRUST, Client, Step
from tests.netns.clients.versions import version
from tests.netns.sandbox import LISTED, UNTIL_WE_END, Running, eventually, start

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
ADDRESS, PORT = "198.51.100.77", 9443
NAMES = (
    "github.com", "api.github.com", "uploads.github.com", "api.anthropic.com", "github-cloud.githubusercontent.com",
    "github-cloud.s3.amazonaws.com", "lfs.github.com", OLD, "two.test",
)  # fmt: skip
GH_PAT, API_KEY = "ghp_the-operators-own", "sk-ant-api03-the-operators-own"
AT_ONCE = 3  # clients
SECONDS = 120.0
# The gate's timeouts for silence, and what they are in the last column, in seconds.
SHORT = {"client": 2, "server": 2, "http-keep-alive": 1}
# For requests that are expected to fail.
NO_REPETITION = ("npm_config_fetch_retries=0", "CLAUDE_CODE_MAX_RETRIES=0")
# Some clients close connections themselves that they have not used for so long (httpx: 5 s), which an hour exceeds, too.
OWN_LIMITS = 6.0  # seconds
REDIRECT = f"""
table ip clients {{
  chain prerouting {{
    type nat hook prerouting priority -100
    ip daddr {ADDRESS} tcp dport 443 redirect to :{PORT}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one step: `status` is an HTTP status, or for a command 200 (success) or 0; `size` is -1 if unknown."""

    step: Step
    status: int
    size: int
    error: str


@dataclass(frozen=True, slots=True)
class Measured:
    results: Mapping[str, Sequence[Result]]  # by client
    record: Sequence[Mapping[str, Any]]  # the host's, oldest first
    trusting: Mapping[str, tuple[bool, bool]]  # by client: connects without the variables of TRUST; with its own alone
    versions: Mapping[str, str]  # by client
    haproxy: str  # its version


def internet(certificates: Path) -> str:
    names = [f'{{ name = "{name}", addresses = ["{ADDRESS}"], certificate = "{certificates}/{name}.pem" }}' for name in NAMES]
    return (
        'resolver = "203.0.113.53"\nothers = "198.51.100.200"\ngit = { host = "github.com", repository = "example/demo" }\n'
        'api = { host = "api.anthropic.com" }\n' + f"name = [\n{','.join(names)}\n]\n"
    )


@contextlib.contextmanager
def prepared(folder: Path, programs: Mapping[str, Path]) -> Iterator[tuple[Running, Path]]:
    """Starts a sandbox with the clients, and the host. Yields the sandbox and the host's record.

    `programs` are files and folders for the agent, by name.
    """
    certificates, record = folder / "certificates", folder / "record.jsonl"
    certificates.mkdir()
    record.touch()
    sandbox = start(
        folder, f"table-{os.getpid()}", *(["--claude", str(programs["claude"])] if "claude" in programs else []),
        internet=internet(certificates),
        listed=LISTED + "".join(f"{name}\n" for name in NAMES if name not in LISTED), GH_PAT=GH_PAT, ANTHROPIC_API_KEY=API_KEY,
        REPO_URL="https://github.com/example/demo", CLAUDE_CODE_OAUTH_TOKEN="",
    )  # fmt: skip
    try:
        _install(sandbox, {name: path for name, path in programs.items() if name != "claude"})
        _hide_settings(sandbox)
        outside = _outside(sandbox)
        subprocess.run([*outside, "nft", "-f", "-"], input=REDIRECT, text=True, check=True)
        with _host(outside, certificates, record, _repositories(folder)):
            yield sandbox, record
    finally:
        sandbox.stop()


def _hide_settings(sandbox: Running) -> None:
    """Hides this machine's settings for package managers, which may name an authority or a registry."""
    for path in ("/etc/pip.conf", "/etc/npmrc", "/usr/etc/npmrc"):
        if (sandbox.paths.root / path.lstrip("/")).exists():
            _mount(sandbox, "/dev/null", path)


def _mount(sandbox: Running, source: str, target: str) -> None:
    subprocess.run(["nsenter", f"--target={sandbox.init}", "--mount", "--", "mount", "--bind", source, target], check=True)


def _install(sandbox: Running, programs: Mapping[str, Path]) -> None:
    place = sandbox.paths.root / FOLDER.lstrip("/")
    place.mkdir()
    for name, path in programs.items():
        if path.is_dir():
            shutil.copytree(path, place / name, symlinks=True, ignore=shutil.ignore_patterns("@deno"))
        else:
            shutil.copyfile(path, place / name)
            (place / name).chmod(0o755)
    for file in HERE.iterdir():
        if file.is_file():
            shutil.copyfile(file, place / file.name)
    (place / "large").write_bytes(payloads.noise(LARGE))
    (place / "thing-1.0-py3-none-any.whl").write_bytes(payloads.python_package(LARGE))
    (place / "plans").mkdir()
    for client in ROWS:
        for idle in (False, True):
            write_plan(place / "plans" / f"{client.key}-{idle}", client, client.steps(idle=idle))
        write_plan(place / "plans" / f"{client.key}-trust", client, client.steps(idle=False)[:1])
    subprocess.run(["chown", "-R", str(AGENT.uid), place], check=True)


def write_plan(path: Path, client: Client, steps: Sequence[Step]) -> None:
    text = json.dumps(steps)
    if client.java:
        lines = []
        for step in steps:
            headers = [part for header in step.get("headers", {}).items() for part in header]
            lines.append("wait" if step.get("wait") else "\t".join([step["method"], str(step["body"]), step["url"], *headers]))
        text = "\n".join(lines)
    path.write_text(text)


def _outside(sandbox: Running) -> list[str]:
    """Returns a command prefix that runs a program in the network namespace of the sandbox's pretend internet."""
    ours = {Path("/proc/self/ns/net").stat().st_ino, Path(f"/proc/{sandbox.init}/ns/net").stat().st_ino}
    for process in psutil.Process(sandbox.process.pid).children(recursive=True):
        with contextlib.suppress(OSError):
            if (net := Path(f"/proc/{process.pid}/ns/net")).stat().st_ino not in ours:
                return ["nsenter", f"--net={net}", "--"]
    raise AssertionError("there is no pretend internet")


def _repositories(folder: Path) -> Path:
    """A small repository and one with a large file."""
    repositories = folder / "repositories"
    for name, size in (("small", 10), ("large", LARGE)):
        work = repositories / f"{name}-work"
        git = ["git", "-c", "user.name=Example", "-c", "user.email=example@example.com", "-c", "init.defaultBranch=main"]
        subprocess.run([*git, "init", "-q", str(work)], check=True)
        (work / "file").write_bytes(payloads.noise(size))
        subprocess.run([*git, "-C", str(work), "add", "file"], check=True)
        subprocess.run([*git, "-C", str(work), "commit", "-q", "-m", "One file"], check=True)
        subprocess.run([*git, "clone", "-q", "--bare", str(work), str(repositories / name)], check=True)
    return repositories


@contextlib.contextmanager
def _host(outside: list[str], certificates: Path, record: Path, repositories: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.netns.clients.host", str(PORT), str(certificates), str(record), str(repositories)]
    process = subprocess.Popen([*outside, *UNTIL_WE_END, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.terminate()
        process.wait()


def measure(folder: Path, programs: Mapping[str, Path], rows: Sequence[Client] = ROWS) -> Measured:
    """Runs all columns for some clients. `programs` are those that are not in the sandbox's own file system."""
    with prepared(folder, programs) as (sandbox, record):
        versions = {client.key: version(sandbox, client.key) for client in rows}
        haproxy_version = version(sandbox, "haproxy")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            results = dict(pool.map(lambda client: (client.key, _run(sandbox, client)), rows))
            trusting = dict(pool.map(lambda client: (client.key, _trusts(sandbox, client)), rows))
        _shorten_timeouts(sandbox, folder)
        idle = [client for client in rows if client.steps(idle=True)]
        with ThreadPoolExecutor(len(idle)) as pool:
            for client, more in zip(idle, pool.map(lambda client: _run_idle(sandbox, record, client), idle), strict=True):
                results[client.key] = [*results[client.key], *more]
        return Measured(results, _lines(record), trusting, versions, haproxy_version)


def _command(client: Client, plan: str) -> list[str]:
    start = client.idle if plan == "True" and client.idle else client.start
    words = {"PLAN": f"{FOLDER}/plans/{client.key}-{plan}", "RUNS": f"{FOLDER}/runs/{client.key}-{plan}"}
    return [words.get(word, word) for word in start]


def _run(sandbox: Running, client: Client) -> list[Result]:
    done = sandbox.agent(*_command(client, "False"), seconds=SECONDS * 3)
    return _results(client.steps(idle=False), done.stdout, done.stderr)


def _results(steps: Sequence[Step], output: str, errors: str) -> list[Result]:
    steps = [step for step in steps if not step.get("wait")]
    lines = [json.loads(line) for line in output.splitlines()]
    assert len(lines) == len(steps), output + errors
    return [Result(step, line["status"], line["size"], line["error"]) for step, line in zip(steps, lines, strict=True)]


def _trusts(sandbox: Running, client: Client) -> tuple[bool, bool]:
    without = [word for name in TRUST for word in ("-u", name)]
    own = [word for name in TRUST if name != client.trust for word in ("-u", name)]
    outcomes = []
    for number, clear in enumerate((without, own)):
        command = _command(client, "trust")
        command[-1:] = [f"{command[-1]}-{number}"] if "runs" in command[-1] else command[-1:]
        done = sandbox.agent("env", *clear, *NO_REPETITION, *command, seconds=SECONDS)
        outcomes.append(bool(_results(client.steps(idle=False)[:1], done.stdout, done.stderr)[0].status))
    return outcomes[0], outcomes[1]


def _shorten_timeouts(sandbox: Running, folder: Path) -> None:
    """Restarts the gate with the timeouts of SHORT, through a script in place of HAProxy that changes its configuration."""
    for name in SHORT:
        assert re.search(rf"^    timeout {name} \d+[hms]\n", haproxy.TEMPLATE.read_text(), re.MULTILINE), name
    edits = " ".join(f"-e 's/^( *timeout {name}) .*/\\1 {seconds}s/'" for name, seconds in SHORT.items())
    real = sandbox.root("sh", "-c", "command -v haproxy").stdout.strip()
    inside = sandbox.paths.root / "tmp"
    shutil.copyfile(sandbox.paths.root / real.lstrip("/"), inside / "haproxy")
    (inside / "short").write_text(f'#!/bin/sh\nfor file; do :; done\nsed -E -i {edits} "$file"\nexec /tmp/haproxy "$@"\n')
    for name in ("haproxy", "short"):
        (inside / name).chmod(0o755)
    _mount(sandbox, "/tmp/short", real)
    since = sandbox.kill("gate")
    eventually("the gate runs with short timeouts", lambda: sandbox.came_back("gate", since))


def _run_idle(sandbox: Running, record: Path, client: Client) -> list[Result]:
    """Runs the plan for `idle`. The client continues when its connections are closed at the host."""
    command, environment = sandbox.called(AGENT, *_command(client, "True"))
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        start_new_session=True,
    )  # fmt: skip
    hosts = {step["where"] for step in client.steps(idle=True) if not step.get("wait")}

    def all_closed() -> bool:
        closed = [line for line in _lines(record) if line["kind"] == "closed" and line["column"] == "idle"]
        return process.poll() is not None or len({line["host"] for line in closed if line["client"] == client.key}) == len(
            hosts
        )

    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    try:
        with contextlib.suppress(AssertionError):  # the client's results tell more
            eventually(f"the gate closes the connections of {client.name}", all_closed)
            time.sleep(OWN_LIMITS)  # the clients' clocks cannot be turned
        output, errors = process.communicate("\n", timeout=SECONDS)
    finally:
        watchdog.cancel()
        process.kill()
    return _results(client.steps(idle=True), output, errors)


def _lines(record: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record.read_text().splitlines() if line.endswith("}")]
