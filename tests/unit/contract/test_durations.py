"""Durations as they are typed: one reader, and nothing that could mean "for ever" by mistake."""

import pytest

from backend.contract import durations
from backend.settings import VARIABLES


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1s", 1), ("90s", 90), ("5m", 300), ("1h", 3600), ("2d", 172_800), ("366d", 366 * 86400)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert durations.read(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1h", "-5", "1.5h", "1w", "1h ", "٣h", "1h30m", "inf", "nan", "1e3", "0x10"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"cannot read .* as a duration: expected 90s, 5m, 4h or 1d"):
        durations.read(text)


@pytest.mark.parametrize("text", ["0", "0s", "0m", "0h", "0d", "00", "000000000000000000s"])
def test_nothing_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="the shortest is 1s"):
        durations.read(text)


@pytest.mark.parametrize("text", ["367d", "8785h", "31622401", "999999999d", "1" * 400, "0" * 50 + "9" * 20])
def test_what_is_beyond_a_year_is_too_long(text: str) -> None:
    with pytest.raises(ValueError, match="the longest is 366d"):
        durations.read(text)


def test_every_setting_that_is_a_duration_is_read_by_it() -> None:
    found = [variable for variable in VARIABLES if "duration" in variable.expected]
    assert len(found) == 7
    for variable in found:
        assert variable.read("90s")
        for text in ("0", "0s", "-1h", "400d", "9" * 300):
            with pytest.raises(ValueError, match="duration"):
                variable.read(text)
