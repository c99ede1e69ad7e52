from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backend import settings as all_settings
from backend.agent import agent
from backend.boot.plan import StepSkipped, StepWarned
from backend.boot.steps import plugins
from backend.boot.steps.plugins import Wanted, wanted
from backend.context import Boot
from backend.contract.events import Event, StepOutput
from backend.contract.paths import Paths
from backend.policy import Policy
from backend.services.bundle import Services
from backend.system import Finished

GITHUB = {"source": {"source": "github", "repo": "example/plugins"}}
URL = {"source": {"source": "git", "url": "https://git.example/plugins.git"}}
FOLDER = {"source": {"source": "directory", "path": "/opt/plugins"}}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, Wanted((), ())),
        ({"enabledPlugins": {"a@m": False}}, Wanted((), ())),
        (
            {"enabledPlugins": {"a@m": True, "b@m": True}, "extraKnownMarketplaces": {"m": GITHUB, "other": URL}},
            Wanted(("a@m", "b@m"), ("example/plugins",)),
        ),
        ({"enabledPlugins": {"a@u": True}, "extraKnownMarketplaces": {"u": URL}}, Wanted(("a@u",), ("https://git.example/plugins.git",))),
        ({"enabledPlugins": {"a@p": True}, "extraKnownMarketplaces": {"p": FOLDER}}, Wanted(("a@p",), ("/opt/plugins",))),
        ({"enabledPlugins": {"gopls-lsp@claude-plugins-official": True}},
         Wanted(("gopls-lsp@claude-plugins-official",), ("anthropics/claude-plugins-official",))),
        ({"enabledPlugins": ["a@m"], "extraKnownMarketplaces": 3}, Wanted((), ())),
    ],
)  # fmt: skip
def test_plugins_and_marketplaces_in_the_settings(settings: dict[str, Any], expected: Wanted) -> None:
    assert wanted(settings) == expected


@dataclass
class Claude:
    """Stands in for `claude plugin ...`: records its calls and the plugins that it has installed."""

    there: set[str]  # plugins in the marketplaces
    loses: set[str] = field(default_factory=set)  # plugins whose entry is lost in the first install
    asked: list[tuple[str, ...]] = field(default_factory=list)
    installed: set[str] = field(default_factory=set)
    listed: str | None = None

    async def run(self, argv: list[str], environment: dict[str, str], *_: object) -> Finished:
        assert environment == {"HOME": "the agent's"}
        assert argv[:2] == ["claude", "plugin"]
        self.asked.append(tuple(argv[2:]))
        name = argv[-1]
        match argv[2:]:
            case ["list", "--json"]:
                output = json.dumps([{"id": one} for one in sorted(self.installed)]) if self.listed is None else self.listed
                return Finished((), 0, output, "")
            case ["install", "--", _] if name not in self.there:
                return Finished((), 1, "", "first\nno such plugin\n")
            case ["install", "--", _] if name in self.loses:
                self.loses.discard(name)
            case ["install", "--", _]:
                self.installed.add(name)
        return Finished((), 0, "", "")


@pytest.fixture
def emitted() -> list[Event]:
    return []


@pytest.fixture
def boot(tmp_path: Path, emitted: list[Event]) -> Boot:
    paths = Paths(tmp_path)
    loaded, services = all_settings.load({"GH_PAT": "x", "ANTHROPIC_API_KEY": "x"}), Services(paths, emitted.append)
    made = Boot(loaded, paths, emitted.append, services, Policy(loaded, services))
    made.agent_environment = {"HOME": "the agent's"}
    paths.claude_settings.parent.mkdir(parents=True)
    enabled = {"enabledPlugins": {"a@m": True, "b@m": True}, "extraKnownMarketplaces": {"m": GITHUB}}
    paths.claude_settings.write_text(json.dumps(enabled))
    return made


async def test_without_enabled_plugins_nothing_runs(boot: Boot) -> None:
    boot.paths.claude_settings.write_text("{}")
    with pytest.raises(StepSkipped):
        await plugins.run(boot)


async def test_marketplaces_are_added_before_all_enabled_plugins_are_installed(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    claude = Claude({"a@m", "b@m"})
    monkeypatch.setattr(agent, "run", claude.run)
    assert await plugins.run(boot) == "a@m, b@m"
    assert claude.asked == [
        ("marketplace", "add", "--", "example/plugins"), ("install", "--", "a@m"), ("install", "--", "b@m"), ("list", "--json"),
    ]  # fmt: skip


async def test_a_plugin_whose_entry_was_lost_is_installed_again(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    claude = Claude({"a@m", "b@m"}, loses={"b@m"})
    monkeypatch.setattr(agent, "run", claude.run)
    assert await plugins.run(boot) == "a@m, b@m"
    assert [asked[-1] for asked in claude.asked if asked[0] == "install"] == ["a@m", "b@m", "b@m"]


async def test_a_missing_plugin_is_reported_with_the_error(
    boot: Boot, emitted: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "run", Claude({"a@m"}).run)
    with pytest.raises(StepWarned, match=r"^not installed: b@m \(b@m: no such plugin\)"):
        await plugins.run(boot)
    assert StepOutput("plugins", "b@m: no such plugin") in emitted


@pytest.mark.parametrize("listed", ["", "{}", "3", "[3]", "[" * 100_000])
async def test_invalid_output_counts_as_no_plugins(boot: Boot, monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    monkeypatch.setattr(agent, "run", Claude({"a@m", "b@m"}, listed=listed).run)
    with pytest.raises(StepWarned, match=r"^not installed: a@m, b@m"):
        await plugins.run(boot)
