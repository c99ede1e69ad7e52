"""Tasks of the supervisor run for its whole life: an error is reported, and ends none of them."""

from __future__ import annotations

import asyncio

from backend.contract.events import Event, Noted
from backend.supervision.supervisor import going_on


async def test_what_ends_by_an_error_is_begun_again_and_the_same_error_is_said_once() -> None:
    events: list[Event] = []
    begun, on = 0, asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun <= 3:
            raise OSError(24, "Too many open files")
        on.set()
        await asyncio.sleep(3600)

    task = asyncio.create_task(going_on(work, events.append, 0.0))
    await asyncio.wait_for(on.wait(), 30)
    task.cancel()
    (said,) = events
    assert isinstance(said, Noted)
    assert (said.level, said.text.endswith("OSError: [Errno 24] Too many open files")) == ("error", True)
