"""The headline, the rules and the footer."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content

from codetainer_tui.dashboard.draw.ink import Ink, Part, cut, fit, line, wrap
from codetainer_tui.view import Tone, View
from codetainer_tui.view.headline import without_subject

Key = tuple[str, str]  # the key as shown, and its label
NOTICE_LINES = 3
SHORT_NAME = 12  # cells of the sandbox's name on a narrow screen
ALARM = "✗"  # marks serious refusals without relying on colour


def headline(view: View, width: int, ink: Ink, mode: str = "") -> Content:
    """The first line. As it gets narrower, it drops the age, our name, the branch and the repository, in this order.

    The name of a sandbox that has one comes first and is shortened at most.

    `mode`: what is special about this dashboard; it stays.
    """
    head = view.headline
    alarm = f"{ALARM} {head.alarm}  " if head.alarm else ""
    core = cell_len(head.word) + 2 + cell_len(alarm) + cell_len(head.text)
    session = f"{view.name}  " if view.name else ""
    own = (f" codetainer  {session}", f" {session}", " ")
    if view.sandbox:  # it tells this screen from those of other sandboxes, so it stays
        own = (f" {view.sandbox}  {session}", f" {view.sandbox}  ", f" {cut(view.sandbox, SHORT_NAME)}  ")
    names = [f"{name}{mode}  " if mode else name for name in own]
    places = (f"{view.place}   {view.up}" if view.place and view.up else "", view.place, view.place.partition("  ")[0], view.up)
    left, right = names[-1], ""
    for candidate in (*(place for place in places if place), ""):
        room = width - core - (cell_len(candidate) + 4 if candidate else 1)
        fitting = [name for name in names if cell_len(name) <= room]
        if fitting:
            left, right = fitting[0], candidate
            break
    if cell_len(left) + cell_len(head.word) + 2 + cell_len(alarm) > width:
        left = f" {mode}  " if mode else " "
    room = width - cell_len(left) - cell_len(head.word) - 2 - cell_len(alarm) - (cell_len(right) + 1 if right else 0)
    text = head.text
    for shorter in (without_subject(text), without_subject(text).partition(" since ")[0]):
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
    """The lower rule, or a notice in its place, over up to NOTICE_LINES lines."""
    if not text.strip():
        return [rule(width, ink)]
    head, *more = wrap(text, max(1, width - 6), NOTICE_LINES)
    dim, style = ink.style(Tone.DIM), ink.style(tone) or "bold"
    first = line(("── ", dim), (head, style), (" " + "─" * max(0, width - cell_len(head) - 4), dim))
    return [first, *(line(("   ", ""), (part, style)) for part in more)]


def keys(optional: list[Key], always: list[Key], width: int, ink: Ink) -> Content:
    """The footer: as many keys as fit. The keys of `always` are at the end, and the last to go."""
    tail = list(always)
    while tail and _width(tail) > width:
        tail.pop(0)
    shown: list[Key] = []
    for key in optional:
        if _width([*shown, key, *tail]) > width:
            break
        shown.append(key)
    parts: list[Part] = [(" ", "")]
    for index, (name, label) in enumerate([*shown, *tail]):
        parts += [("   " if index else "", ""), (name, "bold"), (f" {label}", ink.style(Tone.DIM))]
    return line(*parts)


def _width(keys: list[Key]) -> int:
    return 1 + sum(cell_len(key) + 1 + cell_len(label) for key, label in keys) + 3 * (len(keys) - 1)
