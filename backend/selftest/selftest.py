"""The walls, proved by trying: at boot, every few minutes, and after each change of rules or services."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from backend.agent import agent
from backend.context import Boot
from backend.contract.events import ProofFinished
from backend.guard import upstream
from backend.guard.channel import Explain
from backend.settings.values import GateMode, Seccomp
from backend.system import Finished, SystemFailure
from network.allowlist import Check
from network.firewall.ruleset import COREDNS_ADDRESS

OUTSIDE = ("192.0.2.1", 443)  # TEST-NET-1: nobody answers there, and it is on no list
SECONDS = 20.0
MAX_TEXT = 500  # characters
MAX_WALLS = 64
SHORTEST = 8  # what is shorter is no credential, and may stand anywhere
LISTED = "listed host"
RESOLVER = "resolver"
REMEDY = "Run codetainer check to see what the kernel lacks, and codetainer logs for what went before."


@dataclass(frozen=True, slots=True)
class Proof:
    """What was tried. `broken` are walls that did not hold; `silent` says why the resolver gave no answer, or "", and
    `unreachable` why no listed host did: neither lets anything out.
    """

    tried: int
    broken: tuple[str, ...]
    silent: str
    unreachable: str
    results: Mapping[str, str] = field(default_factory=dict)  # by probe, "" where it held

    @property
    def event(self) -> ProofFinished:
        return ProofFinished(self.tried, self.broken, REMEDY if self.broken else "", self.results)


async def prove(boot: Boot, *, listed: bool = True) -> Proof:
    """Tries everything as the agent. Raises SystemFailure where it cannot be tried, which is no better than a broken wall."""
    resolver = next((upstream.parse(text)[0] for text in boot.policy.upstreams), None)
    name = f"{secrets.token_hex(8)}.probe.example"
    boot.expected.add(("dns", name, 0), ("tcp", *OUTSIDE))
    if resolver is not None:
        boot.expected.add(("udp", resolver.address, resolver.port))
    site = await _open_site(boot) if boot.settings.gate is GateMode.ON else None
    if boot.settings.open_ssh_port:
        boot.expected.add(("tcp", "127.0.0.1", boot.settings.open_ssh_port))
    if site is not None:
        boot.expected.add(("tcp", name, site[1]))
    asked = {
        "name": name,
        "resolver": [COREDNS_ADDRESS, 53],
        "outside": OUTSIDE,
        "upstream": [resolver.address, resolver.port] if resolver else None,
        "site": site,
        "listed": reachable(boot) if listed else None,
        "platform": str(boot.paths.fly),
        "ssh": boot.settings.open_ssh_port,
        "seccomp": boot.settings.seccomp is Seccomp.ON,
    }
    probe = Path(__file__).with_name("probe.py")
    # -S: nothing of the virtual environment is needed, and the agent waits for this at boot.
    done = await agent.run(
        [str(boot.paths.python), "-I", "-S", str(probe), json.dumps(asked)], agent_minimum(), seconds=SECONDS
    )
    try:
        found = results(done)
    except ValueError as error:
        raise SystemFailure(f"cannot try the walls: {done.last_line[:MAX_TEXT]}", REMEDY) from error
    if boot.settings.outside:
        found["credentials"] = credentials_inside(boot)
    broken = tuple(text for name, text in found.items() if text and name not in (LISTED, RESOLVER))
    return Proof(len(found), broken, found.get(RESOLVER, ""), found.get(LISTED, ""), found)


def results(done: Finished) -> dict[str, str]:
    """What the probe found, by wall. Raises ValueError for what no probe says: others of its uid may have said it."""
    said = done.value()
    if not isinstance(said, dict) or not all(isinstance(text, str) for text in said.values()) or len(said) > MAX_WALLS:
        raise ValueError("no results")
    return {name[:MAX_TEXT]: text[:MAX_TEXT] for name, text in said.items()}


def credentials_inside(boot: Boot) -> str:
    """Why what the agent's session is given holds more than placeholders; "" where it does not."""
    secrets = [value for value in boot.settings.secrets.by_variable.values() if len(value) >= SHORTEST]
    given = {f"its environment ({name})": value for name, value in boot.agent_environment.items()}
    with contextlib.suppress(OSError):
        for file in boot.paths.gh_config.iterdir():
            given[f"{file.name} of gh's configuration"] = file.read_text(errors="replace")
    for place, text in given.items():
        if any(secret in text for secret in secrets):
            return f"the agent is given a credential in {place}"
    return ""


def reachable(boot: Boot) -> list[tuple[str, int]]:
    """Listed hosts worth trying: the repository's first, then the first few of the list that speak TLS."""
    names = [host] if (host := urlsplit(boot.settings.repo_url).hostname) else []
    names += [e.name for e in boot.policy.listed.entries if not e.below and any(p.check is Check.TLS for p in e.ports)][:3]
    return [(name, 443) for name in dict.fromkeys(names) if boot.policy.listed.match(name)]


async def _open_site(boot: Boot) -> tuple[str, int] | None:
    """An address that is open now, for TLS; None where the guard knows none or does not answer (watched elsewhere)."""
    for name, port in reachable(boot):
        try:
            known = await boot.services.guard.ask(Explain(f"{name}:{port}"), seconds=2.0)
        except SystemFailure:
            return None
        addresses = known.data.get("addresses") or ()
        if addresses:
            return str(addresses[0]), port
    return None


def agent_minimum() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
