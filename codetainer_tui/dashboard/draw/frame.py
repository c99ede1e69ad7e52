"""The first line, the rules and the keys."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content

from codetainer_tui.dashboard.draw.ink import Ink, Part, fit, line, wrap
from codetainer_tui.view import Tone, View

Key = tuple[str, str]  # the key as it is shown, and what it does
NOTICE_LINES = 3
ALARM = "✗"  # beside what is serious, for whoever sees no colour


def headline(view: View, width: int, ink: Ink) -> Content:
    """What matters first; age, our own name, branch and repository give way to it on a narrow screen, in this order."""
    head = view.headline
    alarm = f"{ALARM} {head.alarm}  " if head.alarm else ""
    core = cell_len(head.word) + 2 + cell_len(alarm) + cell_len(head.text)
    names = (f" codetainer  {view.name}  " if view.name else " codetainer  ", f" {view.name}  " if view.name else " ", " ")
    places = (f"{view.place}   {view.up}" if view.place and view.up else "", view.place, view.place.partition("  ")[0], view.up)
    left, right = " ", ""
    for candidate in (*(place for place in places if place), ""):
        room = width - core - (cell_len(candidate) + 4 if candidate else 1)
        fitting = [name for name in names if cell_len(name) <= room]
        if fitting:
            left, right = fitting[0], candidate
            break
    room = width - cell_len(left) - cell_len(head.word) - 2 - cell_len(alarm) - (cell_len(right) + 1 if right else 0)
    text = head.text
    for shorter in (text.removeprefix("the agent "), text.removeprefix("the agent ").partition(" since ")[0]):
        if cell_len(text) > room:
            text = shorter
    return line(
        (left, ink.style(Tone.DIM)), (head.word, ink.style(head.tone) or "bold"), ("  ", ""),
        (alarm.rstrip(), ink.style(Tone.BAD)), ("  " if alarm else "", ""),
        (fit(text, room), ink.style(head.text_tone)), (right, ink.style(Tone.DIM)),
    )  # fmt: skip


def rule(width: int, ink: Ink) -> Content:
    return line(("─" * width, ink.style(Tone.DIM)))


def notice(text: str, tone: Tone, width: int, ink: Ink) -> list[Content]:
    """The lower rule, which gives way to what has to be said now; over some lines where one is too narrow for it."""
    if not text.strip():
        return [rule(width, ink)]
    said, *more = wrap(text, max(1, width - 6), NOTICE_LINES)
    dim, style = ink.style(Tone.DIM), ink.style(tone) or "bold"
    first = line(("── ", dim), (said, style), (" " + "─" * max(0, width - cell_len(said) - 4), dim))
    return [first, *(line(("   ", ""), (part, style)) for part in more)]


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
