"""The answers to `codetainer notify`."""

from __future__ import annotations

from typing import Any, cast

from backend.contract.control import Notify, Reply
from backend.contract.events import NotificationsMeasured
from backend.notify.messages import Kind
from backend.notify.notifier import Notifier, Tested
from backend.notify.protocol import Outcome
from backend.supervision import notifications
from tests.unit.backend.supervision.target import Notifying


async def reply(notifier: Any, state: NotificationsMeasured | None = None, *, test: bool = False) -> Reply:
    return await notifications.notify_reply(Notify(test=test), cast(Notifier, notifier), state)


async def test_a_test_message_explains_each_failure() -> None:
    notifier = Notifying()
    notifier.results = (
        Tested("address 1 (ntfys)", Outcome.DELIVERED),
        Tested("address 2 (jsons)", Outcome.REDIRECT),
        Tested("address 3 (mailtos)", Outcome.LOGIN),
    )
    found = await reply(notifier, test=True)
    assert not found.ok
    assert found.text.splitlines() == [
        "address 1 (ntfys): delivered",
        f"address 2 (jsons): not delivered: {Outcome.REDIRECT.words}",
        f"address 3 (mailtos): not delivered: {Outcome.LOGIN.words}",
    ]
    assert found.hint == f"{Outcome.REDIRECT.remedy} {Outcome.LOGIN.remedy}"
    assert found.data["addresses"][1] == {
        "address": "address 2 (jsons)",
        "delivered": False,
        "reason": Outcome.REDIRECT.words,
    }


async def test_a_report_is_sent_with_its_lines() -> None:
    notifier = Notifying()
    found = await notifications.notify_reply(
        Notify(report="the night\n\n  3 commits @everyone\n"), cast(Notifier, notifier), None
    )
    assert not found.ok
    (message,) = notifier.sent
    assert (message.kind, message.details) == (Kind.REPORT, ("the night", "3 commits @\N{ZERO WIDTH SPACE}everyone"))


async def test_the_state_of_the_deliveries() -> None:
    assert (await reply(Notifying())).text == "0 delivered"
    failing = NotificationsMeasured(1, 5, 1795910400.0, 2, {"address 1 (ntfys)": "the connection was refused"}, 7.0, 3)
    found = await reply(Notifying(), failing)
    assert not found.ok
    assert found.text.splitlines() == [
        "5 delivered, the last at 2026-11-29 00:00:00 UTC",
        "address 1 (ntfys): failing: the connection was refused",
        "2 waiting, next try with growing pauses",
        "3 dropped, because too many waited",
    ]
