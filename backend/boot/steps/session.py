"""Starts the session while the init lock is held. After this step, the operator's terminal is attached to it."""

from __future__ import annotations

import json

from backend import system
from backend.context import Boot
from backend.contract.events import AgentSettings, SessionChanged, SessionState
from backend.session import repository_settings, session
from backend.settings.values import Override


async def run(boot: Boot) -> str:
    session.prepare(boot.paths, boot.settings.popup_key)
    detail = "claude above, a shell below"
    if boot.settings.prompt:
        detail += f", prompt {session.keep_prompt(boot.paths, boot.settings.prompt)[:16]}"
    folder = session.folder(boot.paths)
    if folder == boot.paths.repository:
        _settings(boot)
    boot.session = await session.start(boot.paths, boot.agent_environment, folder)
    boot.awaits_turn = bool(boot.settings.prompt)
    boot.emit(SessionChanged(SessionState.UNKNOWN, session.NAME))
    return detail


def _settings(boot: Boot) -> None:
    """Reports the repository's settings that stand in the way of unattended work, or keeps Claude from using them."""
    settings = repository_settings.read(boot.paths)
    found = repository_settings.hindrances(settings)
    if not found:
        return
    if boot.settings.claude_override is Override.ON:
        system.write(boot.paths.claude_repository, json.dumps(repository_settings.without(settings), indent=2) + "\n")
        problems = [f"{one.file}: {one.setting} is not used, because CODETAINER_CLAUDE_OVERRIDE is on" for one in found]
    else:
        problems = [f"{one.file}: {one.setting} {one.consequence}" for one in found]
        problems.append("Set CODETAINER_CLAUDE_OVERRIDE=on to start Claude without these settings.")
    boot.emit(AgentSettings(tuple(problems)))
