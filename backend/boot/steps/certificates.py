"""Prepares the certificates for the hosts whose TLS terminates at the gate: a process starts while the allowlist is read."""

from __future__ import annotations

from backend.boot.plan import StepSkipped
from backend.context import Boot
from backend.settings.values import GateMode
from network.gate import model_api, references


async def run(boot: Boot) -> str:
    gate, settings = boot.services.gate, boot.settings
    if settings.gate is GateMode.OFF:
        gate.trust.without_gate()
        raise StepSkipped("CODETAINER_GATE=off: no TLS terminates")
    gate.trust.valid = settings.certificate_seconds
    hosts = settings.hosts if settings.outside else ()
    permitted = tuple(references.applied(model_api.permitting(h, settings.model_tools), settings.references) for h in hosts)
    number = await gate.prepare(permitted, settings.secrets.by_variable, settings.writable)
    return f"{number} hosts with credentials"
