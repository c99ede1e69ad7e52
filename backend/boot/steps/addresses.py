"""The list is opened: every plain entry is resolved once, so that nothing in use begins cold."""

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
        raise StepWarned(done.text, "Run codetainer status to see which; a name that nothing uses may stay that way.")
    return done.text
