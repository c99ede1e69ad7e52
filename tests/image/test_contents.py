"""The image contains its programs and users, and no secrets or traces of the build."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.contract.paths import USERS
from tests.image import engine
from tests.unit.test_repository import SECRETS

pytestmark = pytest.mark.image

# Commands that people type (Codetainer's in the first row), and a pattern of their version output.
PROGRAMS = {
    "codetainer": "codetainer", "attach-claude": "", "start-claude": "", "status": "", "entrypoint": "",
    "claude": "Claude Code", "bun": r"\d", "bunx": r"\d", "npm": r"\d", "npx": r"\d", "prettier": r"\d", "tsc": "Version",
    "typescript-language-server": r"\d", "gopls": "gopls", "go": "version", "gofmt": "", "coredns": "", "gh": "gh version",
    "just": "just", "fd": "fd", "bat": "bat", "rg": "ripgrep", "jq": "jq", "glow": "glow", "git": "git version",
    "tmux": "tmux", "nft": "nftables", "haproxy": "HAProxy", "tini": "tini",
}  # fmt: skip
ASKING = {
    "go": ["version"], "gopls": ["version"], "tmux": ["-V"], "haproxy": ["-v"],
}  # fmt: skip


@pytest.fixture(scope="module")
def files(image: str) -> Iterator[Path]:
    with engine.mounted(image) as folder:
        yield folder


@pytest.fixture(scope="module")
def configuration(image: str) -> dict[str, Any]:
    inspected: dict[str, Any] = json.loads(engine.podman("image", "inspect", image))[0]
    return inspected


@pytest.fixture(scope="module")
def within(image: str) -> Iterator[Callable[..., str]]:
    """Runs a command in the image, without a sandbox, and returns its output."""
    command = ("--detach", "--rm", "--pull=never", "--network=none", *engine.limits(), "--entrypoint=sleep", image, "600")
    container = engine.podman("run", *command).strip()
    yield lambda *argv: engine.podman("exec", container, *argv)
    engine.podman("kill", container)


def regular(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yields every regular file with its mode, without following links."""
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            yield path, mode


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_are_there_under_their_names(within: Callable[..., str], program: str) -> None:
    if not PROGRAMS[program]:
        assert within("sh", "-c", f"command -v {program}").strip() == f"/usr/local/bin/{program}"
    else:
        assert re.search(PROGRAMS[program], within(program, *ASKING.get(program, ["--version"])))


def test_tmux_draws_a_frame_at_once(within: Callable[..., str]) -> None:
    major, minor = re.findall(r"\d+", within("tmux", "-V"))[:2]
    assert (int(major), int(minor)) >= (3, 6)


def test_the_language_server_finds_its_typescript(files: Path) -> None:
    """TypeScript 7 and later do not contain tsserver."""
    assert (files / "opt/programs/node_modules/typescript/lib/tsserver.js").is_file()


def test_users_are_those_of_the_rules(files: Path) -> None:
    entries = [line.split(":") for line in (files / "etc/passwd").read_text().splitlines()]
    assert {fields[0]: int(fields[2]) for fields in entries}.items() >= USERS.items()


def test_no_program_gains_rights_by_its_mode(files: Path) -> None:
    assert [str(path) for path, mode in regular(files) if mode & (stat.S_ISUID | stat.S_ISGID)] == []


def test_python_is_compiled_since_nobody_can_do_it_later(files: Path) -> None:
    sources = [path for path in (files / "opt/codetainer").rglob("*.py") if "templates" not in path.parts]
    assert sources
    assert [str(path) for path in sources if not list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))] == []


def test_no_secret_is_in_it(files: Path, configuration: dict[str, Any]) -> None:
    """Neither host keys nor anything like a token in our files, the image's history or its configuration."""
    assert list((files / "etc/ssh").glob("ssh_host_*")) == []
    text = json.dumps(configuration["History"]) + json.dumps(configuration["Config"])
    places = ["opt/codetainer/lib", "opt/claude", "opt/network", "usr/local/bin", "etc", "root"]
    for place in places:
        text += "".join(path.read_text(errors="replace") for path, _ in regular(files / place) if path.stat().st_size < 1 << 20)
    assert SECRETS.findall(text.replace("AUTHORITIES", "")) == []


def test_no_setting_of_the_building_machine_stayed(files: Path) -> None:
    names = ["etc/pip.conf", "root/.npmrc", "root/.config/go/env", "etc/machine-id", "var/log/apt"]
    assert [name for name in names if (path := files / name).exists() and (path.is_dir() or path.stat().st_size)] == []


def test_what_it_says_of_itself(configuration: dict[str, Any]) -> None:
    labels = configuration["Labels"]
    assert labels["org.opencontainers.image.title"] == "Codetainer"
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert configuration["Config"]["Entrypoint"] == ["/usr/local/bin/entrypoint"]
    assert "codetainer status" in " ".join(configuration["Healthcheck"]["Test"])
