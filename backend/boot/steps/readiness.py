"""Every wall is tried from the inside before the agent is let in."""

from __future__ import annotations

from backend.boot.context import Boot
from backend.boot.plan import StepFailed, StepWarned
from backend.supervision import proof


async def run(boot: Boot) -> str:
    found = await proof.prove(boot)
    boot.emit(found.event)
    if found.broken:
        raise StepFailed("; ".join(found.broken), proof.REMEDY)
    if found.silent:
        raise StepFailed(found.silent, "Run codetainer logs to see the state of CoreDNS.")
    if found.unreachable:
        raise StepWarned(found.unreachable, boot.other_resolvers)
    return f"{found.tried} walls tried"
