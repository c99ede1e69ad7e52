"""Resolves every entry without a wildcard once, so that its addresses are open before the first connection."""

from __future__ import annotations

from backend.boot.plan import StepWarned
from backend.context import Boot
from backend.guard.channel import Refresh


async def run(boot: Boot) -> str:
    done = await boot.services.guard.ask(Refresh(), seconds=25.0)
    failed = int(done.data.get("failed", 0))
    if failed and not int(done.data.get("resolved", 0)):
        raise StepWarned(done.text, boot.other_resolvers)
    if failed:
        raise StepWarned(done.text, "Run codetainer status to see which names failed, and ignore those that nothing needs.")
    return done.text
