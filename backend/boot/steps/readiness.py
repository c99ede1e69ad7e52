"""Every wall is tried from the inside before the agent is let in."""

from __future__ import annotations

from backend.boot.plan import StepFailed, StepWarned
from backend.context import Boot
from backend.selftest import selftest


async def run(boot: Boot) -> str:
    found = await selftest.prove(boot)
    boot.emit(found.event)
    if found.broken:
        raise StepFailed("; ".join(found.broken), selftest.REMEDY)
    if found.silent:
        raise StepFailed(found.silent, "Run codetainer logs to see the state of CoreDNS.")
    if found.unreachable:
        raise StepWarned(found.unreachable, boot.other_resolvers)
    return f"{found.tried} walls tried"
