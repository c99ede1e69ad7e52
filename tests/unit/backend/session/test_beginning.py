"""The wait for a first turn: screens are cleaned, known questions answered, others shown after a while."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.contract.paths import Paths
from backend.session import beginning
from backend.session.beginning import Answer, Beginning, cleaned, known

# As Claude Code 2.1.197 and 2.1.332 draw them.
ERROR = """
────────────────────────────────────
  Settings Error

  /workspace/repo/.claude/settings.json
  ├ cleanupPeriodDays: Expected number, but received string
  └ permissions: Expected object, but received string

  Files with errors are skipped entirely, not just the invalid settings.
  ❯ 1. Fix with Claude
    2. Exit and fix manually
    3. Continue without these settings
  Enter to confirm · Esc to cancel
"""
WARNING = """
  Settings Warning
  /workspace/repo/.claude/settings.json
  └ hooks.NoSuchEvent: Unknown hook event "NoSuchEvent" was ignored.
  ❯ 1. Continue
    2. Fix with Claude
    3. Exit and fix manually
"""
IMPORTS = """
  Allow external CLAUDE.md file imports?
    /etc/hostname
  ❯ 1. Yes, allow external imports
    2. No, disable external imports
"""


def test_an_invalid_settings_file_is_skipped() -> None:
    assert known(cleaned(ERROR)) == Answer(
        "Settings Error", "3",
        "/workspace/repo/.claude/settings.json cleanupPeriodDays: Expected number, but received string permissions: Expected "
        "object, but received string Files with errors are skipped entirely, not just the invalid settings.",
    )  # fmt: skip


def test_a_settings_file_with_an_unknown_hook_is_used_without_it() -> None:
    answer = known(cleaned(WARNING))
    assert answer is not None
    assert (answer.title, answer.key) == ("Settings Warning", "1")
    assert answer.about.endswith('hooks.NoSuchEvent: Unknown hook event "NoSuchEvent" was ignored.')


@pytest.mark.parametrize(
    "screen",
    [
        "",
        IMPORTS,
        "Settings Error",  # not drawn completely
        ERROR.replace("3. Continue without these settings", "3. Send these settings to somebody"),
        ERROR.replace("Settings Error", "Another question"),
        "3. Continue without these settings\nSettings Error",
    ],
)
def test_no_other_question_is_answered(screen: str) -> None:
    assert known(cleaned(screen)) is None


def test_screens_lose_control_characters_frames_and_long_ends() -> None:
    assert cleaned("─────\n  a\x1b[31mb\u202e  \n\n❯\n" + "x" * 500) == ("  a [31mb", "x" * beginning.MAX_COLUMNS)


@given(st.text())
def test_any_screen_is_cleaned(text: str) -> None:
    for line in cleaned(text):
        assert line.isprintable()
        assert len(line) <= beginning.MAX_COLUMNS
    known(cleaned(text))


def test_a_question_is_shown_once_claude_is_late_and_looked_at_less_often_then() -> None:
    start = Beginning()
    assert start.saw(cleaned(IMPORTS)) is None
    assert start.screen == ()
    assert start.due
    start.waited = beginning.PATIENCE
    assert start.saw([str(number) for number in range(50)]) is None
    assert start.screen == tuple(str(number) for number in range(50 - beginning.MAX_LINES, 50))
    assert not start.due
    start.waited += beginning.LOOK_SECONDS
    assert start.due


def test_a_question_that_no_answer_ends_is_shown() -> None:
    start = Beginning(waited=beginning.PATIENCE)
    for _ in range(beginning.MAX_ANSWERS):
        assert start.saw(cleaned(ERROR)) is not None
    assert start.saw(cleaned(ERROR)) is None
    assert start.screen[0].strip() == "Settings Error"


def test_a_conversation_of_the_folder_is_found(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    assert not beginning.has_conversation(paths, Path("/workspace/repo"))
    folder = paths.home / ".claude/projects/-workspace-repo"
    folder.mkdir(parents=True)
    (folder / "memory").mkdir()
    assert not beginning.has_conversation(paths, Path("/workspace/repo"))
    (folder / "5c1.jsonl").touch()
    assert beginning.has_conversation(paths, Path("/workspace/repo"))
    assert not beginning.has_conversation(paths, Path("/workspace"))
