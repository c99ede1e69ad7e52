"""The agent's reports and its pane's title: bounded, untrusted, and combined into a state."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.agent.session import Session
from backend.contract.events import SessionChanged, SessionState
from backend.session import activity, beginning, reports
from backend.session.beginning import Beginning
from backend.system import Identity


def test_a_valid_report() -> None:
    result = activity.reported(
        '{"state": "waits", "name": "fixing-auth", "model": "M", "context_percent": 42, "cost_usd": 1.2}'
    )
    assert result is not None
    assert (result.state, result.name, result.context_percent, result.cost_usd) == (
        SessionState.WAITS,
        "fixing-auth",
        42.0,
        1.2,
    )


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, '"works"'])
def test_invalid_reports(text: str) -> None:
    assert activity.reported(text) is None


def test_values_are_bounded() -> None:
    result = activity.reported(
        '{"state": "root", "name": "' + "x" * 5000 + '", "cost_usd": 1e300, "context_percent": "all", "since": -5}'
    )
    assert result is not None
    assert result.since == 0.0
    assert result.state is SessionState.UNKNOWN
    assert len(result.name) == 120
    assert (result.cost_usd, result.context_percent) == (-1.0, -1.0)


ME = Identity("me", os.geteuid())


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_any_json_is_accepted_or_ignored(body: object) -> None:
    import json

    activity.reported(json.dumps(body))


def test_links_and_pipes_are_not_read_and_long_files_are_cut(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text('{"state": "works"}')
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(b"x" * (1 << 20))
    (tmp_path / "bytes").write_bytes(b"\xff")
    assert reports.read_report(tmp_path / "bytes", ME) == "\N{REPLACEMENT CHARACTER}"
    assert reports.read_report(tmp_path / "link", ME) == ""
    assert reports.read_report(tmp_path / "pipe", ME) == ""
    assert reports.read_report(tmp_path / "none", ME) == ""
    assert len(reports.read_report(tmp_path / "long", ME)) == reports.REPORT_BYTES


def test_the_state_comes_from_the_activity_file() -> None:
    about = '{"model": "M", "state": "works", "since": 1}'
    result = activity.reported(about, '{"state": "waits", "since": 1000.5, "model": "other"}')
    assert result is not None
    assert (result.state, result.since, result.model) == (SessionState.WAITS, 1000.5, "M")
    alone = activity.reported("", '{"state": "idle"}')
    assert alone is not None
    assert alone.state is SessionState.IDLE
    assert activity.reported("", "[]") is None


SPINS, STARS, PLAIN = "⠐ fixing the parser", "✳ fixing the parser", "codetainer"
S = SessionState


@pytest.mark.parametrize(
    ("reported", "title", "expected"),
    [
        (S.WORKS, SPINS, S.WORKS),
        (S.WORKS, STARS, S.WAITS),  # escape was pressed, or the API failed: no hook runs
        (S.WAITS, STARS, S.WAITS),
        (S.WAITS, SPINS, S.WORKS),
        (S.IDLE, STARS, S.IDLE),
        (S.IDLE, SPINS, S.WORKS),
        (S.UNKNOWN, STARS, S.IDLE),
        (S.WORKS, PLAIN, S.WORKS),
        (S.WAITS, "", S.WAITS),
        (None, SPINS, S.WORKS),
        (None, PLAIN, None),
    ],
)
def test_the_title_overrules_the_hooks(reported: S | None, title: str, expected: S | None) -> None:
    report = None if reported is None else SessionChanged(reported, "name", 100.0, "M")
    result = activity.judged(report, title, None, 200.0)
    assert (result and result.state) == expected
    if result is not None and report is not None:
        assert (result.name, result.model) == ("name", "M")
        assert result.since == (100.0 if expected is reported else 200.0)


def test_a_new_report_overrules_a_title_that_may_not_be_redrawn_yet() -> None:
    just = SessionChanged(S.WORKS, "name", 199.0)
    assert activity.judged(just, STARS, None, 200.0) == just


def test_a_screen_that_says_that_a_turn_goes_on_is_right_whatever_the_title() -> None:
    for report in (SessionChanged(S.WORKS, "name", 100.0), SessionChanged(S.WAITS, "name", 100.0)):
        result = activity.judged(report, STARS, None, 200.0, busy=True)
        assert result is not None
        assert result.state is S.WORKS


def test_an_unchanged_state_keeps_its_start_time() -> None:
    before = SessionChanged(S.WAITS, "name", 150.0)
    result = activity.judged(SessionChanged(S.WORKS, "name", 100.0), STARS, before, 200.0)
    assert result is not None
    assert result.since == 150.0


@pytest.mark.parametrize(("state", "since"), [(S.WORKS, 0.0), (S.WAITS, 100.0), (S.IDLE, 100.0)])
def test_without_reports_states_other_than_works_stay(state: S, since: float) -> None:
    report = SessionChanged(state, "name", since)
    assert activity.judged(report, PLAIN, None, 100.0 + activity.SILENT + 1) == report


QUESTION = ("Allow something?", "1. Yes")


def late(waited: float = beginning.PATIENCE) -> Beginning:
    return Beginning(waited=waited, screen=QUESTION)


def test_a_prompt_without_a_turn_becomes_a_question_after_a_while() -> None:
    before = SessionChanged(S.IDLE, "name", 100.0, "M")
    assert activity.asking(before, late(beginning.PATIENCE - 1), before, 200.0) == before
    asks = activity.asking(before, late(), before, 200.0)
    assert asks == SessionChanged(S.ASKS, "name", 200.0, "M", screen=QUESTION)
    assert activity.asking(before, late(), asks, 300.0) == asks
    assert activity.asking(None, late(), None, 200.0) == SessionChanged(S.ASKS, "claude", 200.0, screen=QUESTION)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"state": "works", "turn": 7.5}', True),
        ('{"state": "waits", "turn": 7}', True),
        ('{"state": "waits", "turn": 0.0}', False),  # a notification before any turn
        ('{"state": "idle"}', False),
        ('{"turn": "7"}', False),
        ("[]", False),
        ("", False),
    ],
)
def test_the_hooks_report_whether_a_turn_has_begun(text: str, expected: bool) -> None:
    assert activity.begun(text) is expected


NO_PROCESS = (1 << 22) + 1  # larger than any pid (proc_sys_kernel(5), pid_max)


@pytest.mark.parametrize(
    ("server", "agent", "text"),
    [
        (os.getpid(), os.getpid(), ""),
        (os.getpid(), NO_PROCESS, "Claude has ended, the session's shell is still running"),
        (NO_PROCESS, os.getpid(), "the session has ended"),
    ],
    ids=["none", "Claude", "the session"],
)
def test_a_process_that_does_not_exist_has_ended(server: int, agent: int, text: str) -> None:
    handles = activity.Handles(Session(server, agent, "%0"))
    assert handles.ended() == text
    handles.close()


def test_work_without_reports_for_long_becomes_unknown() -> None:
    silent = activity.judged(SessionChanged(S.WORKS, "name", 100.0), PLAIN, None, 100.0 + activity.SILENT + 1)
    assert silent is not None
    assert silent.state is S.UNKNOWN


def test_impossible_pids_have_ended() -> None:
    """The pids come from tmux, which the agent controls."""
    handles = activity.Handles(Session(10**30, -5, "%0"))
    assert handles.ended() == "the session has ended"
    handles.close()
