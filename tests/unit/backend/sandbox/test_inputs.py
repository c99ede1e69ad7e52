"""The operator's files are checked before `codetainer up` creates anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.sandbox.inputs import require_files, require_readable
from backend.sandbox.options import parse
from backend.settings import SettingsError


def test_all_missing_files_are_listed_with_their_options(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    options = ("--domains", "--credentials", "--claude", "--settings", "--pretend")
    with pytest.raises(SettingsError) as error:
        require_files(parse(["--net", "pretend", *(word for option in options for word in (option, missing))]))
    assert error.value.problems == tuple(f"{option} {missing}: no such file" for option in options)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"--domains {tmp_path}: is a folder, expected a file"):
        require_files(parse(["--domains", str(tmp_path)]))


def test_a_log_needs_a_folder(tmp_path: Path) -> None:
    pretend = ["--net", "pretend", "--pretend-log"]
    with pytest.raises(SettingsError, match=f"--pretend-log {tmp_path}/no/log: no such folder: {tmp_path}/no"):
        require_files(parse([*pretend, f"{tmp_path}/no/log"]))
    for log in ("-", "log", f"{tmp_path}/log"):
        require_files(parse([*pretend, log]))


def test_existing_files_pass(tmp_path: Path) -> None:
    domains = tmp_path / "domains.conf"
    domains.write_text("")
    require_files(parse(["--domains", str(domains)]))


def test_problems_name_files_by_their_paths_on_this_machine(tmp_path: Path) -> None:
    (tmp_path / "mine.conf").write_text("good.example\n@pip\nbad_\nhttps://worse.example/\n")
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(SettingsError) as error:
        require_readable(parse(["--domains", str(tmp_path / "mine.conf"), "--settings", str(tmp_path / "settings.json")]))
    first, second, third = error.value.problems
    assert first.startswith(f"{tmp_path}/mine.conf:3:")
    assert second.startswith(f"{tmp_path}/mine.conf:4:")
    assert third.startswith(f"--settings {tmp_path}/settings.json: ")
    (tmp_path / "mine.conf").write_text("good.example\n@pip\n")
    require_readable(parse(["--domains", str(tmp_path / "mine.conf")]))
