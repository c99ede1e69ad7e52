"""Closes the network, before any other step runs."""

from __future__ import annotations

from backend import system
from backend.boot.plan import StepFailed
from backend.boot.steps import rules
from backend.context import Boot
from backend.system import SystemFailure
from network.firewall import ruleset


async def run(boot: Boot) -> str:
    """Loads the default-deny ruleset in one transaction. Does not touch Docker's NAT table."""
    settings = boot.settings
    notify = rules.for_notifications(boot)
    servers = rules.docker_servers(boot) if notify is not None else ()
    text = ruleset.closed(settings.open_ssh_port, settings.metrics, notify, servers)
    try:
        await system.run_async(["nft", "-f", "-"], input=text)
    except SystemFailure as error:
        raise StepFailed(
            f"cannot close the network: {error}",
            "Run codetainer check: the kernel needs nf_tables, and boot needs CAP_NET_ADMIN.",
        ) from error
    return "default deny"
