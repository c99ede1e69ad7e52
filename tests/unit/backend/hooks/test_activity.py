"""What the agent does, as its hooks leave it."""

from __future__ import annotations

import json
from pathlib import Path

from backend.hooks import activity


def said(file: Path) -> object:
    return json.loads(file.read_text())


def test_a_state_that_goes_on_keeps_its_beginning(tmp_path: Path) -> None:
    file = tmp_path / "activity.json"
    activity.write(str(file), "works", 1000.0)
    activity.write(str(file), "works", 2000.0)
    assert said(file) == {"state": "works", "since": 1000.0}
    activity.write(str(file), "waits", 3000.0)
    assert said(file) == {"state": "waits", "since": 3000.0}
    assert [entry.name for entry in tmp_path.iterdir()] == ["activity.json"]


def test_what_is_there_already_may_be_anything(tmp_path: Path) -> None:
    file = tmp_path / "activity.json"
    for text in ("", "[]", "{", "\x00\xff", "x" * 5000):
        file.write_text(text)
        activity.write(str(file), "waits", 1.0)
        assert said(file) == {"state": "waits", "since": 1.0}


def test_without_a_folder_nothing_happens(tmp_path: Path) -> None:
    activity.write(str(tmp_path / "none/activity.json"), "waits", 1.0)
