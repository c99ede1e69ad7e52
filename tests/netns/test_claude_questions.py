"""Repositories for which real Claude Code might ask something first: the prompt begins, or the operator learns why not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from backend.contract.events import Refused, SessionState
from backend.sandbox.layout import SHIPPED_SETTINGS
from backend.sandbox.pretend.api import REASON, REJECTED, SENTENCE
from tests.netns import notified, states
from tests.netns.sandbox import IDLE, INTERNET, PATIENCE, Running, eventually, start
from tests.netns.test_claude import OTHER, PINNED, REPOSITORY, claude
from tests.netns.test_claude import states as states_of

pytestmark = pytest.mark.netns

PROMPT = "look around"
FEW = "github.com\napi.github.com\napi.anthropic.com\n"  # the names of tests that lie or rotate cause refusals of their own
SETTINGS, LOCAL = ".claude/settings.json", ".claude/settings.local.json"


def hook(event: str, command: str) -> dict[str, object]:
    return {"hooks": {event: [{"hooks": [{"type": "command", "command": command}]}]}}


def with_files(files: dict[str, str]) -> str:
    """An internet whose repository has these files."""
    table = ", ".join(f"{json.dumps(path)} = {json.dumps(text)}" for path, text in files.items())
    return INTERNET.replace('repository = "example/demo" }', f'repository = "example/demo", files = {{ {table} }} }}')


def begin(folder: Path, name: str, files: dict[str, str], program: str, override: str = "off") -> Running:
    """Starts a sandbox with a repository that has these files, and with a prompt."""
    return start(
        folder, f"{name}-{os.getpid()}", "--claude", program, internet=with_files(files), CLAUDE_PROMPT=PROMPT,
        REPO_URL=REPOSITORY, CODETAINER_CLAUDE_OVERRIDE=override,
    )  # fmt: skip


def both(names: Iterable[str]) -> pytest.MarkDecorator:
    """Runs a test for each name with each version of Claude Code."""
    return pytest.mark.parametrize(("name", "version"), [(name, version) for name in names for version in (PINNED, OTHER)])


MALFORMED = f"/workspace/repo/{SETTINGS} Invalid or malformed JSON"
# Files of a repository, and what the operator is told about its settings. Causes that do not hide each other share a
# repository, because each start of Claude Code takes seconds.
AWKWARD: dict[str, tuple[dict[str, str], str]] = {
    "malformed": ({SETTINGS: "{ not json", LOCAL: "["}, MALFORMED),
    "wrong-type": ({SETTINGS: '{"cleanupPeriodDays": "30 days"}'}, "cleanupPeriodDays: Expected number, but received string"),
    "unknown-hook": ({SETTINGS: json.dumps(hook("NoSuchEvent", "true"))}, 'Unknown hook event "NoSuchEvent"'),
    "imports-and-servers": (
        {
            "CLAUDE.md": "Read @/etc/hostname and @../outside.md\n",
            ".mcp.json": '{"mcpServers": {"one": {"command": "true"}}}',
        },
        "",
    ),
}


@both(AWKWARD)
def test_the_prompt_begins(name: str, version: str, tmp_path: Path) -> None:
    files, told = AWKWARD[name]
    sandbox = begin(tmp_path, name, files, claude(version))
    try:
        eventually("the prompt is answered", lambda: SENTENCE[:20] in sandbox.screen())
        assert told in " ".join(sandbox.state.agent_settings)
        assert bool(told) == bool(sandbox.state.agent_settings)
        assert bool(told) == ("Claude Code's settings" in sandbox.codetainer("status").stdout)
    finally:
        sandbox.stop()


# Settings of a repository that do not keep Claude from working without anybody: the sandbox's own outrank them.
OUTRANKED = {
    "plan": {"permissions": {"defaultMode": "plan"}, "disableAllHooks": True},
    "auto": {"permissions": {"defaultMode": "auto"}},
}


@both(OUTRANKED)
def test_the_sandboxs_settings_outrank_the_repositorys(name: str, version: str, tmp_path: Path) -> None:
    sandbox = begin(tmp_path, name, {SETTINGS: json.dumps(OUTRANKED[name])}, claude(version))
    try:
        eventually("the prompt is answered", lambda: SENTENCE[:20] in sandbox.screen())
        assert "bypass permissions on" in sandbox.screen()
        eventually("the hooks run", lambda: '"state": "waits"' in hooks_report(sandbox))
        eventually("Claude learns the remedy", lambda: "codetainer allow telemetry.example.net" in sandbox.seen.read_text())
        assert sandbox.state.agent_settings == ()
    finally:
        sandbox.stop()


# Settings of a repository that do keep it, and the start of what the operator is told.
HINDERING: dict[str, tuple[dict[str, object], str]] = {
    "no-bypass": ({"permissions": {"disableBypassPermissionsMode": "disable"}}, "permissions.disableBypassPermissionsMode"),
    "ask": ({"permissions": {"ask": ["Bash"]}}, 'permissions.ask ["Bash"]'),
    "base-url": ({"env": {"ANTHROPIC_BASE_URL": "https://files.example.org"}}, "env.ANTHROPIC_BASE_URL"),
    "bedrock": ({"env": {"CLAUDE_CODE_USE_BEDROCK": "1"}}, "env.CLAUDE_CODE_USE_BEDROCK"),
    "helper": ({"apiKeyHelper": "echo nobodys-key"}, "apiKeyHelper"),
    "sandbox": ({"sandbox": {"enabled": True, "failIfUnavailable": True}}, "sandbox.failIfUnavailable"),
}
TASK = "please run: touch /workspace/known\n"  # the pretend API obeys the first such line of a conversation


def hindering() -> dict[str, object]:
    """Settings that contain all of HINDERING."""
    merged: dict[str, object] = {}
    for body, _ in HINDERING.values():
        for key, value in body.items():
            before = merged.get(key)
            merged[key] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def test_each_setting_in_the_way_is_reported_until_it_is_gone(tmp_path: Path) -> None:
    sandbox = begin(tmp_path, "hindered", {SETTINGS: json.dumps(hindering())}, str(IDLE))
    try:
        status = " ".join(sandbox.codetainer("status").stdout.split())
        for _, setting in HINDERING.values():
            assert any(line.startswith(f"{SETTINGS}: {setting}") for line in sandbox.state.agent_settings)
            assert setting in status
        assert sandbox.agent("rm", f"/workspace/repo/{SETTINGS}").returncode == 0
        eventually("nothing stands in the way", lambda: sandbox.state.agent_settings == ())
    finally:
        sandbox.stop()


@pytest.mark.parametrize("version", [PINNED, OTHER])
def test_settings_in_the_way_can_be_overridden(version: str, tmp_path: Path) -> None:
    """Claude works, and still knows the repository's CLAUDE.md and its other settings."""
    files = {SETTINGS: json.dumps({**hindering(), **hook("UserPromptSubmit", "touch /workspace/hook")}), "CLAUDE.md": TASK}
    sandbox = begin(tmp_path, "overridden", files, claude(version), "on")
    try:
        for _, setting in HINDERING.values():
            assert setting in " ".join(sandbox.state.agent_settings)
        eventually("the prompt is answered", lambda: SENTENCE[:20] in sandbox.screen())
        assert "bypass permissions on" in sandbox.screen()
        assert sandbox.agent("ls", "/workspace/hook", "/workspace/known").returncode == 0
    finally:
        sandbox.stop()


def state(sandbox: Running) -> SessionState | None:
    return sandbox.state.session.state if sandbox.state.session else None


@pytest.mark.parametrize("version", [PINNED, OTHER])
def test_what_keeps_the_prompt_from_beginning_is_shown_until_it_begins(version: str, tmp_path: Path) -> None:
    """A hook stands for any obstacle. A restart meanwhile does not lose the prompt."""
    wait = "until [ -e /workspace/go ]; do sleep 0.1; done"
    service = notified.begin(
        tmp_path, "hangs", "--claude", claude(version), internet=with_files({SETTINGS: json.dumps(hook("SessionStart", wait))}),
        CLAUDE_PROMPT=PROMPT, REPO_URL=REPOSITORY, CODETAINER_NOTIFY=notified.WEBHOOK,
    )  # fmt: skip
    sandbox = service.sandbox
    try:
        eventually("the operator is told", lambda: state(sandbox) is SessionState.ASKS)
        eventually("with Claude's screen", lambda: "Claude Code" in "".join(sandbox.state.session.screen))  # type: ignore[union-attr]
        status = sandbox.codetainer("status").stdout
        assert "! Claude is asking something before it begins" in status
        assert "Its screen, in the agent's words:" in status
        assert "Claude is asking something before it begins since" in states.dashboard(sandbox, service.folder)
        states.notified(service, "Claude asks something before it begins", seconds=PATIENCE)
        assert PROMPT not in sandbox.seen.read_text()
        assert sandbox.codetainer("session", "restart", "--yes").returncode == 0
        eventually("the watch begins anew", lambda: state(sandbox) is not SessionState.ASKS)
        assert sandbox.agent("touch", "/workspace/go").returncode == 0
        eventually("the prompt is answered", lambda: SENTENCE[:20] in sandbox.screen())
        eventually("it waits", lambda: state(sandbox) is SessionState.WAITS)
        assert sandbox.state.session is not None
        assert sandbox.state.session.screen == ()
    finally:
        sandbox.stop()
        service.end()


@pytest.mark.parametrize("version", [PINNED, OTHER])
def test_no_question_after_a_failed_clone(version: str, tmp_path: Path) -> None:
    """The session then starts in /workspace, which has to be trusted, too. An API error ends the turn for the hooks, too."""
    sandbox = start(
        tmp_path, f"unclonable-{os.getpid()}", "--claude", claude(version), CLAUDE_PROMPT=f"{PROMPT}: {REJECTED}",
        REPO_URL="https://github.com/example/missing",
    )  # fmt: skip
    try:
        eventually("the error is shown", lambda: REASON in sandbox.screen())
        # Not only the notification a minute later, which reports that Claude waits.
        eventually("the hooks report the end", lambda: '"state": "failed"' in hooks_report(sandbox), PATIENCE / 2)
        eventually("Claude waits", lambda: sandbox.state.session_state is SessionState.WAITS)
        assert json.loads(hooks_report(sandbox))["turn"] > 0
        assert SessionState.ASKS not in states_of(sandbox)
    finally:
        sandbox.stop()


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Claude in its session, without a prompt."""
    running = start(tmp_path_factory.mktemp("idle"), f"quiet-{os.getpid()}", "--claude", claude(), listed=FEW)
    yield running
    running.stop()


def hooks_report(sandbox: Running) -> str:
    return sandbox.agent("cat", "/home/claude/.codetainer/activity.json").stdout


def test_hooks_status_line_and_mode_hold_if_the_operators_settings_are_void(tmp_path: Path) -> None:
    """One field of a wrong type makes Claude Code ignore the agent's whole settings.json."""
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({**json.loads(SHIPPED_SETTINGS.read_text()), "cleanupPeriodDays": "30 days"}))
    sandbox = start(
        tmp_path, f"void-{os.getpid()}", "--claude", claude(), "--settings", str(settings), listed=FEW, CLAUDE_PROMPT=PROMPT
    )
    try:
        eventually("the prompt is answered", lambda: SENTENCE[:20] in sandbox.screen())
        told = "/home/claude/.claude/settings.json cleanupPeriodDays: Expected number, but received string"
        assert told in " ".join(sandbox.state.agent_settings)
        eventually("the hooks run", lambda: '"state": "waits"' in hooks_report(sandbox))
        eventually("the status line runs", lambda: sandbox.state.session and sandbox.state.session.model)
        screen = sandbox.screen()
        assert "bypass permissions on" in screen
        assert "auto mode" not in screen.lower()
        assert refused_names(sandbox) <= {"telemetry.example.net"}  # the prompt tries it
    finally:
        sandbox.stop()


def test_starts_of_claude_are_refused_nothing(idle: Running) -> None:
    """Claude Code looks names up in the first seconds: of a session, of a restarted one, and of a run without a screen."""
    eventually("Claude's prompt", lambda: "bypass permissions on" in idle.screen())
    assert idle.codetainer("session", "restart", "--yes").returncode == 0
    done = idle.agent("claude", "--dangerously-skip-permissions", "-p", "please run: true", seconds=PATIENCE * 3)
    assert SENTENCE in done.stdout
    eventually("Claude's prompt", lambda: "bypass permissions on" in idle.screen())
    eventually("the status line runs", lambda: idle.state.session and idle.state.session.model)
    assert refused_names(idle) == set()


def test_hooks_hold_if_the_agent_voids_its_settings(idle: Running) -> None:
    managed = str(idle.paths.claude_managed.relative_to(idle.paths.root))
    assert idle.agent("sh", "-c", f"echo > /{managed}").returncode != 0
    idle.agent("sh", "-c", "echo junk > ~/.claude/settings.json; rm -f ~/.codetainer/activity.json")
    done = idle.agent("claude", "--dangerously-skip-permissions", "-p", "look around", seconds=PATIENCE * 3)
    assert SENTENCE in done.stdout
    eventually("the hooks run", lambda: '"state": "waits"' in hooks_report(idle))


def refused_names(sandbox: Running) -> set[str]:
    return {event.name or event.address for event in sandbox.events(Refused)}
