"""The main screen. It gets a View on every tick and redraws the lines that have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textual.app import ComposeResult
from textual.content import Content
from textual.events import Resize
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from codetainer_tui.dashboard.draw import frame
from codetainer_tui.dashboard.draw.ink import Ink, cut, line
from codetainer_tui.dashboard.draw.layout import LOW, SMALLEST, Body, Cursor, body, selected_step
from codetainer_tui.dashboard.keys import READ_ONLY, Keys
from codetainer_tui.dashboard.widgets.canvas import Canvas
from codetainer_tui.view import RefusedLine, Tone, View
from codetainer_tui.words import harmless

CHOOSING_SECONDS = 3.0  # the rows keep their order for this long after the cursor moves
ORDER_SECONDS = 1.0


class MainScreen(Screen[None]):
    class Wanted(Message):
        """The filter has changed."""

    AUTO_FOCUS = ""  # keys go to the dashboard until the filter opens

    def __init__(self, ink: Ink, keys: Keys) -> None:
        super().__init__()
        self.ink, self.keys = ink, keys
        self.cursor = Cursor()
        self.show_steps: bool | None = None  # None: only during boot
        self.just_booted = False  # the steps stay until the session opens, so the screen does not jump
        self.wanted = ""
        self._view: View | None = None
        self._rows: tuple[RefusedLine, ...] = ()
        self._targets: Body | None = None
        self._ordered_at = 0.0
        self._moved_at = 0.0
        self._notice = ""
        self._notice_tone = Tone.PLAIN

    def compose(self) -> ComposeResult:
        yield Canvas(id="all")
        find = Input(placeholder="filter", id="find", compact=True)
        find.display = False
        find.disabled = True  # otherwise it takes the focus, and with it all keys
        yield find

    # --- what is shown ---

    def show(self, view: View, moment: float) -> None:
        """Shows a new view. `moment`: seconds of any monotonic clock."""
        current = {row.key: row for row in view.refused}
        at = next((index for index, row in enumerate(self._rows) if row.key == self.cursor.refusal), 0)
        mine = [row.key for row in self._rows if row.key in current]
        settled = moment - self._ordered_at >= ORDER_SECONDS and moment - self._moved_at >= CHOOSING_SECONDS
        if settled or not mine or self._view is None:
            self._ordered_at = moment
            self._rows = view.refused
        else:  # the order is kept, except that serious refusals move to the top at once
            alarms = (row for row in view.refused if row.alarm)
            self._rows = (*alarms, *(current[key] for key in mine if not current[key].alarm))
        if self.cursor.refusal not in current and self._rows:
            self.cursor = replace(self.cursor, refusal=self._rows[min(at, len(self._rows) - 1)].key)
        self._view = view
        self.draw()

    def say(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        """Shows a notice in place of the lower rule; "" removes it."""
        text = harmless(text)
        if (text, tone) != (self._notice, self._notice_tone):
            self._notice, self._notice_tone = text, tone
            self.draw()

    @property
    def steps_shown(self) -> bool:
        if self.show_steps is not None:
            return self.show_steps
        return self._view is not None and (self._view.booting or self.just_booted)

    @property
    def on_steps(self) -> bool:
        steps = self._view.steps if self._view else ()
        return self.steps_shown and bool(steps) and (self.cursor.on_steps or not self._rows)

    @property
    def row(self) -> RefusedLine | None:
        """The refusal under the cursor."""
        return next((row for row in self._rows if row.key == self.cursor.refusal), self._rows[0] if self._rows else None)

    def draw(self) -> None:
        view = self._view
        width, height = self.size
        # Ticks begin before the widgets exist, and continue after they are removed at the end.
        if view is None or not width or not (self.query("#all") and self.query("#find")):
            return
        if self.query_one(Input).display:
            height -= 1
        canvas = self.query_one(Canvas)
        if width < SMALLEST[0] or height < SMALLEST[1]:
            self._targets = None
            canvas.show([line((cut(view.one_line, width), self.ink.style(view.headline.tone)))])
            return
        if self.keys.read_only:
            blocks = (replace(one, keys=tuple(filter(self.keys.helps, one.keys))) for one in view.blocks)
            view = replace(view, blocks=tuple(blocks))
        low = height < LOW
        cursor = replace(self.cursor, on_steps=self.on_steps)
        top = [frame.headline(view, width, self.ink, mode=READ_ONLY if self.keys.read_only else "")]
        bottom = [self._keys(view, width)]
        if not low or self._notice:
            bottom[:0] = frame.notice(self._notice, self._notice_tone, width, self.ink)
        if not low:
            top.append(frame.rule(width, self.ink))
        made = body(
            view, self._rows, cursor, width, height - len(top) - len(bottom), self.ink,
            show_steps=self.steps_shown, wanted=self.wanted,
            acknowledge="" if self.keys.read_only else f"{self.keys.shown('acknowledge')} acknowledges",
        )  # fmt: skip
        self._targets = replace(made, targets=(*[None] * len(top), *made.targets))
        canvas.show([*top, *made.lines, *bottom])

    def _keys(self, view: View, width: int) -> Content:
        return frame.keys(self.keys.footer(view, self.row, on_steps=self.on_steps), self.keys.leaving(view), width, self.ink)

    # --- the cursor ---

    def move(self, by: int, moment: float) -> None:
        self._moved_at = moment
        if self.on_steps and self._view is not None:
            self.cursor = replace(self.cursor, on_steps=True, step=self._step_names()[self._moved(len(self._view.steps), by)])
        elif self._rows:
            keys_ = [row.key for row in self._rows]
            at = keys_.index(self.cursor.refusal) if self.cursor.refusal in keys_ else 0
            self.cursor = replace(self.cursor, on_steps=False, refusal=keys_[min(max(0, at + by), len(keys_) - 1)])
        self.draw()

    def _moved(self, count: int, by: int) -> int:
        assert self._view is not None
        return min(max(0, selected_step(self._view.steps, self.cursor) + by), max(0, count - 1))

    def _step_names(self) -> Sequence[str]:
        assert self._view is not None
        return [step.name for step in self._view.steps] or [""]

    def other_list(self) -> None:
        self.cursor = replace(self.cursor, on_steps=not self.on_steps)
        self.draw()

    def details(self) -> tuple[str, tuple[str, ...]] | None:
        """The details of the selected row: a title and lines. None if no row is selected."""
        if self.on_steps and self._view is not None and self._view.steps:
            step = self._view.steps[selected_step(self._view.steps, self.cursor)]
            return step.title, step.full
        row = self.row
        return None if row is None else (row.what, row.full)

    def on_canvas_pressed(self, event: Canvas.Pressed) -> None:
        targets = self._targets.targets if self._targets else ()
        target = targets[event.line] if event.line < len(targets) else None
        if target is not None:
            kind, key = target
            self.cursor = replace(self.cursor, on_steps=kind == "steps", **{"step" if kind == "steps" else "refusal": key})
            self.draw()

    # --- the filter ---

    def find(self) -> None:
        field = self.query_one(Input)
        field.display = True
        field.disabled = False
        field.focus()
        self.draw()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._look_for(event.value.strip())

    def _look_for(self, wanted: str) -> None:
        if wanted != self.wanted:
            self.wanted, self._rows = wanted, ()  # the new rows have no previous order
            self.post_message(self.Wanted())

    def on_input_submitted(self) -> None:
        self._close_find()

    def _close_find(self) -> None:
        field = self.query_one(Input)
        field.display = False
        field.disabled = True
        self.set_focus(None)
        self.draw()

    def back(self) -> None:
        """Clears the filter, or hides the boot steps (escape)."""
        field = self.query_one(Input)
        if field.display or self.wanted:
            field.value = ""
            self._look_for("")
            self._close_find()
        elif self.show_steps:
            self.show_steps = None
            self.draw()

    def on_resize(self, _: Resize) -> None:
        # The canvas gets its new size only after this message.
        self.call_after_refresh(self.draw)
