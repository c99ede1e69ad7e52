"""Who gets how many lines of a screen: by what is the matter, and by size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from codetainer_tui.dashboard.draw import overview, refused, steps, traffic
from codetainer_tui.dashboard.draw.ink import Ink, line
from codetainer_tui.view import RefusedLine, StepLine, Tone, View

LOW = 14  # lines; below that there is no room for rules
SMALLEST = (30, 6)  # below that, one line
OUTPUT_LINES = 8
REFUSED_LOW = 4  # lines that what is serious leaves to others on a low screen
REFUSED_LINES = 7  # that traffic leaves to refusals
TRAFFIC_LINES = 7


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the operator is: in which list, on which row of each (by what it is), and how far down each is scrolled."""

    on_steps: bool = True
    step: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """The lines between the rules, and what can be clicked: for some of the lines, a list and the row's key."""

    lines: tuple[Content, ...]
    targets: tuple[tuple[str, str] | None, ...]


def body(
    view: View,
    rows: Sequence[RefusedLine],
    cursor: Cursor,
    width: int,
    height: int,
    ink: Ink,
    *,
    show_steps: bool,
    wanted: str,
    acknowledge: str,
) -> Body:
    """`acknowledge`: the key that acknowledges what is serious."""
    made = _Body(width, ink)
    low = height < LOW - 2
    blocks = view.blocks if not view.booting else ()
    alarms, programs = [row for row in rows if row.alarm], any(row.by for row in rows)
    if view.alarms:
        _alarms(
            made, view, alarms, cursor, max(2, height - REFUSED_LOW if low else height // 2), acknowledge, programs=programs
        )
        made.gap(low)
    machinery = [overview.row(row, width, ink) for row in view.rows]
    if blocks:
        left = height - len(made.lines)
        most = max(1, left - (4 if view.refused or not low else 1) if view.halted else left // 2)
        made.add(overview.blocks(blocks, width, most, ink))
        made.gap(low)
    if show_steps:
        left = height - len(made.lines)
        _steps(made, view, cursor, left if low else left - 3)
        made.gap(low)
    left = height - len(made.lines)
    keep_rows = 0 if low else min(len(machinery), max(0, left - 5))
    if show_steps and view.booting:
        keep_rows = min(len(machinery), max(0, left - 3)) if not low else 0
    spare = left - keep_rows - (1 if keep_rows else 0)
    carried = (
        [] if low or show_steps else traffic.table(view.traffic, width, min(TRAFFIC_LINES, spare - REFUSED_LINES - 1), ink)
    )
    below = len(carried) + 1 if carried else 0
    _refused(made, view, rows[len(alarms) :], cursor, spare - below, wanted, low=low, programs=programs)
    if carried:
        made.gap(low)
        made.add(carried)
    if keep_rows:
        made.fill(height - keep_rows)
        made.add(machinery[:keep_rows])
    made.fill(height)
    return Body(tuple(made.lines[:height]), tuple(made.targets[:height]))


class _Body:
    def __init__(self, width: int, ink: Ink) -> None:
        self.width, self.ink = width, ink
        self.lines: list[Content] = []
        self.targets: list[tuple[str, str] | None] = []

    def add(self, lines: Sequence[Content], target: tuple[str, str] | None = None) -> None:
        self.lines += lines
        self.targets += [target] * len(lines)

    def gap(self, low: bool) -> None:
        if not low:
            self.add([line((" ", ""))])

    def fill(self, height: int) -> None:
        self.add([line((" ", ""))] * (height - len(self.lines)))


def window(count: int, at: int, height: int) -> range:
    """Which rows of a list are shown so that row `at` is, with some context."""
    if count <= height:
        return range(count)
    begin = min(max(0, at - height // 2), count - height)
    return range(begin, begin + height)


def _steps(made: _Body, view: View, cursor: Cursor, height: int) -> None:
    found = view.steps
    at = selected_step(found, cursor)
    for index in window(len(found), at, max(1, height)):
        mine = cursor.on_steps and index == at
        made.add([steps.step(found[index], made.width, made.ink, selected=mine)], ("steps", found[index].name))
    spare = min(OUTPUT_LINES, height - len(found) - 8)
    if found and spare >= 3:
        said = steps.output(found[at], made.width, spare, made.ink)
        if said:
            made.gap(False)
            made.add(said)


def selected_step(found: Sequence[StepLine], cursor: Cursor) -> int:
    """The step under the cursor; where the operator has not chosen, the one that matters: failed, running, else the last."""
    for index, step in enumerate(found):
        if step.name == cursor.step:
            return index
    for word in ("failed", "running", "warning"):
        for index, step in enumerate(found):
            if step.word == word:
                return index
    return max(0, len(found) - 1)


def _alarms(
    made: _Body, view: View, rows: Sequence[RefusedLine], cursor: Cursor, height: int, acknowledge: str, *, programs: bool
) -> None:
    """What is serious comes first and stays there, wherever the cursor is."""
    made.add([refused.alarm_header(view.alarm_summary, made.width, made.ink, acknowledge=acknowledge)])
    _rows(made, rows, cursor, height - 1, programs=programs)


def _rows(made: _Body, rows: Sequence[RefusedLine], cursor: Cursor, height: int, *, programs: bool) -> None:
    """The part of a list that has the cursor in it, or its beginning."""
    at = next((index for index, row in enumerate(rows) if row.key == cursor.refusal), 0)
    for index in window(len(rows), at, max(0, height)):
        mine = not cursor.on_steps and rows[index].key == cursor.refusal
        made.add(
            [refused.row(rows[index], made.width, made.ink, selected=mine, programs=programs)], ("refused", rows[index].key)
        )


def _refused(
    made: _Body, view: View, rows: Sequence[RefusedLine], cursor: Cursor, height: int, wanted: str, *, low: bool, programs: bool
) -> None:
    if height <= 0:
        return
    made.add([refused.header(view.refused_summary, view.spark, made.width, made.ink, wanted=wanted)])
    height -= 1
    if rows and not low and height > 3:
        made.add([refused.titles(made.width, made.ink, programs=programs)])
        height -= 1
    _rows(made, rows, cursor, height, programs=programs)
    if wanted and not view.refused and height > 0:
        made.add([line(("   nothing matches; esc shows all", made.ink.style(Tone.DIM)))])
