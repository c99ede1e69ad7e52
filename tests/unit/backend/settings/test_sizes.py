"""Sizes that lack their unit: refused, and the message says what they mean."""

from __future__ import annotations

import pytest

from backend import settings
from backend.settings import VARIABLES, SettingsError, values

GOOD = {"GH_PAT": "ghp_secret", "CLAUDE_CODE_OAUTH_TOKEN": "sk-secret"}
SIZES = [variable.name for variable in VARIABLES if variable.read is values.size]


@pytest.mark.parametrize("variable", SIZES)
@pytest.mark.parametrize(("value", "means"), [("12", "12 bytes"), ("12k", "12288 bytes"), ("65535", "65535 bytes")])
def test_a_size_that_lacks_its_unit_is_refused(variable: str, value: str, means: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load({**GOOD, variable: value})
    (problem,) = caught.value.problems
    assert problem == f"{variable}: {value} is {means}, less than 64K; did you mean {value.rstrip('k')}M?"


def test_the_least_size_is_accepted() -> None:
    assert "CODETAINER_TMPFS_TMP" in SIZES
    assert settings.load({**GOOD, "CODETAINER_TMPFS_TMP": "64K"}).tmpfs_tmp == 64 << 10
