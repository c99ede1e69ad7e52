"""The row about archives of all work: the last one, and why later ones failed."""

from __future__ import annotations

from backend.contract import events as e
from backend.contract.state import State, fold_all
from codetainer_tui.view import work
from codetainer_tui.view.parts import Tone

WRITTEN = e.WorkSuspended("/volume/work-00000007.tar", 182 << 20, 40_000, 3.2, ("/tmp/s: a socket",), 1)
FAILED = e.WorkSuspended("/volume", problem="/volume: No space left on device\x1b")


def after(*events: e.Event) -> State:
    return fold_all(e.Stamped(43200.0 + at, at, event) for at, event in enumerate(events))


def test_the_last_archive_is_shown() -> None:
    row = work.suspended(after(WRITTEN))
    assert row is not None
    assert row.cells == ("written 12:00", "/volume/work-00000007.tar", "182 MB", "40 000 files", "2 files left out")
    assert row.tone is Tone.PLAIN


def test_a_failure_comes_first_and_the_last_archive_stays() -> None:
    row = work.suspended(after(WRITTEN, FAILED))
    assert row is not None
    assert row.cells[:2] == ("not written: /volume: No space left on device\\x1b", "written 12:00")
    assert row.tone is Tone.WARN


def test_a_new_archive_ends_the_failure() -> None:
    state = after(FAILED, WRITTEN)
    assert (state.suspend_problem, state.suspended) == ("", WRITTEN)


def test_without_archives_there_is_no_row() -> None:
    assert work.suspended(State()) is None
