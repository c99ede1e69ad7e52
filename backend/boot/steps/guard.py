"""The guard: the only one that may ask the upstream, and the only one that opens addresses."""

from __future__ import annotations

from backend.boot.context import Boot
from backend.guard.channel import Configure, ListedName
from backend.settings.values import GateMode
from network.allowlist import Allowlist


async def run(boot: Boot) -> str:
    await boot.services.guard.start()
    await boot.services.configure(configuration(boot, boot.allowlist))
    return f"pid {boot.services.guard.pid}"


def configuration(boot: Boot, allowlist: Allowlist) -> Configure:
    """What the guard has to know of a list."""
    entries = tuple(
        ListedName(entry.name, entry.below, tuple((port.number, str(port.check)) for port in entry.ports), entry.source)
        for entry in allowlist.entries
    )
    return Configure(
        0, entries, boot.upstreams, keep_seconds=boot.settings.keep_seconds, refresh_seconds=boot.settings.refresh_seconds,
        gate=boot.settings.gate is GateMode.ON,
    )  # fmt: skip
