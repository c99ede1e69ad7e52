"""Starts the session while the init lock is held. After this step, the operator's terminal is attached to it."""

from __future__ import annotations

from backend.context import Boot
from backend.contract.events import AgentSettings, SessionChanged, SessionState
from backend.session import repository_settings, session


async def run(boot: Boot) -> str:
    session.prepare(boot.paths, boot.settings.popup_key)
    detail = "claude above, a shell below"
    if boot.settings.prompt:
        detail += f", prompt {session.keep_prompt(boot.paths, boot.settings.prompt)[:16]}"
    folder = session.folder(boot.paths)
    if problems := repository_settings.prepare(boot.paths, boot.settings.claude_override):
        boot.emit(AgentSettings(problems))
    boot.session = await session.start(boot.paths, boot.agent_environment, folder)
    boot.awaits_turn = bool(boot.settings.prompt)
    boot.emit(SessionChanged(SessionState.UNKNOWN, session.NAME))
    return detail
