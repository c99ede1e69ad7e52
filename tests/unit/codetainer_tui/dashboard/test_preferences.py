"""The settings file of the dashboard: keys and notifications."""

from __future__ import annotations

from pathlib import Path

import pytest

from codetainer_tui.dashboard.keys import Keys
from codetainer_tui.dashboard.notify import Notify
from codetainer_tui.dashboard.preferences import Preferences, PreferencesError, load


def written(folder: Path, text: str) -> Path:
    file = folder / "dashboard.toml"
    file.write_text(text)
    return file


def test_without_a_file_the_defaults_apply(tmp_path: Path) -> None:
    assert load(tmp_path / "dashboard.toml") == Preferences()


def test_the_file_sets_keys_and_notifications(tmp_path: Path) -> None:
    found = load(written(tmp_path, 'notify = "always"\n[keys]\nallow = "A"\nleave = "f10"\n'))
    assert found.notify is Notify.ALWAYS
    assert Keys(found.keys).keymap == {"allow": "A", "leave": "f10,ctrl+c"}
    assert {action.name: action.shown for action in Keys(found.keys).actions}["allow"] == "A"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("notify = 3", "notify is 3, expected always, blur, never"),
        ('colour = "red"', "unknown setting 'colour'"),
        ("keys = 3", "table [keys] of action = key"),
        ('[keys]\nalow = "A"', "unknown action 'alow'"),
        ('[keys]\nallow = "ctrl+b"', "tmux prefix"),
        ('[keys]\nallow = "two words"', "expected a letter"),
        ("[keys]\nallow = 1", "expected a letter"),
        ('[keys]\nallow = "e"', "e is assigned to both allow and explain"),
        ('[keys]\nallow = "j"', "j is assigned to both allow and move"),
        ("[keys", "dashboard.toml: "),
    ],
)
def test_errors_name_the_setting_and_the_problem(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(PreferencesError) as caught:
        load(written(tmp_path, text))
    assert words in str(caught.value)


def test_all_errors_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(PreferencesError) as caught:
        load(written(tmp_path, 'colour = 1\n[keys]\nalow = "A"\nfrezze = "Z"\nallow = "e"\nrefresh = "two words"'))
    for words in (
        "unknown setting 'colour'", "unknown action 'alow'", "unknown action 'frezze'",
        "e is assigned to both allow and explain", "refresh = 'two words'",
    ):  # fmt: skip
        assert words in str(caught.value)
