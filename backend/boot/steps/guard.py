"""The guard: the only one that may ask the upstream, and the only one that opens addresses."""

from __future__ import annotations

from backend.context import Boot


async def run(boot: Boot) -> str:
    await boot.services.guard.service.start()
    return f"pid {boot.services.guard.service.pid}"
