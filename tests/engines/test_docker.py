"""docs/deploy/compose.yaml, unchanged, on a real dockerd: DNS uses Docker's resolver, which the agent cannot reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engines import dockerd
from tests.engines.dockerd import SHARED, Docker
from tests.image import engine
from tests.netns.sandbox import INTERNET, SHORT, eventually

COMPOSE = engine.ROOT / "docs/deploy/compose.yaml"
# The test's changes: the image built here, the pretend internet's CA, a short allowlist.
OVERRIDE = f"""
services:
  codetainer:
    image: {engine.IMAGE}
    volumes:
      - {SHARED}/authorities:/etc/ssl/certs/ca-certificates.crt:ro
      - {SHARED}/domains.conf:/opt/network/domains.conf:ro
    ulimits: {dockerd.limits()}
"""
SETTINGS = {
    "GH_PAT": "ghp_pretend",
    "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-pretend",
    "REPO_URL": "https://github.com/example/demo",
}
AS_AGENT = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--no-new-privs")
ASK = """
import socket, sys
for address in sys.argv[1:]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        try:
            sock.connect((address, 53))
            sock.send(bytes.fromhex("abcd01000001000000000000067365637265740474657374") + bytes.fromhex("0000010001"))
            sock.recv(512)
            print("answered")
        except OSError as error:
            print(type(error).__name__)
"""


@dataclass(frozen=True, slots=True)
class Composed:
    """Runs `docker compose` with the shipped file."""

    docker: Docker

    def compose(self, *arguments: str, check: bool = True) -> str:
        argv = ["docker", "compose", "--file", "compose.yaml", "--file", "override.yaml", *arguments]
        if check:
            return self.docker.checked(*argv, environment=SETTINGS)
        done = self.docker.run(*argv, environment=SETTINGS)
        return done.stdout + done.stderr

    def inside(self, *argv: str) -> str:
        return self.compose("exec", "-T", "codetainer", *argv, check=False)


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    folder = tmp_path_factory.mktemp("docker")
    (folder / "internet.toml").write_text(INTERNET)
    with dockerd.running(folder, folder / "internet.toml") as docker:
        dockerd.load(docker, engine.image())
        system = Path("/etc/ssl/certs/ca-certificates.crt").read_bytes()
        (docker.shared / "authorities").write_bytes(system + docker.internet.certificate)
        (docker.shared / "domains.conf").write_text(SHORT.read_text())
        (docker.shared / "compose.yaml").write_text(COMPOSE.read_text())
        (docker.shared / "override.yaml").write_text(OVERRIDE)
        composed = Composed(docker)
        composed.compose("up", "--detach")
        eventually("boot has finished", lambda: '"kind":"lock.released"' in composed.inside("codetainer", "logs", "--json"))
        yield composed
        composed.compose("down")


def test_it_is_ready_and_has_cloned(composed: Composed) -> None:
    shown = composed.inside("codetainer", "status")
    assert shown.startswith("READY"), shown
    assert "127.0.0.11" in shown
    assert "main" in composed.inside(*AS_AGENT, "git", "-C", "/workspace/repo", "branch", "--list")


def test_the_agent_reaches_neither_dockers_resolver_nor_the_one_behind_it(composed: Composed) -> None:
    answers = composed.inside(*AS_AGENT, "python3", "-I", "-c", ASK, "127.0.0.11", composed.docker.internet.resolvers[0])
    assert "answered" not in answers
    assert len(answers.split()) == 2
