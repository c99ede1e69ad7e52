"""Runs the self-test before the agent starts."""

from __future__ import annotations

from backend.boot.plan import StepFailed, StepWarned
from backend.context import Boot
from backend.selftest import selftest


async def run(boot: Boot) -> str:
    result = await selftest.run(boot)
    boot.emit(result.event)
    if result.broken:
        raise StepFailed("; ".join(result.broken), selftest.REMEDY)
    if result.silent:
        raise StepFailed(result.silent, "Run codetainer logs to see the state of CoreDNS.")
    if result.unreachable:
        raise StepWarned(result.unreachable, boot.other_resolvers)
    return f"{result.tried} protections tested"
