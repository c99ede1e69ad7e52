"""Boot steps, one a line, and what the selected one says."""

from __future__ import annotations

from textual.content import Content

from codetainer_tui.dashboard.draw.ink import Ink, cut, fit, line, right
from codetainer_tui.view import StepLine, Tone

DURATION = 7
TITLE = 24
NARROW = 60


def step(found: StepLine, width: int, ink: Ink, *, selected: bool) -> Content:
    title_width = min(TITLE, max(12, width // 3))
    # Where there is no room for a detail, the word says what the glyph does.
    detail = found.detail or ("" if found.word == "done" else found.word)
    if found.word in ("failed", "warning", "running", "not needed", "not run") and found.detail and width >= NARROW:
        detail = f"{found.word}: {found.detail}"
    middle = width - 2 - 3 - title_width - 1 - DURATION - 1
    tone = ink.style(found.tone)
    return line(
        ("> " if selected else "  ", ink.cursor), (f"{found.glyph}  ", tone),
        (fit(found.title, title_width), ink.cursor if selected else tone if found.tone is Tone.BAD else ""), (" ", ""),
        (fit(detail, middle), tone or ink.style(Tone.DIM)), (right(found.duration, DURATION), ink.style(Tone.DIM)),
    )  # fmt: skip


def output(found: StepLine, width: int, height: int, ink: Ink) -> list[Content]:
    """The last lines of what a step has said, under its name."""
    if height < 2 or len(found.full) < 2:
        return []
    said = found.full[1:][-(height - 1) :]
    return [
        line((cut(f" {found.full[0]}", width), "bold")),
        *(line((cut(f"   {text}", width), ink.style(Tone.DIM))) for text in said),
    ]
