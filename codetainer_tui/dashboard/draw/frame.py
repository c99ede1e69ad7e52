"""The first line, the rules and the keys."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content

from codetainer_tui.dashboard.draw.ink import Ink, Part, cut, fit, line
from codetainer_tui.view import Tone, View

Key = tuple[str, str]  # the key as it is shown, and what it does


def headline(view: View, width: int, ink: Ink) -> Content:
    """What matters first; name, place and age give way to it on a narrow screen."""
    head = view.headline
    core = cell_len(head.word) + 2 + cell_len(head.text)
    left, right = " codetainer  " + (f"{view.name}  " if view.name else ""), ""
    for candidate in ("   ".join(part for part in (view.place, view.up) if part), view.up):
        if candidate and cell_len(left) + core + cell_len(candidate) + 4 <= width:
            right = candidate
            break
    if cell_len(left) + core + cell_len(right) + 1 > width:
        left = " "
    room = width - cell_len(left) - cell_len(head.word) - 2 - (cell_len(right) + 1 if right else 0)
    return line(
        (left, ink.style(Tone.DIM)), (head.word, ink.style(head.tone) or "bold"), ("  ", ""),
        (fit(head.text, room), ink.style(head.text_tone)), (right, ink.style(Tone.DIM)),
    )  # fmt: skip


def rule(width: int, ink: Ink) -> Content:
    return line(("─" * width, ink.style(Tone.DIM)))


def notice(text: str, tone: Tone, width: int, ink: Ink) -> Content:
    """The lower rule, which gives way to what has to be said now."""
    if not text:
        return rule(width, ink)
    said = cut(text, max(0, width - 6))
    dim = ink.style(Tone.DIM)
    return line(("── ", dim), (said, ink.style(tone) or "bold"), (" " + "─" * max(0, width - cell_len(said) - 4), dim))


def keys(found: list[Key], always: list[Key], width: int, ink: Ink) -> Content:
    """As many keys as there is room for; those of `always` stand at the end and stay longest."""
    tail = list(always)
    while tail and _width(tail) > width:
        tail.pop(0)
    shown: list[Key] = []
    for key in found:
        if _width([*shown, key, *tail]) > width:
            break
        shown.append(key)
    parts: list[Part] = [(" ", "")]
    for index, (name, says) in enumerate([*shown, *tail]):
        parts += [("   " if index else "", ""), (name, "bold"), (f" {says}", ink.style(Tone.DIM))]
    return line(*parts)


def _width(found: list[Key]) -> int:
    return 1 + sum(cell_len(key) + 1 + cell_len(says) for key, says in found) + 3 * (len(found) - 1)
