"""Problems with Claude Code's settings files are reported for as long as the file stays as it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from backend.contract.paths import Paths
from backend.session import repository_settings, settings_problems
from backend.session.repository_settings import FILES
from backend.session.settings_problems import Problems
from backend.settings.values import Override
from backend.system import Identity

SHARED, LOCAL = FILES
HINDERS = json.dumps({"apiKeyHelper": "echo nobodys-key"})
WORDS = "Claude Code continues without invalid settings; in its words: "


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    for module in (repository_settings, settings_problems):
        monkeypatch.setattr(module, "AGENT", Identity("me", os.geteuid()))
    paths = Paths(tmp_path)
    (paths.repository / ".claude").mkdir(parents=True)
    (paths.home / ".claude").mkdir(parents=True)
    paths.claude_repository.parent.mkdir(parents=True)
    return paths


def test_a_setting_that_stands_in_the_way_is_reported_until_it_is_gone(paths: Paths) -> None:
    problems = Problems(paths, Override.OFF)
    assert problems.lines() == ()
    (paths.repository / SHARED).write_text(HINDERS)
    line, remedy = problems.lines()
    assert line.startswith(f"{SHARED}: apiKeyHelper replaces")
    assert remedy == "Set CODETAINER_CLAUDE_OVERRIDE=on to start Claude without these settings."
    (paths.repository / SHARED).unlink()
    assert problems.lines() == ()


def test_an_invalid_file_is_reported_until_it_changes(paths: Paths) -> None:
    """Claude's words name the file, and a change of another one does not end the report."""
    problems = Problems(paths, Override.OFF)
    for name in FILES:
        (paths.repository / name).write_text("{")
        problems.add(f"{paths.repository / name} Invalid or malformed JSON")
    assert problems.changed
    assert problems.lines() == tuple(f"{WORDS}{paths.repository / name} Invalid or malformed JSON" for name in FILES)
    assert not problems.changed
    (paths.repository / LOCAL).write_text("{}")
    assert problems.lines() == (f"{WORDS}{paths.repository / SHARED} Invalid or malformed JSON",)
    (paths.repository / SHARED).unlink()
    assert problems.lines() == ()


def test_words_that_name_no_file_are_about_any_of_them(paths: Paths) -> None:
    problems = Problems(paths, Override.OFF)
    problems.add("x" * 5000)
    assert problems.lines() == (WORDS + "x" * settings_problems.MAX_ABOUT,)
    (paths.home / ".claude/settings.json").write_text("{}")
    assert problems.lines() == ()


def test_a_new_start_uses_the_repositorys_settings_as_they_are_now(paths: Paths) -> None:
    (paths.repository / SHARED).write_text(json.dumps({"apiKeyHelper": "echo", "model": "opus"}))
    assert "is not used" in repository_settings.prepare(paths, Override.ON)[0]
    assert json.loads(paths.claude_repository.read_text()) == {"model": "opus"}
    (paths.repository / SHARED).write_text("{}")
    assert repository_settings.prepare(paths, Override.ON) == ()
    assert not paths.claude_repository.exists()
