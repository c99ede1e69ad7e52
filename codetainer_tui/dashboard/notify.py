"""Notifications for operators who look elsewhere: on a waiting agent, a new or serious refusal, a closed sandbox. Pure."""

from __future__ import annotations

from enum import StrEnum

from backend.contract.events import BudgetLevel, Refused
from backend.contract.state import State
from codetainer_tui.refusal import what
from codetainer_tui.view.headline import agent_needs_you, agent_words, headline
from codetainer_tui.view.parts import Condition
from codetainer_tui.view.refusals import is_muted
from codetainer_tui.words import harmless

MAX = 120


class Notify(StrEnum):
    ALWAYS = "always"
    BLUR = "blur"  # only while the terminal is not focused
    NEVER = "never"


def news(before: State, now: State) -> str:
    """The notification for the change between two states, "" if none is due."""
    closed = headline(now)
    if closed.condition is Condition.CLOSED and headline(before).condition is not Condition.CLOSED:
        return harmless(f"{closed.word} {closed.text}", MAX)
    if _budget(now) not in (BudgetLevel.FINE, _budget(before)):
        limit = now.budget.limit if now.budget else ""
        return harmless(f"the model's budget is {'nearly ' if _budget(now) is BudgetLevel.WARNED else ''}used up: {limit}", MAX)
    if agent_needs_you(now) and not _same_need(before, now):
        return harmless(agent_words(now).partition(" since ")[0], MAX)
    old = {key for key, _ in before.refusals.policy()}
    first = [view for key, view in now.refusals.policy() if key not in old and not is_muted(now, view, now.updated_at)]
    first.sort(key=lambda view: view.first_at)
    if not first:
        return ""
    more = max(len(first), now.refusals.kinds - before.refusals.kinds) - 1  # in a flood, some are dropped already
    return _refused(first[-1].latest, f" and {more} more" if more > 0 else "")


def alarm(before: State, now: State) -> str:
    """The notification for serious refusals between two states, "" if there were none. It names the first one."""
    old, new = before.refusals, now.refusals
    views = [
        view
        for mine, theirs in ((new.serious, old.serious), (new.more, old.more))
        for key, view in mine.items()
        if view.alarm and view.count > (theirs[key].count if key in theirs else 0)
    ]
    crowds = [
        (key, crowd) for key, crowd in new.crowds.items() if crowd.alarm and not (key in old.crowds and old.crowds[key].alarm)
    ]
    more = len(views) + len(crowds) - 1
    rest = f" and {more} more" if more > 0 else ""
    if views:
        return _refused(views[0].latest, rest, "serious: ")
    if crowds:
        crowd = crowds[0][1]
        return harmless(f"serious: {crowd.suspicion}: {crowd.below or what(crowd.latest)}{rest}", MAX)
    return ""


def _budget(state: State) -> BudgetLevel:
    return state.budget.level if state.budget else BudgetLevel.FINE


def _refused(refused: Refused, rest: str, before: str = "") -> str:
    return harmless(f"{before}refused {what(refused)}: {refused.reason}{rest}", MAX)


def _same_need(before: State, now: State) -> bool:
    return agent_needs_you(before) and before.session_state is now.session_state


def sequence(text: str) -> str:
    """The escape sequence of a notification: OSC 9, and the bell for terminals without it. `text` has no control characters."""
    return f"\x1b]9;codetainer: {text}\x1b\\\x07"
