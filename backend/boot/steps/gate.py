"""Starts the gate, which every connection to a checked port must pass, and which lets only listed names through."""

from __future__ import annotations

from collections.abc import Iterator

from backend.boot.plan import StepSkipped
from backend.context import Boot
from backend.settings import credentials_file
from backend.settings.values import GateMode
from network.gate import credentials
from network.gate.references import References


async def run(boot: Boot) -> str:
    if boot.settings.gate is GateMode.OFF:
        raise StepSkipped("CODETAINER_GATE=off: connections are checked only by address")
    gate, settings = boot.services.gate, boot.settings
    if settings.outside and gate.proxy is not None:
        pushes = ", ".join(settings.writable) or "no repository"
        boot.say("gate", f"inserts credentials for {len(gate.proxy.hosts)} hosts; writes go to {pushes}")
        if settings.references is References.REFUSE:
            boot.say("gate", "refuses references to other repositories and mentions (CODETAINER_REFERENCES)")
        for line in _unused(boot):
            boot.say("gate", line)
    gate.much_out = settings.much_out
    if gate.proxy is not None and gate.proxy.reads_requests:
        boot.services.reader.tools = settings.model_tools
        boot.services.reader.placeholders = credentials.placeholders(settings.hosts)
        boot.services.reader.begin(settings.budget)
        await boot.services.reader.service.start()
        if settings.model_tools:
            boot.say("gate", f"the model may use {', '.join(settings.model_tools)} (CODETAINER_MODEL_TOOLS)")
    await gate.service.start()
    return f"{len(gate.proxy.hosts)} hosts with credentials" if settings.outside and gate.proxy else "credentials inside"


def _unused(boot: Boot) -> Iterator[str]:
    """Yields warnings about the operator's credentials that cannot be used."""
    shipped = {host.name for host in credentials_file.shipped()}
    for host in boot.settings.hosts:
        missing = [c.variable for c in host.credentials if c.variable not in boot.settings.secrets.by_variable]
        if host.name in shipped:
            continue
        if missing:
            yield f"warning: {', '.join(missing)} is not set, so {host.name} gets no such credential"
        if boot.policy.listed.match(host.name) is None:
            yield f"warning: {host.name} has a credential but is not on the allowlist"
