"""The number of notifications is bounded, and nothing is lost: what is held back is counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend.notify.folding import BURST, HOUR, KIND_SECONDS, MAX_SORTS, PER_HOUR, URGENT_BURST, URGENT_PER_HOUR, Folding
from backend.notify.messages import Kind, Message, TakeBack, Urgency


def message(
    kind: Kind = Kind.REFUSED, text: str = "x", urgency: Urgency = Urgency.HIGH, count: int = 1, settle: float = 0.0,
    sort: str = "", takes_back: Kind | None = None,
) -> Message:  # fmt: skip
    return Message(kind, urgency, text, 0.0, count=count, settle=settle, sort=sort, takes_back=takes_back)


def test_the_first_message_is_due_at_once() -> None:
    folding = Folding(0.0)
    folding.add(message(), 0.0)
    assert folding.wait(0.0) == 0.0
    assert [one.text for one in folding.due(0.0)] == ["x"]
    assert folding.wait(0.0) is None


def test_a_flood_is_one_message_with_a_count() -> None:
    folding = Folding(0.0)
    folding.add(message(), 0.0)
    folding.due(0.0)
    for number in range(1000):
        folding.add(message(text=f"number {number}", count=3), 1.0)
    assert folding.due(1.0) == ()
    assert folding.wait(1.0) == KIND_SECONDS - 1
    (last,) = folding.due(KIND_SECONDS)
    assert (last.text, last.count) == ("number 999", 3000)


def test_each_sort_is_named_with_its_count() -> None:
    folding = Folding(0.0)
    folding.add(message(sort="first"), 0.0)
    folding.due(0.0)
    folding.add(message(text="a foreign token", count=2, sort="token"), 1.0)
    folding.add(message(text="a push elsewhere", sort="push"), 2.0)
    folding.add(message(text="another foreign token", sort="token"), 3.0)
    (last,) = folding.due(KIND_SECONDS)
    assert (last.words, last.details) == ("another foreign token (3 times)", ("also: a push elsewhere",))


def test_the_sorts_that_are_named_are_bounded() -> None:
    folding = Folding(0.0)
    folding.add(message(sort="first"), 0.0)
    folding.due(0.0)
    folding.add(message(text="the worst", sort="worst", urgency=Urgency.URGENT), 1.0)
    for number in range(100):
        folding.add(message(text=f"text {number}", count=2, sort=f"{number}"), 1.0)
    (last,) = folding.due(KIND_SECONDS)
    assert last.text == "the worst"
    assert len(last.details) == MAX_SORTS
    assert last.details[0] == "also: text 99 (2 times)"
    assert last.details[-1] == f"and {2 * (100 - MAX_SORTS + 1)} of other kinds"


def test_the_most_urgent_of_a_kind_is_kept() -> None:
    folding = Folding(0.0)
    folding.add(message(Kind.ENDED), 0.0)
    folding.due(0.0)
    folding.add(message(Kind.ENDED, "the worst", Urgency.HIGH), 1.0)
    folding.add(message(Kind.ENDED, "harmless", Urgency.LOW), 2.0)
    (last,) = folding.due(KIND_SECONDS)
    assert (last.text, last.count) == ("the worst", 2)


def test_a_message_that_has_not_settled_can_be_taken_back() -> None:
    folding = Folding(0.0)
    folding.add(message(Kind.NEEDS_YOU, settle=10.0), 0.0)
    assert folding.due(5.0) == ()
    folding.add(TakeBack(Kind.NEEDS_YOU), 6.0)
    assert folding.wait(6.0) is None
    folding.add(message(Kind.NEEDS_YOU, settle=10.0), 7.0)
    assert [one.kind for one in folding.due(17.0)] == [Kind.NEEDS_YOU]


def test_taking_back_touches_no_other_message() -> None:
    folding = Folding(0.0)
    folding.add(message(Kind.NEEDS_YOU), 0.0)  # Claude's question before it begins does not settle
    folding.add(TakeBack(Kind.NEEDS_YOU), 0.0)
    folding.add(TakeBack(Kind.BUDGET), 0.0)
    assert len(folding.due(0.0)) == 1


def test_taking_back_leaves_other_sorts_of_its_kind() -> None:
    folding = Folding(0.0)
    folding.add(message(Kind.LIMIT), 0.0)
    folding.due(0.0)
    folding.add(message(Kind.LIMIT, "a limit", sort="limited"), 1.0)
    folding.add(message(Kind.LIMIT, "overloaded", settle=60.0, sort="overloaded"), 2.0)
    folding.add(TakeBack(Kind.LIMIT), 3.0)
    assert [(one.text, one.details) for one in folding.due(KIND_SECONDS)] == [("a limit", ())]


def test_a_message_takes_back_those_of_another_kind() -> None:
    folding = Folding(0.0)
    folding.add(message(Kind.LIMIT, "overloaded", settle=60.0), 0.0)
    folding.add(message(Kind.NEEDS_YOU, "waits", settle=10.0, takes_back=Kind.LIMIT), 5.0)
    assert [one.text for one in folding.rest(6.0)] == ["waits"]


def test_a_flood_does_not_hide_that_the_sandbox_is_closed() -> None:
    folding = Folding(0.0)
    now = 0.0
    for number in range(100):  # more kinds than the budget of an hour allows
        now = number * KIND_SECONDS / 10
        folding.add(message(list(Kind)[number % 3]), now)
        folding.due(now)
    folding.add(message(Kind.CLOSED, "closed", Urgency.URGENT), now)
    assert "closed" in [one.text for one in folding.due(now)]


def test_the_end_takes_everything() -> None:
    folding = Folding(0.0)
    folding.add(message(), 0.0)
    folding.due(0.0)
    folding.add(message(), 1.0)
    folding.add(message(Kind.NEEDS_YOU, settle=10.0), 1.0)
    assert {one.kind for one in folding.rest(2.0)} == {Kind.REFUSED, Kind.NEEDS_YOU}
    assert folding.rest(2.0) == ()


STEP = st.tuples(st.sampled_from(list(Kind)), st.sampled_from(list(Urgency)), st.floats(0.0, 400.0), st.integers(1, 5))


@given(st.lists(STEP, max_size=200))
def test_whatever_comes_is_bounded_and_counted(steps: list[tuple[Kind, Urgency, float, int]]) -> None:
    folding, now, put, taken, notifications = Folding(0.0), 0.0, 0, 0, 0
    for kind, urgency, pause, count in steps:
        now += pause
        folding.add(message(kind, urgency=urgency, count=count), now)
        put += count
        due = folding.due(now)
        notifications += bool(due)
        taken += sum(one.count for one in due)
        wait = folding.wait(now)
        assert wait is None or wait > 0 or folding.due(now) == ()
    taken += sum(one.count for one in folding.rest(now))
    assert taken == put
    assert notifications <= BURST + URGENT_BURST + (PER_HOUR + URGENT_PER_HOUR) * now / HOUR + 1


@given(st.lists(STEP, min_size=1, max_size=40))
def test_waiting_for_as_long_as_it_says_makes_progress(steps: list[tuple[Kind, Urgency, float, int]]) -> None:
    folding, now = Folding(0.0), 0.0
    for kind, urgency, pause, count in steps:
        now += pause
        folding.add(message(kind, urgency=urgency, count=count), now)
    for _ in range(3 * len(Kind) + 1):
        wait = folding.wait(now)
        if wait is None:
            return
        now += wait
        folding.due(now)
    assert folding.wait(now) is None
