"""Loads the full ruleset. All addresses stay closed until the guard adds them to the sets."""

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
from network.firewall.ruleset import COREDNS_ADDRESS, DOCKER_ADDRESS, Rules, Upstream


async def run(boot: Boot) -> str:
    system_resolvers = resolvers(boot.paths)
    upstreams = boot.settings.upstreams or system_resolvers.nameservers
    if not upstreams:
        raise StepFailed(_no_upstream(system_resolvers), "Set CODETAINER_UPSTREAM to the IPv4 address of a resolver.")
    if DOCKER_ADDRESS in upstreams:
        boot.docker_servers = system_resolvers.external.ipv4 if system_resolvers.external else ()
        # With several upstreams, boot does not depend on Docker's resolver.
        boot.docker_problem = system_resolvers.forwarding_problem if upstreams == (DOCKER_ADDRESS,) else ""
    await boot.policy.use_upstreams(upstreams)
    await load(boot)
    return "upstream " + ", ".join(boot.policy.upstreams) + _forwarded(boot)


def _no_upstream(system_resolvers: ResolvConf) -> str:
    if not system_resolvers.ipv6:
        return "no upstream resolver: /etc/resolv.conf names none"
    addresses = ", ".join(system_resolvers.ipv6)
    return f"no upstream resolver: /etc/resolv.conf names only IPv6 addresses ({addresses}), and the sandbox blocks IPv6"


def _forwarded(boot: Boot) -> str:
    if DOCKER_ADDRESS not in boot.policy.upstreams:
        return ""
    if boot.docker_problem:
        return f" (Docker's; {boot.docker_problem})"
    return f" (Docker's, which forwards to {', '.join(boot.docker_servers)})" if boot.docker_servers else " (Docker's)"


async def load(boot: Boot) -> None:
    """Loads the table in one transaction. Afterwards, Configure makes the guard restore the open addresses."""
    with_gate = boot.settings.gate is GateMode.ON
    rules = Rules(
        upstreams=tuple(upstream.parse(text)[0] for text in boot.policy.upstreams),
        docker_servers=boot.docker_servers,
        inbound=boot.settings.inbound_ports,
        with_gate=with_gate,
        ssh=boot.settings.open_ssh_port,
        metrics=boot.settings.metrics,
        notify=for_notifications(boot),
        flows=flows(boot.paths),
    )
    try:
        await system.run_async(["nft", "-f", "-"], input=ruleset.render(rules))
    except SystemFailure as error:
        remedy = (
            "Set CODETAINER_GATE=off if this kernel has no NAT; connections are then not checked by name." if with_gate else ""
        )
        raise StepFailed(f"cannot load the firewall: {error}", remedy) from error


def upstreams(boot: Boot) -> tuple[str, ...]:
    """Returns the resolvers in use or, before this step has run, those that it will use."""
    return boot.policy.upstreams or boot.settings.upstreams or resolvers(boot.paths).nameservers


def for_notifications(boot: Boot) -> tuple[Upstream, ...] | None:
    """Returns the resolvers that a sender of notifications may query, None if there are none to send."""
    return tuple(upstream.parse(text)[0] for text in upstreams(boot)) if boot.settings.notify else None


def docker_servers(boot: Boot) -> tuple[str, ...]:
    """Returns the servers that Docker's resolver queries from inside this container, if it is in use."""
    external = resolvers(boot.paths).external if DOCKER_ADDRESS in upstreams(boot) else None
    return external.ipv4 if external else ()


def flows(paths: Paths) -> int:
    """Returns the size of the kernel's conntrack table, in flows."""
    try:
        return int((paths.root / "proc/sys/net/netfilter/nf_conntrack_max").read_text())
    except (OSError, ValueError):
        return ruleset.FLOWS


def resolvers(paths: Paths) -> ResolvConf:
    """Reads the resolvers from /etc/resolv.conf or, in a second boot, when it has only our own address, from a copy.

    If neither has a usable resolver, returns the unusable ones.
    """
    copy = paths.run / "upstreams"
    unusable = ResolvConf()
    for source in (paths.resolv_conf, copy):
        try:
            parsed = resolv_conf.parse(source.read_text(errors="replace"), ignored=(COREDNS_ADDRESS,))
        except OSError:
            continue
        if parsed.nameservers:
            system.write(copy, parsed.render(), mode=0o600)
            return parsed
        if parsed.ipv6:
            unusable = parsed
    return unusable
