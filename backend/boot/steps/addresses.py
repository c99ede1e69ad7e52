"""Resolves the entries without a wildcard once, so that names without an address are reported.

A query for a name resolves it and opens its addresses anyway, so boot waits for only some of a long allowlist. The guard
resolves the others after that, and reports those without an address in list.measured.
"""

from __future__ import annotations

from backend.boot.plan import StepWarned
from backend.context import Boot
from backend.guard.channel import Refresh

MAX_NAMES = 500  # a second or two


async def run(boot: Boot) -> str:
    done = await boot.services.guard.ask(Refresh(MAX_NAMES), seconds=25.0)
    failed = int(done.data.get("failed", 0))
    if failed and not int(done.data.get("resolved", 0)):
        raise StepWarned(done.text, boot.other_resolvers)
    if failed:
        raise StepWarned(done.text, "Run codetainer status to see which names failed, and ignore those that nothing needs.")
    return done.text
