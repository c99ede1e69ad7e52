import pytest
from hypothesis import given
from hypothesis import strategies as st

from codetainer_tui import words

NOON = 1_767_268_800.0  # 2026-01-01 12:00 UTC


@given(st.text())
def test_escaped_text_is_printable(text: str) -> None:
    shown = words.harmless(text)
    assert shown.isprintable()
    shown.encode()  # would raise for a lone surrogate


@given(st.text(), st.integers(1, 50))
def test_long_text_is_cut(text: str, most: int) -> None:
    assert len(words.harmless(text, most)) <= most


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain.example", "plain.example"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202eevil", "\\u202eevil"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\ud800", "\\ud800"),
        ("[bold]漢字", "[bold]漢字"),
    ],
)
def test_dangerous_characters_are_escaped(text: str, shown: str) -> None:
    assert words.harmless(text) == shown


@pytest.mark.parametrize(
    ("past", "shown"),
    [(0, "now"), (14, "now"), (20, "<1 min"), (60, "1 min"), (3599, "59 min"), (3600, "11:00"), (86400, "31 Dec")],
)
def test_times_are_relative_below_an_hour(past: float, shown: str) -> None:
    assert words.when(NOON - past, NOON) == shown


def test_a_time_in_the_future_is_now() -> None:
    assert words.when(NOON + 30, NOON) == "now"


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 kB"),
        (122_880, "120 kB"),
        (19_084_083, "18.2 MB"),
        (4 << 30, "4.0 GB"),
        (5 << 40, "5120 GB"),
    ],
)
def test_sizes(count: int, shown: str) -> None:
    assert words.size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (8040, "2 h 14 min"), (14445, "4 h"), (273_600, "3 d 4 h")]
)
def test_long_durations(seconds: float, shown: str) -> None:
    assert words.lasting(seconds) == shown


def test_until() -> None:
    assert words.until(0, NOON) == "until you close it"
    assert words.until(NOON + 3600, NOON) == "until 13:00"
    assert words.until(NOON + 86400, NOON) == "until 02 Jan 12:00"


@pytest.mark.parametrize(("left", "shown_as"), [(-5, "in <1 min"), (59, "in <1 min"), (60, "in 1 min"), (3599, "in 59 min")])
def test_future_times_are_in_coarse_steps(left: float, shown_as: str) -> None:
    assert words.within(1000.0 + left, 1000.0) == shown_as
    assert words.within(1000.0 + 7200, 1000.0).startswith("at ")
