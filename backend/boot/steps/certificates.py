"""Certificates for the hosts whose TLS ends at the gate. Making them takes a process: it runs while the list is read."""

from __future__ import annotations

from backend.boot.plan import StepSkipped
from backend.context import Boot


async def run(boot: Boot) -> str:
    gate, settings = boot.services.gate, boot.settings
    if not settings.outside:
        raise StepSkipped("the gate ends TLS for no host: it holds no credentials")
    gate.trust.valid = settings.certificate_seconds
    hosts = await gate.prepare(settings.hosts, settings.secrets.by_variable, settings.writable)
    return f"{hosts} hosts"
