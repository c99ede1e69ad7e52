"""Whether what the agent's session is given holds a credential; what the probe says, and what others may have said for it."""

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
    found = settings.load({"GH_PAT": "ghp_the_real_one", "ANTHROPIC_API_KEY": "sk-the-real-one", **more})
    services = Services(paths, print)
    made = Boot(found, paths, print, services, Policy(found, services))
    made.agent_environment = agent.environment(found, paths)
    return made


def test_placeholders_are_no_credentials(tmp_path: Path) -> None:
    assert selftest.credentials_inside(boot(tmp_path)) == ""


def test_a_credential_in_the_environment_is_said_without_it(tmp_path: Path) -> None:
    found = boot(tmp_path)
    found.agent_environment["EXTRA"] = "token=ghp_the_real_one"
    said = selftest.credentials_inside(found)
    assert "EXTRA" in said
    assert "real_one" not in said


@pytest.mark.parametrize("name", ["hosts.yml", "git-credential"])
def test_a_credential_in_a_file_that_the_agent_reads(tmp_path: Path, name: str) -> None:
    found = boot(tmp_path)
    found.paths.gh_config.mkdir(parents=True)
    (found.paths.gh_config / name).write_text("oauth_token: ghp_the_real_one\n")
    assert name in selftest.credentials_inside(found)


def test_with_the_credentials_inside_it_is_what_it_says(tmp_path: Path) -> None:
    assert selftest.credentials_inside(boot(tmp_path, CODETAINER_CREDENTIALS="inside")) != ""


def test_what_the_probe_finds_is_cut_to_size() -> None:
    assert selftest.results(Finished((), 0, '{"root": "", "resolver": "silent"}', "")) == {"root": "", "resolver": "silent"}
    assert selftest.results(Finished((), 0, f'{{"root": "{"x" * 9999}"}}', "")) == {"root": "x" * selftest.MAX_TEXT}


@pytest.mark.parametrize(
    "said",
    ["", "[" * 200_000, "[]", "3", '{"root": [[]]}', '{"root": null}', "{" + ", ".join(f'"{n}": ""' for n in range(99)) + "}"],
)
async def test_what_no_probe_says_is_no_better_than_a_broken_wall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """Whatever it is, it is said as one failure: the walls are tried again afterwards."""

    async def run(*_: object, **__: object) -> Finished:
        return Finished((), 0, said, "")

    monkeypatch.setattr(agent, "run", run)
    with pytest.raises(SystemFailure, match="cannot try the walls"):
        await selftest.prove(boot(tmp_path, CODETAINER_GATE="off"))
