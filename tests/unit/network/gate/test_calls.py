"""The reader's notes about calls, and the end of a limit as the API's headers tell it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network.gate.calls import LONGEST, PREFIX, Answered, Ended, Moved, claim, parse, wait

NOW = 1_795_912_000.0
DATE = "Sun, 29 Nov 2026 00:26:40 GMT"  # NOW
REJECTED = {f"{PREFIX}unified-status": "rejected"}
WAITS: dict[str, tuple[Mapping[str, str], float | None]] = {
    "nothing": ({}, None),
    "seconds": ({"retry-after": "40"}, 40),
    "a date": ({"retry-after": "Sun, 29 Nov 2026 00:27:40 GMT"}, 60),
    "a date in the past": ({"retry-after": "Sun, 29 Nov 2020 00:27:40 GMT"}, 0),
    "not a number": ({"retry-after": "soon"}, None),
    "negative": ({"retry-after": "-5"}, None),
    "other digits": ({"retry-after": "٤٠"}, None),
    "too long": ({"retry-after": "9" * 12}, LONGEST),
    "far too long": ({"retry-after": "9" * 50}, None),
    "a subscription": ({**REJECTED, f"{PREFIX}unified-reset": "1795915600"}, 3600),
    "a subscription, and seconds": ({**REJECTED, f"{PREFIX}unified-reset": "1795915600", "retry-after": "40"}, 3600),
    "a subscription, without an end": (REJECTED, None),
    "a subscription that is fine": ({f"{PREFIX}unified-status": "allowed", f"{PREFIX}unified-reset": "1795915600"}, None),
    "a reset in the past": ({**REJECTED, f"{PREFIX}unified-reset": "17959156"}, 0),
    "an endless reset": ({**REJECTED, f"{PREFIX}unified-reset": "999999999999"}, LONGEST),
    "a key": ({f"{PREFIX}requests-remaining": "0", f"{PREFIX}requests-reset": "2026-11-29T00:27:10Z"}, 30),
    "a key with another limit left": (
        {f"{PREFIX}requests-remaining": "5", f"{PREFIX}requests-reset": "2026-11-29T00:27:10Z"}, None,
    ),
    "a key, the longest": (
        {
            f"{PREFIX}requests-remaining": "0", f"{PREFIX}requests-reset": "2026-11-29T00:27:10Z",
            f"{PREFIX}tokens-remaining": "0", f"{PREFIX}tokens-reset": "2026-11-29T02:27:40+01:00",
        },
        3660,
    ),
    "a key without a zone": ({f"{PREFIX}requests-remaining": "0", f"{PREFIX}requests-reset": "2026-11-29T00:27:10"}, None),
    "a key with no such day": ({f"{PREFIX}requests-remaining": "0", f"{PREFIX}requests-reset": "2026-11-31T00:27:10Z"}, None),
}  # fmt: skip


@pytest.mark.parametrize(("headers", "seconds"), WAITS.values(), ids=WAITS)
def test_how_long_a_limit_lasts(headers: Mapping[str, str], seconds: float | None) -> None:
    assert wait(headers, NOW) == seconds
    assert wait({**headers, "date": DATE}, NOW - 7200) == seconds  # our clock is wrong


@given(
    st.dictionaries(
        st.sampled_from(
            [
                *[
                    f"{PREFIX}{name}"
                    for name in (
                        "unified-status",
                        "unified-reset",
                        "requests-remaining",
                        "requests-reset",
                        "tokens-reset",
                    )
                ],
                "retry-after",
                "date",
            ]
        ),
        st.text(max_size=40) | st.sampled_from(["0", "rejected", DATE, "1e400", "9999-12-31T23:59:59Z"]),
    )
)
def test_any_header_gives_a_bounded_wait(headers: dict[str, str]) -> None:
    seconds = wait(headers, NOW)
    assert seconds is None or (0 <= seconds <= LONGEST and math.isfinite(seconds))
    assert isinstance(claim(headers), str)


def test_a_limit_is_named() -> None:
    assert claim({**REJECTED, f"{PREFIX}unified-representative-claim": "five_hour"}) == "the five-hour limit"
    assert claim({**REJECTED, f"{PREFIX}unified-representative-claim": "evil\x1b"}) == "a limit of the subscription"
    assert claim({f"{PREFIX}requests-remaining": "0"}) == "the API key's limit of requests"
    assert claim({"retry-after": "4"}) == ""


NOTES = [
    ({"begun": True}, None),
    ({"moved": True}, Moved()),
    ({"ended": {"whole": True, "model": "m"}}, Ended(True, "m")),
    ({"ended": {"whole": "yes", "model": 5}}, Ended(False, "")),
    (
        {"answer": {"status": 429, "model": "m\x1b", "credential": "TOKEN", "headers": {"retry-after": "4"}}},
        Answered(429, "m?", "TOKEN", {"retry-after": "4"}),
    ),
    ({"answer": {"status": "x", "headers": [1]}}, Answered(0)),
    ({"answer": {"status": 10**9}}, Answered(0)),
    ({"answer": {"status": 0, "model": "m", "silent": True}}, Answered(0, "m", silent=True)),
    ({"answer": 5}, None),
]


@pytest.mark.parametrize(("note", "call"), NOTES)
def test_notes_of_the_reader(note: dict[str, object], call: object) -> None:
    assert parse(note) == call
