"""Failures that a conversation asks the pretend API for."""

from __future__ import annotations

import pytest

from backend.sandbox.pretend.faults import MAX_LINES, Faults

NOW = 1_795_912_000.0
STATUS = {"limited": 429, "refused": 401, "silent": 0}


def kinds(faults: Faults, messages: str, *seconds: float) -> list[str]:
    """What happens to calls at these times: a kind, or "" if they are answered."""
    found = (faults.due(messages, NOW + second) for second in seconds)
    return [fault.kind if fault else "" for fault in found]


@pytest.mark.parametrize("kind", STATUS)
def test_times_count_from_the_first_call(kind: str) -> None:
    faults = Faults()
    line = f"hello\nplease fail: {kind} 20\nthank you"
    assert kinds(faults, line, 0, 19, 20, 500) == [kind, kind, "", ""]
    again = Faults().due(line, NOW)
    assert again is not None
    assert again.status == STATUS[kind]


@pytest.mark.parametrize("kind", ["overloaded", "cut"])
def test_calls_are_counted(kind: str) -> None:
    assert kinds(Faults(), f"please fail: {kind} 2", 0, 1, 2, 3) == [kind, kind, "", ""]


def test_the_last_line_counts() -> None:
    faults = Faults()
    assert kinds(faults, "please fail: overloaded 1", 0, 1) == ["overloaded", ""]
    both = "please fail: overloaded 1\nplease fail: overloaded 1 again"
    assert kinds(faults, both, 2, 3) == ["overloaded", ""]


def test_a_limit_names_its_end() -> None:
    fault = Faults().due("please fail: limited 30", NOW)
    assert fault is not None
    headers = dict(fault.headers)
    assert headers["retry-after"] == "30"
    assert headers["anthropic-ratelimit-unified-reset"] == str(int(NOW) + 30)


def test_other_texts_fail_nothing() -> None:
    for text in ("", "please fail", "please fail: slowly 3", "I said: please fail: cut 3"):
        assert Faults().due(text, NOW) is None


def test_lines_are_bounded() -> None:
    faults = Faults()
    for number in range(2 * MAX_LINES):
        faults.due(f"please fail: cut 1 {number}", NOW)
    assert len(faults._begun) == MAX_LINES
