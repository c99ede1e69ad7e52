"""The operator's keys and notifications: what the file may say, and what comes of it."""

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


def test_without_a_file_what_is_shipped_holds(tmp_path: Path) -> None:
    assert load(tmp_path / "dashboard.toml") == Preferences()


def test_what_it_says_is_read(tmp_path: Path) -> None:
    found = load(written(tmp_path, 'notify = "always"\n[keys]\nallow = "A"\nleave = "f10"\n'))
    assert found.notify is Notify.ALWAYS
    assert Keys(found.keys).keymap == {"allow": "A", "leave": "f10,ctrl+c"}
    assert {action.name: action.shown for action in Keys(found.keys).actions}["allow"] == "A"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("notify = 3", "notify is 3, expected always, blur, never"),
        ('colour = "red"', "found colour"),
        ("keys = 3", "table of action = key"),
        ('[keys]\nalow = "A"', "there is no action 'alow'"),
        ('[keys]\nallow = "ctrl+b"', "tmux's own"),
        ('[keys]\nallow = "two words"', "is no key"),
        ("[keys]\nallow = 1", "is no key"),
        ('[keys]\nallow = "e"', "e is the key of allow and of explain"),
        ('[keys]\nallow = "j"', "j is the key of allow and of move"),
        ("[keys", "dashboard.toml: "),
    ],
)
def test_what_is_wrong_says_where_and_why(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(PreferencesError) as caught:
        load(written(tmp_path, text))
    assert words in str(caught.value)
