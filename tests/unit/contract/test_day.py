from __future__ import annotations

import itertools
import json
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from backend.contract import events as e
from backend.contract.day import BUCKET_SECONDS, KEPT_SECONDS, MAX_MARKS, MAX_SPANS, Day, Doing, Mark, MarkKind
from backend.contract.events import Reason, Refused, SessionState, Stamped, Via
from backend.contract.state import State, fold, fold_all

READY = e.BootFinished(e.BootState.READY, 1.0)


def after(*events: tuple[float, e.Event]) -> State:
    return fold_all(Stamped(at, seq, event) for seq, (at, event) in enumerate(events, 1))


def works(state: SessionState) -> e.SessionChanged:
    return e.SessionChanged(state)


def test_spans_follow_the_agent_and_the_sandbox() -> None:
    state = after(
        (0, e.BootStarted("1", ())), (5, works(SessionState.WORKS)), (6, READY), (100, works(SessionState.WAITS)),
        (160, e.Froze(True, "alex")), (170, works(SessionState.WORKS)), (200, e.Froze(False)),
        (300, e.ProtectionFailed("a hole")), (400, e.Stopping("SIGTERM")),
    )  # fmt: skip
    assert [(span.at, span.doing) for span in state.day.spans] == [
        (0, Doing.STARTING), (6, Doing.WORKING), (100, Doing.WAITING), (160, Doing.FROZEN), (200, Doing.WORKING),
        (300, Doing.CLOSED), (400, Doing.STOPPED),
    ]  # fmt: skip
    assert state.day.seconds(50, 250) == {Doing.WORKING: 100, Doing.WAITING: 60, Doing.FROZEN: 40}


def test_marks_name_who_did_what_and_what_went_wrong() -> None:
    state = after(
        (1, e.Allowed("files.example", grant="read", by="alex")), (2, e.WorkSaved("wip/x", problem="no network")),
        (3, e.ProofFinished(3)), (4, e.ProofFinished(3, ("gate",))), (5, e.ServiceChanged("guard", e.ServiceState.DOWN)),
        (6, e.ServiceChanged("guard", e.ServiceState.UP)),
    )  # fmt: skip
    assert [(mark.at, mark.kind, mark.by, mark.bad) for mark in state.day.marks] == [
        (1, MarkKind.GRANT, "alex", False), (2, MarkKind.SAVE, "", True), (4, MarkKind.PROTECTION, "", True),
        (5, MarkKind.FAULT, "", True),
    ]  # fmt: skip


def test_refusals_are_counted_by_class_and_time() -> None:
    policy = Refused(Via.DNS, Reason.NOT_LISTED, 3, "dns", "a.example")
    serious = Refused(Via.GATE, Reason.NOT_OURS, 2, "tcp", "github.com")
    state = after((10, policy), (20, serious), (BUCKET_SECONDS + 1, policy))
    assert state.day.refused == {"0": (3, 2), "1": (3, 0)}
    state = fold(state, Stamped(KEPT_SECONDS + 3 * BUCKET_SECONDS, 9, policy))
    assert list(state.day.refused) == ["291"]


def test_the_snapshot_contains_it() -> None:
    state = after((0, e.BootStarted("1", (), prompt_sha256="ab", prompt_bytes=7)), (3, READY), (4, e.Froze(True, "x")))
    assert State.from_json(json.loads(json.dumps(state.as_json()))) == state


def test_an_agent_that_changes_its_state_all_the_time_fills_nothing() -> None:
    """The agent's hooks report its state, so the agent can make any number of changes."""
    day = Day().doing(0, Doing.STARTING).doing(1, Doing.WORKING).doing(7200, Doing.WAITING)
    for number in range(20_000):
        day = day.doing(7300 + number * 0.5, Doing.WORKING if number % 2 else Doing.WAITING)
    assert len(day.spans) <= MAX_SPANS
    assert day.thinned
    assert day.spans[-1].at == 7300 + 19_999 * 0.5
    assert len(json.dumps(asdict(day))) < 64 << 10


def test_old_spans_are_dropped_and_the_record_says_since_when_it_is_complete() -> None:
    day = Day()
    for hour in range(100):
        day = day.doing(1000 + hour * 3600, Doing.WORKING if hour % 2 else Doing.IDLE)
    last = 1000 + 99 * 3600
    assert day.spans[1].at >= last - KEPT_SECONDS
    assert day.since == last - KEPT_SECONDS
    assert sum(day.seconds(day.since, last).values()) == KEPT_SECONDS


def test_a_crowd_of_marks_of_one_kind_displaces_no_other_and_bad_ones_stay() -> None:
    day = Day().marked(Mark(1, MarkKind.FREEZE, "froze")).marked(Mark(2, MarkKind.SAVE, "not saved", bad=True))
    for number in range(1000):
        day = day.marked(Mark(3 + number, MarkKind.SAVE, f"saved {number}"))
    assert [mark.text for mark in day.marks[:2]] == ["froze", "not saved"]
    assert len(day.marks) == MAX_MARKS + 1
    assert day.dropped == {MarkKind.SAVE: 1001 - MAX_MARKS}


@given(st.lists(st.tuples(st.floats(0.1, 90_000), st.sampled_from(list(Doing))), min_size=1, max_size=40))
def test_spans_never_overlap_and_fill_the_time(steps: list[tuple[float, Doing]]) -> None:
    day, at = Day(), 0.0
    for pause, doing in steps:
        at += pause
        day = day.doing(at, doing)
    spans = day.between(day.since, at + 10)
    assert all(first[1] == second[0] for first, second in itertools.pairwise(spans))
    assert abs(sum(day.seconds(day.since, at + 10).values()) - (at + 10 - max(day.since, day.spans[0].at))) < 0.01
