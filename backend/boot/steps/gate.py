"""Certificates and the gate: what reaches an open address passes it, and goes on where the name it asks for is on the list."""

from __future__ import annotations

from backend.boot.context import Boot
from backend.boot.plan import StepSkipped
from backend.settings import GateMode


async def run(boot: Boot) -> str:
    if boot.settings.gate is GateMode.OFF:
        raise StepSkipped("CODETAINER_GATE=off: listed hosts are held apart by their addresses alone")
    gate, settings = boot.services.gate, boot.settings
    if settings.outside and gate.ends is None:  # a second boot finds the root read-only, and its certificates still good
        hosts = gate.prepare(settings.secrets.by_variable(), settings.writable, boot.paths.ca_bundle)
        pushes = ", ".join(settings.writable) or "no repository"
        boot.say("gate", f"credentials for {hosts} hosts are put in outside; writes go to {pushes}")
    gate.much_out = settings.much_out
    await gate.change(boot.allowlist)
    await gate.service.start()
    return f"{len(gate.ends.hosts)} hosts with credentials" if gate.ends else "credentials inside"
