"""The walls, proved by trying: at boot, every few minutes, and after each change of rules or services."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from backend import hooks
from backend.boot import agent
from backend.boot.context import Boot
from backend.guard import upstream
from backend.system import SystemFailure
from backend.variables import GateMode, Seccomp
from network.allowlist import Check
from network.ruleset import COREDNS_ADDRESS

OUTSIDE = ("192.0.2.1", 443)  # TEST-NET-1: nobody answers there, and it is on no list
SECONDS = 20.0
LISTED = "listed host"
RESOLVER = "resolver"
REMEDY = "codetainer check names what the kernel lacks; codetainer logs shows what went before"


@dataclass(frozen=True, slots=True)
class Proof:
    """What was tried. `broken` are walls that did not hold; `silent` says why the resolver gave no answer, or "", and
    `unreachable` why no listed host did: neither lets anything out.
    """

    tried: int
    broken: tuple[str, ...]
    silent: str
    unreachable: str


async def prove(boot: Boot, *, listed: bool = True) -> Proof:
    """Tries everything as the agent. Raises SystemFailure where it cannot be tried, which is no better than a broken wall."""
    resolver = next((upstream.parse(text)[0] for text in boot.upstreams), None)
    name = f"{secrets.token_hex(8)}.probe.example"
    boot.expected.add(("dns", name, 0), ("tcp", *OUTSIDE))
    if resolver is not None:
        boot.expected.add(("udp", resolver.address, resolver.port))
    site = await _open_site(boot) if boot.settings.gate is GateMode.ON else None
    if site is not None:
        boot.expected.add(("tcp", name, site[1]))
    asked = {
        "name": name,
        "resolver": COREDNS_ADDRESS,
        "outside": OUTSIDE,
        "upstream": [resolver.address, resolver.port] if resolver else None,
        "site": site,
        "listed": reachable(boot) if listed else None,
        "platform": str(boot.paths.fly),
        "seccomp": boot.settings.seccomp is Seccomp.ON,
    }
    probe = Path(hooks.__file__).with_name("probe.py")
    # -S: nothing of the virtual environment is needed, and the agent waits for this at boot.
    done = await agent.run(
        [str(boot.paths.python), "-I", "-S", str(probe), json.dumps(asked)], agent_minimum(), seconds=SECONDS
    )
    try:
        results = json.loads(done.out)
        found = {str(name): str(text) for name, text in results.items()}
    except (ValueError, AttributeError) as error:
        raise SystemFailure(f"cannot try the walls: {done.last_line}", REMEDY) from error
    broken = tuple(text for name, text in found.items() if text and name not in (LISTED, RESOLVER))
    return Proof(len(found), broken, found.get(RESOLVER, ""), found.get(LISTED, ""))


def reachable(boot: Boot) -> list[tuple[str, int]]:
    """Listed hosts worth trying: the repository's first, then the first few of the list that speak TLS."""
    names = [host] if (host := urlsplit(boot.settings.repo_url).hostname) else []
    names += [e.name for e in boot.allowlist.entries if not e.below and any(p.check is Check.TLS for p in e.ports)][:3]
    return [(name, 443) for name in dict.fromkeys(names) if boot.allowlist.match(name)]


async def _open_site(boot: Boot) -> tuple[str, int] | None:
    """An address that is open now, for TLS; None where the guard knows none or does not answer (watched elsewhere)."""
    for name, port in reachable(boot):
        try:
            known = await boot.services.do("explain", f"{name}:{port}", seconds=2.0)
        except SystemFailure:
            return None
        addresses = known.data.get("addresses") or ()
        if addresses:
            return str(addresses[0]), port
    return None


def agent_minimum() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
