"""Starts CoreDNS, the only resolver that the sandbox can query."""

from __future__ import annotations

import errno

from backend import system
from backend.context import Boot
from backend.contract.paths import Paths
from backend.system import SystemFailure
from network.firewall.ruleset import COREDNS_ADDRESS


async def run(boot: Boot) -> str:
    await boot.services.coredns.service.start()
    _point_at_it(boot.paths)
    return f"{len(boot.policy.allowlist.entries)} names"


def _point_at_it(paths: Paths) -> None:
    """Writes resolv.conf in place, because engines mount it; if that is read-only, mounts our own file over it."""
    text = f"nameserver {COREDNS_ADDRESS}\noptions timeout:5 attempts:2\n"
    try:
        system.write_in_place(paths.resolv_conf, text)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise SystemFailure(f"cannot point {paths.resolv_conf} at CoreDNS: {error.strerror}") from error
        system.write(paths.own_resolv_conf, text)
        system.bind(paths.own_resolv_conf, paths.resolv_conf)
