"""What finds an operator who is not looking: the agent begins to wait, or something is refused for the first time. Pure."""

from __future__ import annotations

from enum import StrEnum

from backend.contract.events import SessionState
from backend.contract.state import State
from codetainer_tui.refusal import what, why
from codetainer_tui.view.headline import agent_needs_you, agent_words, headline
from codetainer_tui.view.parts import Condition
from codetainer_tui.view.refusals import is_muted
from codetainer_tui.words import harmless

MOST = 120


class Notify(StrEnum):
    ALWAYS = "always"
    BLUR = "blur"  # only while the terminal has not the focus
    NEVER = "never"


def news(before: State, now: State) -> str:
    """What has happened between two states that is worth a notification; "" where nothing has."""
    closed = headline(now)
    if closed.condition is Condition.CLOSED and headline(before).condition is not Condition.CLOSED:
        return harmless(f"closed {closed.text}", MOST)
    if agent_needs_you(now) and not _same_need(before, now):
        return harmless(agent_words(now).partition(" since ")[0], MOST)
    first = [
        view for key, view in now.refusals.items() if key not in before.refusals and not is_muted(now, view, now.updated_at)
    ]
    if not first:
        return ""
    latest = first[-1].latest
    more = f" and {len(first) - 1} more" if len(first) > 1 else ""
    return harmless(f"refused {what(latest)}: {why(latest, now.repository)}{more}", MOST)


def _same_need(before: State, now: State) -> bool:
    def state(of: State) -> SessionState | None:
        return of.session.state if of.session else None

    return agent_needs_you(before) and state(before) is state(now)


def sequence(text: str) -> str:
    """What makes a terminal notify: OSC 9, and the bell for those that do not know it. `text` holds no control characters."""
    return f"\x1b]9;codetainer: {text}\x1b\\\x07"
