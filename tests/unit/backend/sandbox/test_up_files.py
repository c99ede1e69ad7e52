"""The files that `codetainer up` is given are looked for before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.sandbox.options import parse
from backend.sandbox.up import _require_files
from backend.settings import SettingsError


def test_every_absent_file_is_named_with_its_option(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    options = ("--domains", "--credentials", "--claude", "--settings")
    with pytest.raises(SettingsError) as error:
        _require_files(parse([word for option in options for word in (option, gone)]))
    assert error.value.problems == tuple(f"{option} {gone}: there is no such file" for option in options)


def test_files_that_are_there_pass(tmp_path: Path) -> None:
    there = tmp_path / "domains.conf"
    there.write_text("")
    _require_files(parse(["--domains", str(there)]))
