"""The gate: what reaches an open address passes it, and goes on where the name it asks for is on the list."""

from __future__ import annotations

from collections.abc import Iterator

from backend.boot.plan import StepSkipped
from backend.context import Boot
from backend.settings import credentials_file
from backend.settings.values import GateMode


async def run(boot: Boot) -> str:
    if boot.settings.gate is GateMode.OFF:
        raise StepSkipped("CODETAINER_GATE=off: listed hosts are held apart by their addresses alone")
    gate, settings = boot.services.gate, boot.settings
    if gate.proxy is not None:
        pushes = ", ".join(settings.writable) or "no repository"
        boot.say("gate", f"credentials for {len(gate.proxy.hosts)} hosts are put in outside; writes go to {pushes}")
        for line in _unused(boot):
            boot.say("gate", line)
    gate.much_out = settings.much_out
    await gate.service.start()
    return f"{len(gate.proxy.hosts)} hosts with credentials" if gate.proxy else "credentials inside"


def _unused(boot: Boot) -> Iterator[str]:
    """What the operator has described and nobody can use."""
    shipped = {host.name for host in credentials_file.shipped()}
    for host in boot.settings.hosts:
        missing = [c.variable for c in host.credentials if c.variable not in boot.settings.secrets.by_variable]
        if host.name in shipped:
            continue
        if missing:
            yield f"warning: {', '.join(missing)} is not set: {host.name} gets no credential of that name"
        if boot.policy.listed.match(host.name) is None:
            yield f"warning: {host.name} has a credential and is not on the list"
