"""Installs Claude Code's settings, skills and CLAUDE.md, and answers the questions of its first start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from backend import system
from backend.agent import agent
from backend.boot import briefing
from backend.boot.plan import StepFailed
from backend.context import Boot
from backend.contract.events import Noted
from backend.session import reports
from backend.suspension.process import BEFORE
from backend.system import AGENT

MAX_STATE = 4 << 20  # bytes of Claude Code's own state that are read after a resume

# Answers to the questions about a folder. The second pair declines to import files from outside the folder into a CLAUDE.md.
PROJECT = {
    "hasTrustDialogAccepted": True,
    "hasCompletedProjectOnboarding": True,
    "hasClaudeMdExternalIncludesApproved": False,
    "hasClaudeMdExternalIncludesWarningShown": True,
}
# The keys of the template that go into the managed settings as they are.
MANAGED = ("env", "hooks", "statusLine", "skipDangerousModePermissionPrompt")


async def run(boot: Boot) -> str:
    paths, settings = boot.paths, boot.settings
    try:
        template = paths.claude_settings.read_text()
        body = json.loads(template)
        if not isinstance(body, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        raise StepFailed(
            f"cannot read {paths.claude_settings}: {error}", "Put back the template, which is part of the image."
        ) from error
    system.write(paths.claude_managed_file, json.dumps(managed(body), indent=2) + "\n")
    agent.make_folder(paths.home / ".claude", 0o700)
    agent.write(paths.home / ".claude/settings.json", template)
    await _more(boot)
    state: dict[str, object] = {
        "hasCompletedOnboarding": True,
        "bypassPermissionsModeAccepted": True,
        # If the clone fails, the session starts in the workspace.
        "projects": {str(folder): PROJECT for folder in (paths.workspace, paths.repository)},
    }
    if not settings.agent_secrets.oauth_token:
        # Claude Code asks before it uses a key from the environment; it identifies the key by its last 20 characters.
        state["customApiKeyResponses"] = {"approved": [settings.agent_secrets.api_key[-20:]], "rejected": []}
    if boot.resumed is not None:
        before = known(reports.read_report(paths.home / ".claude.json", most=MAX_STATE + 1))
        if before is None:
            await _set_aside(boot)
        state = continued(before or {}, state)
    agent.write(paths.home / ".claude.json", json.dumps(state), 0o600)
    return str(paths.repository if settings.repo_url else paths.workspace)


def known(text: str) -> dict[str, Any] | None:
    """Claude Code's state of a suspended sandbox, which is the agent's. None if it is too long, or not a JSON object."""
    if not text:
        return {}
    try:
        theirs = json.loads(text) if len(text) <= MAX_STATE else None
    except (ValueError, RecursionError):
        return None
    return theirs if isinstance(theirs, dict) else None


async def _set_aside(boot: Boot) -> None:
    """Keeps a state that cannot be continued, under another name. Claude Code would not keep it, either."""
    command = [str(boot.paths.python), "-I", "-m", "backend", "suspension", "aside", str(boot.paths.home / ".claude.json")]
    await system.run_async(command, identity=AGENT)
    text = (
        f"Claude Code's ~/.claude.json was larger than {MAX_STATE >> 20} MB, or not a JSON object, before: it is "
        f"kept as ~/.claude.json{BEFORE}, and a new one is used"
    )
    boot.emit(Noted("warning", text))


def continued(theirs: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """Returns Claude Code's state of a suspended sandbox (`theirs`) with boot's own keys, which count."""
    projects = stored if isinstance(stored := theirs.get("projects"), dict) else {}
    own = {
        folder: {**(known if isinstance(known := projects.get(folder), dict) else {}), **project}
        for folder, project in state["projects"].items()
    }
    return {**theirs, **state, "projects": {**projects, **own}}


def managed(template: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that neither the agent nor a settings file of the repository can change.

    A wrong type anywhere in the agent's own settings makes Claude Code ignore all of them; in the managed settings it ignores
    that field only. Claude Code runs a hook once if it is in both. `template` is the operator's, so its status line counts.
    """
    settings = {key: template[key] for key in MANAGED if key in template}
    permissions = template.get("permissions")
    mode = permissions.get("defaultMode") if isinstance(permissions, dict) else None
    settings["permissions"] = {"disableAutoMode": "disable", **({"defaultMode": mode} if isinstance(mode, str) else {})}
    settings["disableAutoMode"] = "disable"
    return settings


async def _more(boot: Boot) -> None:
    """Copies the image's skills and CLAUDE.md as the agent, and adds the description of the sandbox."""
    beside, home = boot.paths.claude_settings.parent, boot.paths.home / ".claude"
    for name in ("skills", "CLAUDE.md"):
        if (beside / name).exists():
            await system.run_async(
                ["cp", "-R", "-L", "--remove-destination", "--", str(beside / name), str(home)], identity=AGENT
            )
    briefing.write(boot.settings, boot.paths, boot.policy.listed)
