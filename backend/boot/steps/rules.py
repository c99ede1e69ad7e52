"""The full ruleset: who may open which flows. Still nothing is open: the sets are empty until the guard fills them."""

from __future__ import annotations

from backend import system
from backend.boot.plan import StepFailed
from backend.context import Boot
from backend.contract.paths import Paths
from backend.guard import upstream
from backend.settings.values import GateMode
from backend.system import SystemFailure
from network.dns import resolv_conf
from network.dns.resolv_conf import ResolvConf
from network.firewall import ruleset
from network.firewall.ruleset import COREDNS_ADDRESS, DOCKER_ADDRESS, Rules


async def run(boot: Boot) -> str:
    found = resolvers(boot.paths)
    upstreams = boot.settings.upstreams or found.nameservers
    if not upstreams:
        raise StepFailed(
            "no upstream resolver: /etc/resolv.conf names none", "Set CODETAINER_UPSTREAM to the address of a resolver."
        )
    boot.docker_servers = found.external if DOCKER_ADDRESS in upstreams else ()
    await boot.policy.use_upstreams(upstreams)
    await load(boot)
    return "upstream " + ", ".join(boot.policy.upstreams) + _forwarded(boot)


def _forwarded(boot: Boot) -> str:
    if DOCKER_ADDRESS not in boot.policy.upstreams:
        return ""
    return f" (Docker's, which asks {', '.join(boot.docker_servers)})" if boot.docker_servers else " (Docker's)"


async def load(boot: Boot) -> None:
    """Loads the table in one transaction. What was open has to be put back by the guard (Configure does)."""
    with_gate = boot.settings.gate is GateMode.ON
    rules = Rules(
        upstreams=tuple(upstream.parse(text)[0] for text in boot.policy.upstreams),
        docker_servers=boot.docker_servers or (),
        inbound=boot.settings.inbound_ports,
        with_gate=with_gate,
        ssh=boot.settings.open_ssh_port,
        metrics=boot.settings.metrics,
        flows=flows(boot.paths),
    )
    try:
        await system.run_async(["nft", "-f", "-"], input=ruleset.render(rules))
    except SystemFailure as error:
        remedy = (
            "Set CODETAINER_GATE=off if this kernel has no nat; connections are then not checked by name." if with_gate else ""
        )
        raise StepFailed(f"cannot load the firewall: {error}", remedy) from error


def flows(paths: Paths) -> int:
    """How many flows the kernel remembers at once."""
    try:
        return int((paths.root / "proc/sys/net/netfilter/nf_conntrack_max").read_text())
    except (OSError, ValueError):
        return ruleset.FLOWS


def resolvers(paths: Paths) -> ResolvConf:
    """The resolvers of /etc/resolv.conf. A second boot finds our own address there, and reads what the first one kept."""
    kept = paths.run / "upstreams"
    for source in (paths.resolv_conf, kept):
        try:
            found = resolv_conf.parse(source.read_text(errors="replace"), ignored=(COREDNS_ADDRESS,))
        except OSError:
            continue
        if found.nameservers:
            system.write(kept, found.render(), mode=0o600)
            return found
    return ResolvConf()
