"""Durations on the command line and in settings; none can mean "forever" by mistake."""

import pytest

from backend.contract import durations
from backend.settings import VARIABLES


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("90s", 90), ("5m", 300), ("1h", 3600), ("2d", 172_800), ("366d", 366 * 86400)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert durations.read(text) == seconds
    assert durations.read(durations.written(seconds)) == seconds


def test_durations_are_written_in_the_largest_unit_that_fits() -> None:
    written = [durations.written(seconds) for seconds in (1.0, 90.0, 300.0, 5400.0, 3600.0, 172_800.0)]
    assert written == ["1s", "90s", "5m", "90m", "1h", "2d"]


@pytest.mark.parametrize("text", ["", "h", "-1h", "-5", "1.5h", "1w", "1h ", "٣h", "1h30m", "inf", "nan", "1e3", "0x10"])
def test_invalid_durations(text: str) -> None:
    with pytest.raises(ValueError, match=r"cannot read .* as a duration: expected 90s, 5m, 4h or 1d"):
        durations.read(text)


@pytest.mark.parametrize("text", ["10", "90", "1" * 400, "007"])
def test_a_number_without_a_unit_is_refused(text: str) -> None:
    """Read as seconds, `--for 10` would shorten a grant of ten minutes to a moment."""
    with pytest.raises(ValueError, match=r"its unit is missing, expected 90s, 5m, 4h or 1d"):
        durations.read(text)


@pytest.mark.parametrize("text", ["0", "0s", "0m", "0h", "0d", "00", "000000000000000000s"])
def test_zero_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the shortest is 1s"):
        durations.read(text)


@pytest.mark.parametrize("text", ["367d", "8785h", "31622401s", "999999999d", "1" * 400 + "s", "0" * 50 + "9" * 20 + "m"])
def test_more_than_a_year_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the longest is 366d"):
        durations.read(text)


def test_all_variables_for_durations_use_the_same_parser() -> None:
    duration_variables = [variable for variable in VARIABLES if "duration" in variable.expected]
    assert len(duration_variables) >= 7
    for variable in duration_variables:
        assert variable.read("90s")
        for text in ("0", "0s", "-1h", "400d", "9" * 300):
            with pytest.raises(ValueError, match="duration"):
                variable.read(text)
