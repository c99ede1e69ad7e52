"""Starts the guard, the only process that may query the upstream and open addresses."""

from __future__ import annotations

from backend.context import Boot


async def run(boot: Boot) -> str:
    await boot.services.guard.service.start()
    return f"pid {boot.services.guard.service.pid}"
