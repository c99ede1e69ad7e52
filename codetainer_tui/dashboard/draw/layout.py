"""Divides the lines of a screen among its parts, by urgency and by size."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from backend.contract.immutable import dataclass
from codetainer_tui.dashboard.draw import overview, refused, steps, traffic
from codetainer_tui.dashboard.draw.ink import Ink, line
from codetainer_tui.view import RefusedLine, StepLine, Tone, View

LOW = 14  # lines; lower screens have no rules
SMALLEST = (30, 6)  # columns, lines; smaller screens show one line
OUTPUT_LINES = 8
REFUSED_LOW = 4  # lines that serious refusals leave to others on a low screen
REFUSED_LINES = 7  # lines that traffic leaves to refusals
TRAFFIC_LINES = 7


@dataclass(frozen=True, slots=True)
class Cursor:
    """The operator's position: the list, and the selected row of each list by its key."""

    on_steps: bool = True
    step: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """The lines between the rules. `targets` has a list and a row key for each line that can be clicked."""

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
    """The part between the rules. `acknowledge`: the hint beside the serious refusals."""
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
        most = max(1, left - (4 if view.refused or not low else 1) if view.needs_retry else left // 2)
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
    """The range of rows to show so that row `at` is visible, with context."""
    if count <= height:
        return range(count)
    begin = min(max(0, at - height // 2), count - height)
    return range(begin, begin + height)


def _steps(made: _Body, view: View, cursor: Cursor, height: int) -> None:
    all_steps = view.steps
    at = selected_step(all_steps, cursor)
    for index in window(len(all_steps), at, max(1, height)):
        mine = cursor.on_steps and index == at
        made.add([steps.step(all_steps[index], made.width, made.ink, selected=mine)], ("steps", all_steps[index].name))
    spare = min(OUTPUT_LINES, height - len(all_steps) - 8)
    if all_steps and spare >= 3:
        output = steps.output(all_steps[at], made.width, spare, made.ink)
        if output:
            made.gap(False)
            made.add(output)


def selected_step(all_steps: Sequence[StepLine], cursor: Cursor) -> int:
    """The index of the selected step. Without a selection: the failed or running one, one with a warning, or the last."""
    for index, step in enumerate(all_steps):
        if step.name == cursor.step:
            return index
    for word in ("failed", "running", "warning"):
        for index, step in enumerate(all_steps):
            if step.word == word:
                return index
    return max(0, len(all_steps) - 1)


def _alarms(
    made: _Body, view: View, rows: Sequence[RefusedLine], cursor: Cursor, height: int, acknowledge: str, *, programs: bool
) -> None:
    """Serious refusals come first and stay visible wherever the cursor is."""
    shown = _window(rows, cursor, height - 1)
    position = refused.position(shown, len(rows))
    made.add([refused.alarm_header(view.alarm_summary, made.width, made.ink, acknowledge=acknowledge, position=position)])
    _rows(made, rows, cursor, shown, programs=programs)


def _window(rows: Sequence[RefusedLine], cursor: Cursor, height: int) -> range:
    """The part of a list around the cursor, or its beginning."""
    at = next((index for index, row in enumerate(rows) if row.key == cursor.refusal), 0)
    return window(len(rows), at, max(0, height))


def _rows(made: _Body, rows: Sequence[RefusedLine], cursor: Cursor, shown: range, *, programs: bool) -> None:
    for index in shown:
        mine = not cursor.on_steps and rows[index].key == cursor.refusal
        made.add(
            [refused.row(rows[index], made.width, made.ink, selected=mine, programs=programs)], ("refused", rows[index].key)
        )


def _refused(
    made: _Body, view: View, rows: Sequence[RefusedLine], cursor: Cursor, height: int, wanted: str, *, low: bool, programs: bool
) -> None:
    if height <= 0:
        return
    titles = bool(rows) and not low and height > 4
    shown = _window(rows, cursor, height - 1 - titles)
    position = refused.position(shown, len(rows))
    made.add([refused.header(view.refused_summary, view.spark, made.width, made.ink, position=position, wanted=wanted)])
    if titles:
        made.add([refused.titles(made.width, made.ink, programs=programs)])
    _rows(made, rows, cursor, shown, programs=programs)
    height -= 1
    if wanted and not view.refused and height > 0:
        made.add([line(("   no matches; esc clears the filter", made.ink.style(Tone.DIM)))])
