"""CoreDNS: policy for names. The sandbox asks it and nobody else."""

from __future__ import annotations

from backend import system
from backend.boot.context import Boot
from network.ruleset import COREDNS_ADDRESS


async def run(boot: Boot) -> str:
    boot.services.write_corefile(boot.allowlist)
    await boot.services.coredns.start()
    system.write_in_place(boot.paths.resolv_conf, f"nameserver {COREDNS_ADDRESS}\noptions timeout:5 attempts:2\n")
    return f"{len(boot.allowlist.entries)} names"
