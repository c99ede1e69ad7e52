"""The files that `codetainer up` is given are looked for before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.sandbox.inputs import require_files, require_readable
from backend.sandbox.options import parse
from backend.settings import SettingsError


def test_every_absent_file_is_named_with_its_option(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    options = ("--domains", "--credentials", "--claude", "--settings", "--pretend")
    with pytest.raises(SettingsError) as error:
        require_files(parse(["--net", "pretend", *(word for option in options for word in (option, gone))]))
    assert error.value.problems == tuple(f"{option} {gone}: there is no such file" for option in options)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"--domains {tmp_path}: a folder, expected a file"):
        require_files(parse(["--domains", str(tmp_path)]))


def test_a_log_needs_a_folder(tmp_path: Path) -> None:
    pretend = ["--net", "pretend", "--pretend-log"]
    with pytest.raises(SettingsError, match=f"--pretend-log {tmp_path}/no/log: there is no folder {tmp_path}/no"):
        require_files(parse([*pretend, f"{tmp_path}/no/log"]))
    for there in ("-", "log", f"{tmp_path}/log"):
        require_files(parse([*pretend, there]))


def test_files_that_are_there_pass(tmp_path: Path) -> None:
    there = tmp_path / "domains.conf"
    there.write_text("")
    require_files(parse(["--domains", str(there)]))


def test_what_cannot_be_read_is_said_by_the_name_that_was_given(tmp_path: Path) -> None:
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
