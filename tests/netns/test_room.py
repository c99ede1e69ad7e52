"""The agent's home: plugins, skills and CLAUDE.md from the image, and the description of the sandbox for Claude."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.contract.control import Allow, Revoke
from backend.contract.events import Outcome
from codetainer_tui.ask import ask
from tests.netns.sandbox import Running, eventually, start
from tests.netns.test_claude import claude

pytestmark = pytest.mark.netns

ROOT = Path(__file__).parents[2]
MARKETPLACES = {"example-plugins": {"source": {"source": "github", "repo": "example/plugins"}}}


def furnish(folder: Path, *plugins: str) -> Path:
    """A folder with the shipped settings plus plugins, a skill and a CLAUDE.md."""
    settings = json.loads((ROOT / "claude-settings.json").read_text())
    settings |= {"extraKnownMarketplaces": MARKETPLACES, "enabledPlugins": dict.fromkeys(plugins, True)}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "skills/greet").mkdir(parents=True)
    (folder / "skills/greet/SKILL.md").write_text("---\nname: greet\ndescription: Greets\n---\nGreet.\n")
    (folder / "CLAUDE.md").write_text("Speak plainly.\n")
    return folder / "settings.json"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("room")
    settings = furnish(folder, "hello@example-plugins", "missing@example-plugins")
    running = start(folder, f"room-{os.getpid()}", "--claude", claude(), "--settings", str(settings))
    yield running
    running.stop()


def test_plugins_are_installed_and_a_missing_one_is_a_warning(sandbox: Running) -> None:
    listed = json.loads(sandbox.agent("claude", "plugin", "list", "--json").stdout)
    own = [plugin["id"] for plugin in listed if not plugin["id"].endswith("@builtin")]  # of Claude Code itself
    assert own == ["hello@example-plugins"]
    step = sandbox.state.steps["plugins"]
    assert step.outcome is Outcome.WARNED
    assert "missing@example-plugins" in step.detail
    assert sandbox.state.session_created


def test_skills_and_claude_md_are_the_agents(sandbox: Running) -> None:
    assert "name: greet" in sandbox.agent("cat", "/home/claude/.claude/skills/greet/SKILL.md").stdout
    assert sandbox.agent("sh", "-c", "echo more >> ~/.claude/skills/greet/SKILL.md").returncode == 0
    briefing = sandbox.agent("cat", "/home/claude/.claude/CLAUDE.md").stdout
    assert briefing.startswith("Speak plainly.\n")
    assert "github.com" in briefing


def test_the_description_for_claude_follows_the_allowlist(sandbox: Running) -> None:
    file = "/home/claude/.claude/CLAUDE.md"
    sandbox.agent("sh", "-c", f"echo 'of the agent' >> {file}")
    assert sandbox.codetainer("allow", "unlisted.test").returncode == 0
    briefing = eventually(
        "CLAUDE.md follows", lambda: (text := sandbox.agent("cat", file).stdout) and "unlisted.test" in text and text
    )
    assert briefing.startswith("Speak plainly.\n")
    assert briefing.endswith("of the agent\n")
    assert sandbox.codetainer("revoke", "unlisted.test").returncode == 0
    eventually("CLAUDE.md follows", lambda: "unlisted.test" not in sandbox.agent("cat", file).stdout)


def test_root_follows_no_link_of_the_agent(sandbox: Running) -> None:
    """A CLAUDE.md that links to a file of root: the file is neither copied into the agent's home nor written."""
    file = "/home/claude/.claude/CLAUDE.md"
    assert sandbox.root("sh", "-c", "echo secret > /run/codetainer/kept; chmod 600 /run/codetainer/kept").returncode == 0
    assert sandbox.agent("ln", "-sfn", "/run/codetainer/kept", file).returncode == 0
    assert sandbox.codetainer("allow", "unlisted.test").returncode == 0
    assert sandbox.root("cat", "/run/codetainer/kept").stdout == "secret\n"
    eventually("it is reported", lambda: "cannot tell Claude" in "".join(note.text for note in sandbox.state.notes))


def test_a_pipe_without_a_reader_delays_no_change_of_the_allowlist(sandbox: Running) -> None:
    """A revoke is answered, and a timed grant expires, long before the writer of CLAUDE.md gives up."""
    file = "/home/claude/.claude/CLAUDE.md"
    assert sandbox.agent("sh", "-c", f"rm -f {file}; mkfifo {file}").returncode == 0

    def given_up() -> bool:
        return any("not done within" in note.text for note in sandbox.state.notes)

    # Done directly, because on a busy machine the writer could give up before two programs have started.
    for request in (Allow("unlisted.test"), Revoke("unlisted.test")):
        assert ask(sandbox.paths.control, request).ok
        assert not given_up()
    eventually("the writer gives up", given_up)
