"""Makes certificates for the hosts whose TLS terminates at the gate, in a process that runs while the allowlist is read."""

from __future__ import annotations

from backend.boot.plan import StepSkipped
from backend.context import Boot


async def run(boot: Boot) -> str:
    gate, settings = boot.services.gate, boot.settings
    if not settings.outside:
        gate.trust.without_gate()
        raise StepSkipped("no credentials at the gate, so it terminates no TLS")
    gate.trust.valid = settings.certificate_seconds
    hosts = await gate.prepare(settings.hosts, settings.secrets.by_variable, settings.writable)
    return f"{hosts} hosts"
