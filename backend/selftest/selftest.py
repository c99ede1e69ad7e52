"""Runs the self-test of all protections: at boot, every few minutes, and after each change of rules or services."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from urllib.parse import urlsplit

from backend.agent import agent
from backend.context import Boot
from backend.contract.events import ProofFinished, ProtectionFailed
from backend.contract.immutable import dataclass
from backend.guard import upstream
from backend.guard.channel import Explain
from backend.notify.firewall import open_for
from backend.selftest import listeners
from backend.settings.values import GateMode, Seccomp
from backend.system import Finished, SystemFailure
from network.allowlist import Check
from network.firewall.ruleset import COREDNS_ADDRESS

OUTSIDE = ("192.0.2.1", 443)  # TEST-NET-1: no host answers there, and no entry opens it
NOTIFIED = ("192.0.2.1", 9443)  # stands for a notification service
SECONDS = 20.0
MAX_TEXT = 500  # characters
MAX_RESULTS = 64
MIN_CREDENTIAL = 8  # characters; a shorter value is not a credential, and would match ordinary text
LISTED = "listed host"
RESOLVER = "resolver"
REMEDY = "Run codetainer check to see what the kernel lacks, and codetainer logs for earlier events."
REDUCED = "learning run: public names open when they are asked for"
RETRY = "Run codetainer logs to find the cause, then codetainer retry to boot again."


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a self-test. `broken` has the problem of each protection that failed.

    `silent` is the reason why the resolver gave no answer, or ""; `unreachable` the reason why no listed host did. Neither lets
    any traffic out.
    """

    tried: int
    broken: tuple[str, ...]
    silent: str
    unreachable: str
    results: Mapping[str, str] = field(default_factory=dict)  # by probe, "" if the protection held
    reduced: str = ""  # why the protections mean less than usual

    @property
    def event(self) -> ProofFinished:
        return ProofFinished(self.tried, self.broken, REMEDY if self.broken else "", self.results, self.reduced)

    @property
    def failure(self) -> ProtectionFailed:
        """For a self-test that failed while the agent was running."""
        failed = {probe: text for probe, text in self.results.items() if text in self.broken}
        return ProtectionFailed("; ".join(self.broken), RETRY, failed)


async def run(boot: Boot, *, listed: bool = True) -> Result:
    """Runs all probes as the agent. Raises SystemFailure if that is impossible, which counts as a failed protection."""
    resolver = next((upstream.parse(text)[0] for text in boot.policy.upstreams), None)
    # A learning run looks up any name outside that may be public, so the probe asks for one that cannot be (RFC 6761).
    name = f"{secrets.token_hex(8)}.probe.{'invalid' if boot.settings.learns else 'example'}"
    boot.expected.add(("dns", name, 0), ("tcp", *OUTSIDE))
    if resolver is not None:
        boot.expected.add(("udp", resolver.address, resolver.port))
    site = await _open_site(boot) if boot.settings.gate is GateMode.ON else None
    if boot.settings.open_ssh_port:
        boot.expected.add(("tcp", "127.0.0.1", boot.settings.open_ssh_port))
    if site is not None:
        boot.expected.add(("tcp", name, site[1]))
    if boot.settings.notify:
        # Open for senders of notifications meanwhile: the agent must be refused all the same.
        await open_for((NOTIFIED[0],), NOTIFIED[1], int(SECONDS))
        boot.expected.add(("tcp", *NOTIFIED))
    options = {
        "name": name,
        "resolver": [COREDNS_ADDRESS, 53],
        "outside": OUTSIDE,
        "notifications": NOTIFIED if boot.settings.notify else None,
        "upstream": [resolver.address, resolver.port] if resolver else None,
        "site": site,
        "model": _model(boot),
        "listed": reachable(boot) if listed else None,
        "platform": str(boot.paths.fly),
        "ssh": boot.settings.open_ssh_port,
        "seccomp": boot.settings.seccomp is Seccomp.ON,
    }
    probe = Path(__file__).with_name("probe.py")
    # -S, because the probe needs no packages and boot waits for it.
    done = await agent.run(
        [str(boot.paths.python), "-I", "-S", str(probe), json.dumps(options)], agent_minimum(), seconds=SECONDS
    )
    try:
        problems = results(done)
    except ValueError as error:
        raise SystemFailure(f"cannot run the self-test: {done.last_line[:MAX_TEXT]}", REMEDY) from error
    servers = (upstream.parse(text)[0] for text in boot.policy.upstreams)
    resolvers = [(server.address, server.port) for server in servers]
    problems["loopback"] = await asyncio.to_thread(listeners.foreign, resolvers, boot.settings.open_ssh_port)
    if boot.settings.outside:
        problems["credentials"] = credentials_inside(boot)
    broken = tuple(text for name, text in problems.items() if text and name not in (LISTED, RESOLVER))
    reduced = REDUCED if boot.settings.learns else ""
    return Result(len(problems), broken, problems.get(RESOLVER, ""), problems.get(LISTED, ""), problems, reduced)


def results(done: Finished) -> dict[str, str]:
    """Returns the problem of each probe, or "". Raises ValueError for any other output, which the agent may have forged."""
    output = done.value()
    if not isinstance(output, dict) or not all(isinstance(text, str) for text in output.values()) or len(output) > MAX_RESULTS:
        raise ValueError("no results")
    return {name[:MAX_TEXT]: text[:MAX_TEXT] for name, text in output.items()}


def credentials_inside(boot: Boot) -> str:
    """Looks for credentials in the environment and files of the agent's session. Returns the problem, or ""."""
    values = (*boot.settings.secrets.by_variable.values(), *(part for _, part in boot.settings.notify_secrets))
    secrets = [value for value in values if len(value) >= MIN_CREDENTIAL]
    texts = {f"its environment ({name})": value for name, value in boot.agent_environment.items()}
    with contextlib.suppress(OSError):
        for file in boot.paths.gh_config.iterdir():
            texts[f"gh's {file.name}"] = file.read_text(errors="replace")
    for place, text in texts.items():
        if any(secret in text for secret in secrets):
            return f"the agent has a credential in {place}"
    return ""


def reachable(boot: Boot) -> list[tuple[str, int]]:
    """Returns the listed hosts to try: the repository's, then the first three entries with TLS."""
    names = [host] if (host := urlsplit(boot.settings.repo_url).hostname) else []
    names += [e.name for e in boot.policy.listed.entries if not e.below and any(p.check is Check.TLS for p in e.ports)][:3]
    return [(name, 443) for name in dict.fromkeys(names) if boot.policy.listed.match(name)]


def _model(boot: Boot) -> Mapping[str, str] | None:
    """Returns the request with which the agent would call the model, or None if the gate does not read such requests."""
    proxy = boot.services.gate.proxy
    if proxy is None or boot.settings.gate is not GateMode.ON:
        return None
    for host in proxy.hosts:
        for credential in host.credentials if host.model_api else ():
            if credential.variable in proxy.secrets:
                bearer = "Bearer " if credential.header == "authorization" else ""
                return {
                    "host": host.name, "path": "/v1/messages", "header": credential.header,
                    "value": bearer + credential.placeholder,
                }  # fmt: skip
    return None


async def _open_site(boot: Boot) -> tuple[str, int] | None:
    """Returns an open address and port for TLS, or None if there is none or the guard does not answer (reported elsewhere)."""
    for name, port in reachable(boot):
        try:
            explained = await boot.services.guard.ask(Explain(name, port), seconds=2.0)
        except SystemFailure:
            return None
        addresses = explained.data.get("addresses") or ()
        if addresses:
            return str(addresses[0]), port
    return None


def agent_minimum() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
