"""Starts the session while the init lock is held. After this step, the operator's terminal is attached to it."""

from __future__ import annotations

from backend.context import Boot
from backend.contract.events import AgentSettings, SessionChanged, SessionState
from backend.session import activity, repository_settings, session

# The agent was interrupted in a turn, and would wait for somebody to type.
RESUMED = (
    "The sandbox was suspended and has been resumed. Your files and your git repository are as they were, but programs that "
    "you had started have ended. Continue with what you were doing."
)


async def run(boot: Boot) -> str:
    session.prepare(boot.paths, boot.settings.popup_key)
    detail = "claude above, a shell below"
    folder = session.folder(boot.paths)
    continues = boot.resumed is not None and activity.has_begun(boot.paths)
    prompt = boot.settings.prompt
    if boot.resumed is not None and continues:
        detail += ", continues the conversation"
        prompt = RESUMED if boot.resumed.state.working else ""
    elif prompt:
        detail += f", prompt {session.keep_prompt(boot.paths, prompt)[:16]}"
    if problems := repository_settings.prepare(boot.paths, boot.settings.claude_override):
        boot.emit(AgentSettings(problems))
    if continues and prompt:
        session.keep_prompt(boot.paths, prompt)
    boot.session = await session.start(boot.paths, boot.agent_environment, folder, continues=continues)
    boot.awaits_turn = bool(prompt) and not continues
    boot.emit(SessionChanged(SessionState.UNKNOWN, session.NAME))
    return detail
