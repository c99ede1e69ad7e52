"""Boot steps, one per line, and the output of the selected one."""

from __future__ import annotations

from textual.content import Content

from codetainer_tui.dashboard.draw.ink import Ink, cut, fit, line, right
from codetainer_tui.view import StepLine, Tone

DURATION = 7
TITLE = 24
NARROW = 60


def step(shown: StepLine, width: int, ink: Ink, *, selected: bool) -> Content:
    title_width = min(TITLE, max(12, width // 3))
    detail = shown.detail or ("" if shown.word == "done" else shown.word)
    if shown.word in ("failed", "warning", "running", "not needed", "not run") and shown.detail and width >= NARROW:
        detail = f"{shown.word}: {shown.detail}"
    middle = width - 2 - 3 - title_width - 1 - DURATION - 1
    tone = ink.style(shown.tone)
    return line(
        ("> " if selected else "  ", ink.cursor), (f"{shown.glyph}  ", tone),
        (fit(shown.title, title_width), ink.cursor if selected else tone if shown.tone is Tone.BAD else ""), (" ", ""),
        (fit(detail, middle), tone or ink.style(Tone.DIM)), (right(shown.duration, DURATION), ink.style(Tone.DIM)),
    )  # fmt: skip


def output(shown: StepLine, width: int, height: int, ink: Ink) -> list[Content]:
    """The last lines of a step's output, below its name."""
    if height < 2 or len(shown.full) < 2:
        return []
    lines = shown.full[1:][-(height - 1) :]
    return [
        line((cut(f" {shown.full[0]}", width), "bold")),
        *(line((cut(f"   {text}", width), ink.style(Tone.DIM))) for text in lines),
    ]
