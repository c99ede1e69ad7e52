"""The supervisor's periodic checks: of the services, and of the gate's certificates."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from backend.context import Boot
from backend.contract.events import (
    Event,
    NamesMeasured,
    Noted,
    ServiceState,
)
from backend.guard.channel import Ping
from backend.services.bundle import Services
from backend.services.coredns import http_get
from backend.services.gate import Gate
from backend.services.service import Service
from backend.system import SystemFailure
from network.dns import corefile, metrics
from network.dns.metrics import Measured

SECOND = 1.0
GUARD_SECONDS = 10.0
CERTIFICATE_SECONDS = 60.0
CARRIED_TICKS = 3  # every third check of the gate reports the traffic
PATIENCE = 3  # checks in a row without an answer until a service counts as unresponsive: CoreDNS may miss one in a reload


async def services(services: Services, boot: Boot, emit: Callable[[Event], None], changed: Callable[[], None]) -> None:
    """Checks the services once a second, and reports refusals. Calls `changed` when a service has come back."""
    measured: NamesMeasured | None = None
    before = Measured()
    ticks = 0
    pids: dict[str, int] = {}  # the count of restarts starts again after a while, so it does not show the next restart
    missed = missed_gate = 0
    while True:
        for _ in range(2):  # refusals twice a second, because Claude's hook waits for them
            await asyncio.sleep(SECOND / 2)
            for event in (
                *services.coredns.take_refused(),
                *services.gate.take_refused(),
                *services.gate.log.cookies.take(),
                *services.gate.log.writes.take(),
                *services.reader.take_used(),
            ):
                emit(event)
        if services.gate.service.pid:
            missed_gate = 0 if await _carried(services, emit, say=ticks % CARRIED_TICKS == 0) else missed_gate + 1
            _judge(services.gate.service, missed_gate, "its admin socket does not answer")
        for service in services.kept:
            if service.state is ServiceState.UP and pids.setdefault(service.name, service.pid) != service.pid:
                pids[service.name] = service.pid
                changed()
        if services.coredns.service.pid:
            found, now = await _names(before, boot)
            missed = 0 if found is not None else missed + 1
            _judge(services.coredns.service, missed, "its metrics do not answer")
            if found is not None and (measured is None or _differs(found, measured)):
                emit(found)
                measured = found
            before = now
        ticks += 1
        if ticks % int(GUARD_SECONDS) == 0 and services.guard.service.pid:
            await _ask_guard(services)
        if ticks % int(GUARD_SECONDS) == 0 and services.reader.service.pid:
            await _ask_reader(services)


def _judge(service: Service, missed: int, why: str) -> None:
    if missed == 0 and service.state is ServiceState.UNRESPONSIVE:
        service.changed(ServiceState.UP)
    elif missed >= PATIENCE and service.pid and service.state is ServiceState.UP:
        service.changed(ServiceState.UNRESPONSIVE, why)


async def _carried(services: Services, emit: Callable[[Event], None], *, say: bool) -> bool:
    """True if the gate answers. With `say`, reports its traffic."""
    try:
        if not say:
            await services.gate.ask("show version")
            return True
        changed, lost = await services.gate.take_carried(), await services.gate.take_lost()
    except SystemFailure:
        return False
    for event in (*changed, *lost):
        emit(event)
    return True


async def certificates(gate: Gate, valid: float, emit: Callable[[Event], None]) -> None:
    """Renews the gate's certificates in time. Checks often, because the clock may be set and the machine may sleep."""
    said = ""
    while True:
        await asyncio.sleep(min(CERTIFICATE_SECONDS, valid / 10))
        if gate.trust.due:
            try:
                await gate.renew()
            except SystemFailure as error:
                if str(error) != said:
                    emit(Noted("error", str(error)))
                said = str(error)
            else:
                said = ""
                emit(Noted("info", "the gate's certificates were renewed; programs started earlier may not trust them"))


async def _names(before: Measured, boot: Boot) -> tuple[NamesMeasured | None, Measured]:
    try:
        _, text = await http_get(corefile.METRICS_PORT, "/metrics")
    except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
        return None, before
    now = metrics.parse(text)
    answers = now.answers - before.answers
    latency = (now.answer_seconds - before.answer_seconds) / answers * 1000 if answers > 0 else 0.0
    return NamesMeasured(now.queries, now.cache_hits, now.nxdomain, round(latency, 2), boot.policy.upstreams), now


def _differs(one: NamesMeasured, other: NamesMeasured) -> bool:
    return (one.queries, one.cache_hits, one.unlisted) != (other.queries, other.cache_hits, other.unlisted)


async def _ask_reader(services: Services) -> None:
    """Restarts a reader that does not answer, because no request to the model passes without it."""
    reader = services.reader.service
    try:
        await services.reader.order()
    except SystemFailure as error:
        if reader.pid and reader.state is ServiceState.UP:
            reader.changed(ServiceState.UNRESPONSIVE, str(error))
            reader.signal(signal.SIGKILL)


async def _ask_guard(services: Services) -> None:
    guard = services.guard.service
    try:
        await services.guard.ask(Ping(), seconds=5.0)
    except SystemFailure as error:
        if guard.pid and guard.state is ServiceState.UP:
            guard.changed(ServiceState.UNRESPONSIVE, str(error))
        return
    if guard.state is ServiceState.UNRESPONSIVE:
        guard.changed(ServiceState.UP)
