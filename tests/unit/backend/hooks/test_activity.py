"""The file in which the activity hook records the agent's state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.hooks import activity, session_namer


def content(file: Path) -> object:
    return json.loads(file.read_text())


def test_an_unchanged_state_keeps_its_start_time(tmp_path: Path) -> None:
    file = tmp_path / "activity.json"
    activity.write(str(file), "works", 1000.0)
    activity.write(str(file), "works", 2000.0)
    assert content(file) == {"state": "works", "since": 1000.0, "turn": 1000.0}
    activity.write(str(file), "waits", 3000.0)
    assert content(file) == {"state": "waits", "since": 3000.0, "turn": 1000.0}
    assert [entry.name for entry in tmp_path.iterdir()] == ["activity.json"]


def test_the_notification_after_an_error_does_not_hide_it(tmp_path: Path) -> None:
    file = tmp_path / "activity.json"
    for number, (state, found) in enumerate((
        ("works", "works"), ("failed", "failed"), ("waits", "failed"), ("works", "works"), ("waits", "waits"),
        ("failed", "failed"), ("idle", "idle"),
    )):  # fmt: skip
        activity.write(str(file), state, 1000.0 + number)
        assert json.loads(file.read_text())["state"] == found


def test_an_invalid_file_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "activity.json"
    for text in ("", "[]", "{", "\x00\xff", "x" * 5000):
        file.write_text(text)
        activity.write(str(file), "waits", 1.0)
        assert content(file) == {"state": "waits", "since": 1.0, "turn": 0.0}


def test_naming_the_session_is_not_the_agents_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["activity.py", str(tmp_path / "session.json"), "works"])
    monkeypatch.setenv(session_namer.MARK, "1")
    activity.main()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.delenv(session_namer.MARK)
    activity.main()
    assert (tmp_path / "activity.json").exists()


def test_without_a_folder_nothing_happens(tmp_path: Path) -> None:
    activity.write(str(tmp_path / "none/activity.json"), "waits", 1.0)
