"""Messages for a service that cannot be reached: kept within bounds, tried with growing pauses, delivered once."""

from __future__ import annotations

from backend.notify.messages import Kind, Message, Urgency
from backend.notify.outbox import LONGEST_PAUSE, MAX_WAITING, Outbox
from backend.notify.protocol import Outcome


def message(number: int, urgency: Urgency = Urgency.NORMAL) -> Message:
    return Message(Kind.REFUSED, urgency, f"number {number}", float(number))


def test_pauses_grow_to_a_limit_and_the_first_delivery_ends_them() -> None:
    box, now, pauses = Outbox(), 0.0, []
    box.put([message(1)])
    for _ in range(12):
        assert box.wait(now) == 0.0
        box.tried(box.waiting, Outcome.REFUSED, now, 1000.0 + now)
        pauses.append(box.wait(now) or 0.0)
        now += pauses[-1]
    assert pauses[:4] == [10.0, 20.0, 40.0, 80.0]
    assert pauses[-1] == LONGEST_PAUSE
    assert (box.failing_since, box.outcome) == (1000.0, Outcome.REFUSED)
    box.tried(box.waiting, Outcome.DELIVERED, now, 2000.0)
    assert (box.waiting, box.failing_since, box.delivered, box.delivered_at) == ([], 0.0, 1, 2000.0)
    assert box.wait(now) is None


def test_messages_that_came_during_a_delivery_stay() -> None:
    box = Outbox()
    box.put([message(1), message(2)])
    batch = tuple(box.waiting)
    box.put([message(3), message(3)])
    box.tried(batch, Outcome.DELIVERED, 0.0, 1.0)
    assert [one.text for one in box.waiting] == ["number 3", "number 3"]


def test_the_least_urgent_and_oldest_are_dropped_and_counted() -> None:
    box = Outbox()
    box.put([message(0, Urgency.URGENT)])
    box.put([message(number) for number in range(1, MAX_WAITING + 5)])
    assert len(box.waiting) == MAX_WAITING
    assert box.waiting[0].text == "number 0"
    assert box.waiting[1].text == "number 6"
    assert (box.dropped, box.lost) == (5, 5)
    box.tried(box.waiting, Outcome.DELIVERED, 0.0, 1.0)
    assert (box.dropped, box.lost) == (5, 0)  # the delivery has reported them
