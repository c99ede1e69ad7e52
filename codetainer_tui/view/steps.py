"""Boot steps as lines: glyph, word, result and duration."""

from __future__ import annotations

from backend.contract.events import Outcome
from backend.contract.state import State, StepView
from codetainer_tui.view.parts import StepLine, Tone
from codetainer_tui.words import harmless, took

ENDED = {
    Outcome.DONE: ("✓", "done", Tone.PLAIN),
    Outcome.WARNED: ("!", "warning", Tone.WARN),
    Outcome.FAILED: ("✗", "failed", Tone.BAD),
    Outcome.SKIPPED: ("–", "not needed", Tone.DIM),
    Outcome.CANCELLED: ("·", "not run", Tone.DIM),
}


def steps(state: State, now: float) -> tuple[StepLine, ...]:
    """The steps in the order of the plan: each step after those that it needs."""
    return tuple(_line(step, state, now) for step in state.steps.values())


def _line(step: StepView, state: State, now: float) -> StepLine:
    if step.outcome is not None:
        glyph, word, tone = ENDED[step.outcome]
        ran = step.outcome in (Outcome.DONE, Outcome.WARNED, Outcome.FAILED)
        duration = took(step.seconds) if ran else ""
        detail = step.detail
    elif step.started_at is not None:
        glyph, word, tone = "…", "running", Tone.PLAIN
        duration = took(max(0.0, now - step.started_at))
        detail = step.lines[-1] if step.lines else ""
    else:
        glyph, word, tone = "·", "waiting", Tone.DIM
        duration = ""
        needs = [need for need in step.needs if need in state.steps and state.steps[need].outcome is None]
        detail = f"waiting for {state.steps[needs[-1]].title}" if needs else ""
    full = [f"{step.title}: {word}" + (f" in {duration}" if duration and step.outcome is not None else "")]
    full += [text for text in (step.detail, step.remedy) if text]
    full += step.lines
    return StepLine(
        step.name, harmless(step.title, 80), glyph, word, harmless(detail, 200), duration, tone,
        tuple(harmless(text, 2000) for text in full),
    )  # fmt: skip
