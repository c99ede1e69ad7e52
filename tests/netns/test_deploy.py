"""The launch script for Fly.io, with a stand-in for `fly`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from backend import settings
from tests.documentation import ROOT

SCRIPT = ROOT / "docs/deploy/launch-on-fly"
FLY = """#!/bin/sh
printf '%s\\n' "$*" >>"$LOG"
[ "$1 $2" != "secrets import" ] || cat >>"$LOG.stdin"
[ "$1 $2" != "apps list" ] || echo "[$APPS]"
"""
SECRETS = {"GH_PAT": "ghp_planted", "CLAUDE_CODE_OAUTH_TOKEN": "sk-planted"}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "fly").write_text(FLY)
    (tmp_path / "fly").chmod(0o755)
    return tmp_path / "log"


def launch(log: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *arguments], env={"PATH": f"{log.parent}:/usr/bin:/bin", "LOG": str(log), **environment},
        capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_the_machine_has_no_service_and_no_argument_has_a_secret(log: Path) -> None:
    done = launch(log, "box", "ams", REPO_URL="https://github.com/example/demo", CLAUDE_PROMPT="two words", **SECRETS)
    assert done.returncode == 0, done.stderr
    listed, made, secrets, run = log.read_text().splitlines()
    assert (listed, made) == ("apps list --json", "apps create box")
    assert secrets == "secrets import --stage --app box"
    assert run.startswith("machine run ghcr.io/perezd/codetainer:latest --app box --region ams --name box --restart no")
    assert "--env REPO_URL=https://github.com/example/demo --env CLAUDE_PROMPT=two words" in run and "--port" not in run
    variables = dict(option.split("=", 1) for option in re.findall(r"--env (\S+=.*?)(?= --|$)", run))
    assert settings.load({**variables, **SECRETS}).repo_url == "https://github.com/example/demo"
    assert not any(value in log.read_text() + done.stdout + done.stderr for value in SECRETS.values())
    assert Path(f"{log}.stdin").read_text() == "GH_PAT=ghp_planted\nCLAUDE_CODE_OAUTH_TOKEN=sk-planted\n"


def test_an_existing_app_is_used(log: Path) -> None:
    variables = {"GH_PAT": "x", "ANTHROPIC_API_KEY": "sk-planted"}
    for apps, made in (('{"Name":"box"}', False), ('{"Name":"box2"}', True)):
        log.unlink(missing_ok=True)
        done = launch(log, "box", APPS=apps, IMAGE="registry.example/mine:1", **variables)
        assert done.returncode == 0, done.stderr
        assert ("apps create box" in log.read_text().splitlines()) is made
        assert "machine run registry.example/mine:1 --app box" in log.read_text()
    assert "ANTHROPIC_API_KEY=sk-planted\n" in Path(f"{log}.stdin").read_text()


def test_settings_are_passed_on(log: Path) -> None:
    """The command that stops the machine, which the script prints, allows the grace period."""
    names = ("REPO_URL", "CLAUDE_PROMPT", "GIT_USER_NAME", "GIT_USER_EMAIL", "CODETAINER_EXTRA_DOMAINS", "CODETAINER_PUSH",
             "CODETAINER_UPSTREAM", "CODETAINER_AUTOSAVE")  # fmt: skip
    done = launch(log, "box", **SECRETS, **{name: f"its-{name}" for name in names})
    assert done.returncode == 0, done.stderr
    run = log.read_text().splitlines()[-1]
    assert set(re.findall(r"--env (\S+)", run)) == {*(f"{name}=its-{name}" for name in names), "CODETAINER_GRACE=30s"}
    assert "--signal SIGTERM --timeout 30 " in done.stdout


def test_a_missing_fly_is_reported(log: Path) -> None:
    (log.parent / "fly").unlink()
    done = launch(log, "box", **SECRETS)
    assert done.returncode == 2
    assert "cannot find fly" in done.stderr


def test_without_a_repository_autosave_is_off(log: Path) -> None:
    assert launch(log, "box", **SECRETS).returncode == 0
    assert "CODETAINER_AUTOSAVE" not in log.read_text()


@pytest.mark.parametrize(
    ("arguments", "environment", "error"),
    [
        ((), SECRETS, "usage: ./launch-on-fly APP"),
        (("box",), {"CLAUDE_CODE_OAUTH_TOKEN": "x"}, "GH_PAT is not set"),
        (("box",), {"GH_PAT": "x"}, "neither CLAUDE_CODE_OAUTH_TOKEN nor ANTHROPIC_API_KEY"),
    ],
)
def test_missing_settings_are_reported_before_anything_is_created(
    log: Path, arguments: tuple[str, ...], environment: dict[str, str], error: str
) -> None:
    done = launch(log, *arguments, **environment)
    assert done.returncode == 2 and error in done.stderr and not log.exists()
