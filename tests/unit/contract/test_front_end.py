"""The file in which boot passes settings to the front ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.contract import front_end
from backend.contract.front_end import FrontEndSettings
from backend.settings import load
from backend.supervision.start import front_end as of_settings


def test_front_ends_read_what_boot_writes(tmp_path: Path) -> None:
    environment = {
        "GH_PAT": "x", "ANTHROPIC_API_KEY": "x", "CODETAINER_LOGIN": "dashboard", "CODETAINER_LOCK_TIMEOUT": "90s",
        "CODETAINER_LOG_FORMAT": "json", "CODETAINER_SECCOMP": "off",
    }  # fmt: skip
    (tmp_path / "file").write_text(of_settings(load(environment)).render())
    assert front_end.read(tmp_path / "file") == FrontEndSettings("dashboard", 90.0, "json", "off")


@pytest.mark.parametrize("text", [None, "", "lock_timeout=soon\n", "nothing\n=\n\x00\n"])
def test_missing_and_malformed_values_have_defaults(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "file").write_text(text)
    assert front_end.read(tmp_path / "file") == FrontEndSettings()


def test_defaults_are_those_of_the_settings() -> None:
    assert of_settings(load({"GH_PAT": "x", "ANTHROPIC_API_KEY": "x"})) == FrontEndSettings()
