"""The services, looked at again and again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from backend.context import Boot
from backend.contract.events import Event, ServiceState
from backend.services.bundle import Services
from backend.services.cookies import Cookies
from backend.services.writes import Writes
from backend.supervision import watch


async def test_each_time_a_service_came_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the second time: the count of its restarts begins anew when it has been up for a while."""
    monkeypatch.setattr(watch, "SECOND", 0.0)
    coredns = SimpleNamespace(name="coredns", pid=10, state=ServiceState.UP, restarts=0)
    away = SimpleNamespace(pid=0)
    services: Any = SimpleNamespace(
        gate=SimpleNamespace(take_refused=list, log=SimpleNamespace(cookies=Cookies(), writes=Writes()), service=away),
        coredns=SimpleNamespace(take_refused=list, service=away),
        guard=SimpleNamespace(service=away),
        reader=SimpleNamespace(service=away, take_used=list),
        kept=(coredns,),
    )
    told: list[int] = []
    events: list[Event] = []
    watching = asyncio.create_task(
        watch.services(cast(Services, services), cast(Boot, None), events.append, lambda: told.append(coredns.pid))
    )
    for pid, restarts in ((10, 0), (11, 1), (12, 1)):
        coredns.pid, coredns.restarts = pid, restarts
        for _ in range(20):
            await asyncio.sleep(0)
    watching.cancel()
    assert told == [11, 12]
