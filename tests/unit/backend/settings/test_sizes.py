"""Sizes that lack their unit: refused, and the message says what they mean."""

from __future__ import annotations

import pytest

from backend import settings
from backend.settings import VARIABLES, SettingsError, values

GOOD = {"GH_PAT": "ghp_secret", "CLAUDE_CODE_OAUTH_TOKEN": "sk-secret"}
SIZES = [variable.name for variable in VARIABLES if variable.read is values.size]


@pytest.mark.parametrize("variable", SIZES)
@pytest.mark.parametrize("value", ["12", "512", "65535"])
def test_a_size_that_lacks_its_unit_is_refused(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load({**GOOD, variable: value})
    (problem,) = caught.value.problems
    assert problem == f"{variable}: {value} has no unit and would be {value} bytes; write {value}M or {value}K"


@pytest.mark.parametrize(
    ("value", "bytes_"), [("16K", 16 << 10), ("12k", 12 << 10), ("65536", 1 << 16), ("536870912", 1 << 29)]
)
def test_a_size_that_is_meant_is_accepted(value: str, bytes_: int) -> None:
    assert "CODETAINER_TMPFS_TMP" in SIZES
    assert settings.load({**GOOD, "CODETAINER_TMPFS_TMP": value}).tmpfs_tmp == bytes_
