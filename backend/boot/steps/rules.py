"""The full ruleset: who may open which flows. Still nothing is open: the sets are empty until the guard fills them."""

from __future__ import annotations

import ipaddress

from backend import system
from backend.boot.context import Boot
from backend.boot.plan import StepFailed
from backend.contract.paths import Paths
from backend.guard import upstream
from backend.system import SystemFailure
from backend.variables import GateMode
from network import ruleset
from network.ruleset import COREDNS_ADDRESS, Rules


async def run(boot: Boot) -> str:
    boot.upstreams = boot.settings.upstreams or nameservers(boot.paths)
    if not boot.upstreams:
        raise StepFailed("no upstream resolver: /etc/resolv.conf names none", "set CODETAINER_UPSTREAM")
    await load(boot)
    return "upstream " + ", ".join(boot.upstreams)


async def load(boot: Boot) -> None:
    """Loads the table in one transaction. What was open has to be put back by the guard (Configure does)."""
    with_gate = boot.settings.gate is GateMode.ON
    resolvers = tuple(upstream.parse(text)[0] for text in boot.upstreams)
    rules = Rules(
        upstreams=resolvers,
        inbound=boot.settings.inbound_ports,
        with_gate=with_gate,
        ssh=boot.settings.open_ssh_port,
        metrics=boot.settings.metrics,
        flows=flows(boot.paths),
    )
    try:
        await system.run_async(["nft", "-f", "-"], input=ruleset.render(rules))
    except SystemFailure as error:
        remedy = "is nat missing in this kernel? CODETAINER_GATE=off does without it, and without names" if with_gate else ""
        raise StepFailed(f"cannot load the firewall: {error}", remedy) from error


def flows(paths: Paths) -> int:
    """How many flows the kernel remembers at once."""
    try:
        return int((paths.root / "proc/sys/net/netfilter/nf_conntrack_max").read_text())
    except (OSError, ValueError):
        return ruleset.FLOWS


def nameservers(paths: Paths, *, keep: bool = True) -> tuple[str, ...]:
    """The machine's own resolvers, IPv4 only: the rules let nothing else out."""
    found: list[str] = []
    kept = paths.run / "upstreams"  # a second boot finds our own address in resolv.conf
    for source in (paths.resolv_conf, kept):
        try:
            lines = source.read_text(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if len(words) > 1 and words[0] == "nameserver":
                try:
                    address = str(ipaddress.IPv4Address(words[1]))
                except ValueError:
                    continue
                if address != COREDNS_ADDRESS and address not in found:
                    found.append(address)
    if found and keep:
        system.write(kept, "".join(f"nameserver {address}\n" for address in found), mode=0o600)
    return tuple(found)
