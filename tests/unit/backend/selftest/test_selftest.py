"""The self-test finds credentials in the agent's session, and checks the output of the probe, which may be forged."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend import settings
from backend.agent import agent
from backend.context import Boot
from backend.contract.paths import Paths
from backend.policy import Policy
from backend.selftest import selftest
from backend.services.bundle import Services
from backend.system import Finished, SystemFailure


def boot(folder: Path, **more: str) -> Boot:
    paths = Paths(folder)
    loaded = settings.load({"GH_PAT": "ghp_the_real_one", "ANTHROPIC_API_KEY": "sk-the-real-one", **more})
    services = Services(paths, print)
    made = Boot(loaded, paths, print, services, Policy(loaded, services))
    made.agent_environment = agent.environment(loaded, paths)
    return made


def test_placeholders_are_not_credentials(tmp_path: Path) -> None:
    assert selftest.credentials_inside(boot(tmp_path)) == ""


def test_a_credential_in_the_environment_is_reported_without_its_value(tmp_path: Path) -> None:
    booted = boot(tmp_path)
    booted.agent_environment["EXTRA"] = "token=ghp_the_real_one"
    problem = selftest.credentials_inside(booted)
    assert "EXTRA" in problem
    assert "real_one" not in problem


@pytest.mark.parametrize("name", ["hosts.yml", "git-credential"])
def test_a_credential_in_the_agents_files_is_found(tmp_path: Path, name: str) -> None:
    booted = boot(tmp_path)
    booted.paths.gh_config.mkdir(parents=True)
    (booted.paths.gh_config / name).write_text("oauth_token: ghp_the_real_one\n")
    assert name in selftest.credentials_inside(booted)


def test_credentials_that_are_kept_inside_are_found(tmp_path: Path) -> None:
    assert selftest.credentials_inside(boot(tmp_path, CODETAINER_CREDENTIALS="inside")) != ""


def test_results_are_truncated() -> None:
    assert selftest.results(Finished((), 0, '{"root": "", "resolver": "silent"}', "")) == {"root": "", "resolver": "silent"}
    assert selftest.results(Finished((), 0, f'{{"root": "{"x" * 9999}"}}', "")) == {"root": "x" * selftest.MAX_TEXT}


@pytest.mark.parametrize(
    "output",
    ["", "[" * 200_000, "[]", "3", '{"root": [[]]}', '{"root": null}', "{" + ", ".join(f'"{n}": ""' for n in range(99)) + "}"],
)
async def test_forged_output_of_the_probe_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    """The supervisor counts such failures and repeats the self-test."""

    async def run(*_: object, **__: object) -> Finished:
        return Finished((), 0, output, "")

    monkeypatch.setattr(agent, "run", run)
    with pytest.raises(SystemFailure, match="cannot run the self-test"):
        await selftest.run(boot(tmp_path, CODETAINER_GATE="off"))
