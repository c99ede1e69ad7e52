"""The very first step: nothing leaves and nothing enters, before anything else runs."""

from __future__ import annotations

from backend import system
from backend.boot.plan import StepFailed
from backend.context import Boot
from backend.system import SystemFailure
from network.firewall import ruleset


async def run(boot: Boot) -> str:
    """Loads the default-deny ruleset in one transaction. Docker's own nat table is left as it is."""
    try:
        await system.run_async(["nft", "-f", "-"], input=ruleset.closed(boot.settings.open_ssh_port, boot.settings.metrics))
    except SystemFailure as error:
        raise StepFailed(
            f"cannot close the network: {error}",
            "Run codetainer check: the kernel needs nf_tables, and boot needs CAP_NET_ADMIN.",
        ) from error
    return "default deny"
