"""The report that the notifier sends by itself: once a day, bounded, and in our own words."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from backend.contract import events as e
from backend.contract.durations import DAY, HOUR, MINUTE
from backend.contract.state import State, fold_all
from backend.notify import summary
from backend.notify.rendering import MAX_BODY, notification
from backend.notify.summary import Schedule
from tests.journals import make

AGENTS = "agents-own-words"
MIDNIGHT = 20_000 * DAY
AT = 6.5 * HOUR


def night() -> State:
    lines = (Path(make.__file__).parent / "night.jsonl").read_text().splitlines()
    return fold_all(e.decode(line) for line in lines)


def test_the_report_is_due_once_a_day() -> None:
    schedule = Schedule(AT)
    now, told = MIDNIGHT + 5 * HOUR, []
    while now < MIDNIGHT + 3 * DAY:
        if schedule.due(now):
            told.append(now)
        wait = schedule.wait(now)
        assert wait is not None and wait <= MINUTE
        now += max(wait, 1.0)
    assert told == [MIDNIGHT + day * DAY + AT for day in range(3)]


def test_a_clock_that_is_set_causes_no_flood_and_no_silence() -> None:
    schedule = Schedule(AT)
    assert not schedule.due(MIDNIGHT + 30 * DAY + 5 * HOUR)
    assert schedule.due(MIDNIGHT + 300 * DAY)  # set forward: one report, whatever was missed
    assert not schedule.due(MIDNIGHT + 300 * DAY + 1)
    assert not schedule.due(MIDNIGHT + 5 * HOUR)  # set back: the next one comes at its time
    assert schedule.due(MIDNIGHT + AT)


@given(st.floats(0, DAY - 60), st.lists(st.floats(0, 100 * DAY), max_size=30))
def test_it_is_never_due_twice_at_a_time(at: float, times: list[float]) -> None:
    schedule = Schedule(at)
    for now in times:
        schedule.due(now)
        assert not schedule.due(now)


def test_no_daily_report_is_never_due() -> None:
    assert not Schedule(None).due(AT)
    assert Schedule(None).wait(AT) is None


def test_it_says_what_happened_in_numbers() -> None:
    state = night()
    made = summary.message(state, 0.0, state.updated_at)
    text = "\n".join(made.details)
    assert made.text == "report on the last 8 h"
    for words in ("working 6 h 7 min", "at a limit 31 min", "pushed and written: 2", "9 commits and 3 files; 3 files",
                  "refusals: 123, 3 of them serious, 1 kind not acknowledged", "412 calls, about $31.40"):  # fmt: skip
        assert words in text
    assert "parser" not in text
    sent = notification([made], "night", lambda text: text)
    assert len(sent.body) <= MAX_BODY
    assert "codetainer report has all of it" in sent.body


def test_the_agents_text_is_in_it_only_if_it_is_wanted() -> None:
    wrote = e.Wrote("github.com", f"push to octo/repo: {AGENTS}", f"https://github.com/octo/repo/tree/{AGENTS}")
    state = fold_all([e.Stamped(AT, 1, wrote)])
    assert AGENTS not in repr(summary.message(state, 0.0, AT + 60))
    assert AGENTS in repr(summary.message(state, 0.0, AT + 60, with_text=True))


def test_an_unknown_amount_of_work_is_not_called_none() -> None:
    assert "work that is only here: not known" in summary.message(State(), 0.0, AT).details
    failed = e.WorkCounted(occasion=e.Occasion.LOOKED, repositories=(), problem="git failed")
    state = fold_all([e.Stamped(AT, 1, failed)])
    assert "work that is only here: not known" in summary.message(state, 0.0, AT + 60).details


def test_a_learning_run_is_named() -> None:
    state = fold_all([e.Stamped(AT, 1, e.BootStarted("1", (), learning=True))])
    assert "LEARNING RUN: every public name was open" in summary.message(state, 0.0, AT + 60).details
