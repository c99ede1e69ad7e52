"""The part of a line that is repainted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.content import Content
from textual.geometry import Region

from codetainer_tui.dashboard.widgets.canvas import changed_part


@pytest.mark.parametrize(
    ("before", "after", "region"),
    [
        ("cpu 31 %", "cpu 31 %", None),
        ("cpu 31 %", "cpu 32 %", Region(5, 3, 1, 1)),
        ("cpu 9 %", "cpu 10 %", Region(4, 3, 16, 1)),  # the rest has moved
        ("読 1 x", "読 2 x", Region(3, 3, 1, 1)),  # two cells wide
        ("", "x", Region(0, 3, 20, 1)),
    ],
)
def test_from_the_first_cell_that_differs_to_the_last(before: str, after: str, region: Region | None) -> None:
    assert changed_part(Content(before), Content(after), 3, 20) == region


def test_a_changed_style_repaints_the_whole_line() -> None:
    assert changed_part(Content("x"), Content.styled("x", "bold"), 0, 20) == Region(0, 0, 20, 1)


TEXT = st.text(alphabet="ab読 ", max_size=8)


@given(TEXT, TEXT)
def test_unpainted_cells_are_unchanged(before: str, after: str) -> None:
    found = changed_part(Content(before), Content(after), 0, 20)

    def cells(text: str) -> list[str]:
        spread = [part for character in text for part in [character, *[""] * (cell_len(character) - 1)]]
        return spread + [" "] * (20 - len(spread))

    for x, (one, other) in enumerate(zip(cells(before), cells(after), strict=True)):
        if found is None or not found.x <= x < found.right:
            assert one == other
