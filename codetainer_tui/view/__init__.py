"""Turns a State into a View: everything a screen shows, as harmless text. Pure; all front ends show Views."""

from __future__ import annotations

import time
from collections.abc import Mapping

from backend.contract.events import BootState, BudgetLevel, Outcome, SessionState
from backend.contract.state import State
from codetainer_tui.view.blocks import blocks
from codetainer_tui.view.everything import everything
from codetainer_tui.view.headline import headline, without_subject
from codetainer_tui.view.machinery import rows
from codetainer_tui.view.parts import (
    Block,
    Condition,
    FailedProtections,
    Headline,
    RefusedLine,
    Row,
    StepLine,
    Tone,
    TrafficLine,
    View,
    Work,
)
from codetainer_tui.view.refusals import alarm_summary, refused, spark, summary
from codetainer_tui.view.steps import steps
from codetainer_tui.view.traffic import traffic
from codetainer_tui.view.walls import walls
from codetainer_tui.view.work import numbers
from codetainer_tui.words import harmless, lasting, many

__all__ = ["Block", "Condition", "Headline", "RefusedLine", "Row", "StepLine", "Tone", "TrafficLine", "View", "Work", "view"]


def view(
    state: State,
    now: float,
    *,
    seen_at: float = 0.0,
    pending: Mapping[str, str] | None = None,
    wanted: str = "",
    supervised: bool = True,
) -> View:
    """The View of a state at the time `now` (seconds since the epoch).

    `refusals.refused` explains `seen_at`, `pending` and `wanted`; `headline.headline` explains `supervised`.
    """
    head = headline(state, now, supervised=supervised)
    lines = refused(state, now, seen_at=seen_at, pending=pending or {}, wanted=wanted)
    session = state.session
    ended = state.session_state is SessionState.ENDED
    branch = harmless(session.branch, 60) if session else ""
    name = harmless(session.name, 40) if session else ""
    own = harmless(state.name, 64)
    place = "  ".join(part for part in (harmless(state.repository, 80), branch) if part)
    problems, machinery = blocks(state, now, supervised=supervised), rows(state, now)
    carried, up = traffic(state, now), _up(state, now)
    total = many(state.refused_total, "refused", "refused") if state.refused_total else "nothing refused"
    return View(
        headline=head,
        sandbox=own,
        name="" if name == "claude" else name,
        place=place,
        up=up,
        title=f"{own}{': ' if own else ''}{head.word} {head.details} - codetainer",
        steps=steps(state, now),
        blocks=problems,
        refused=lines,
        alarms=state.refusals.alarms,
        alarms_exact=state.refusals.alarms_exact,
        alarm_summary=alarm_summary(state),
        refused_summary=summary(state, now, lines, filtered=bool(wanted)),
        spark=spark(state, now),
        traffic=carried,
        rows=machinery,
        walls=walls(state),
        work=numbers(state),
        one_line="  ".join(part for part in (own, head.word, head.alarm, total, without_subject(head.text)) if part),
        zone=time.strftime("%Z", time.localtime(now)),
        frozen=state.frozen,
        booting=state.boot in (None, BootState.BOOTING),
        halted=state.boot is BootState.HALTED,
        protection_failed=_protection_failed(state),
        session=state.lock_released and state.session_created and not state.stopping,
        ended=ended,
        failed=tuple(harmless(step.title, 60) for step in state.steps.values() if step.outcome is Outcome.WARNED),
        full=everything(state, now, head, problems, machinery, carried, place=place, up=up),
        budget_low=state.budget is not None and state.budget.level is not BudgetLevel.FINE,
        updated_at=state.updated_at,
        listed=state.listed,
    )


def _protection_failed(state: State) -> FailedProtections | None:
    event = state.protection_failed
    if event is None:
        return None
    probes = tuple(harmless(probe, 40) for probe in event.failed)
    return FailedProtections(state.protection_failed_at, probes, harmless(event.reason, 1000), harmless(event.remedy, 400))


def _up(state: State, now: float) -> str:
    if not state.started_at or state.stopping or state.needs_retry:
        return ""
    spent = now - state.started_at
    if state.boot is BootState.BOOTING:
        return f"{max(0.0, spent):.1f} s"
    return f"up {lasting(spent)}"
