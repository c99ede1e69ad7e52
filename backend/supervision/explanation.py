"""`codetainer explain` and `allowed`: what would happen to a connection now, and which entry opens each port."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from backend.contract.control import Reply
from backend.contract.durations import lasting
from backend.contract.events import BootState, Reason, ServiceState
from backend.contract.state import State
from backend.guard import channel
from backend.journal import Journal
from backend.policy import Policy
from backend.services.bundle import Services
from backend.supervision import requests
from backend.supervision.destination import Target, is_own, read
from backend.supervision.grants import BY_HAND, LEARNING, Grants
from backend.supervision.openers import Opener
from backend.system import SystemFailure
from network import reasons
from network.allowlist import Check
from network.dns import corefile, dns_message
from network.firewall import elements, ruleset

if TYPE_CHECKING:
    from backend.supervision.learning import Learning

LOOPBACK = "127.0.0.1"
TLS_PORT = 443
RETRY = "codetainer retry"
NAME_IT = "Give a name, an address or a URL: github.com, 192.0.2.1:443, POST https://api.example.com/items."
LEARNS = "In this learning run it opens on ports 80 and 443 when a program asks for it, if it has a public address."


class Sandbox(Protocol):
    """What an explanation depends on."""

    journal: Journal
    services: Services
    grants: Grants
    policy: Policy
    learning: Learning | None


async def explain(text: str, sandbox: Sandbox, url: str = "") -> Reply:
    """What would happen to NAME or ADDRESS, each with or without `:PORT`, or a URL. `data["open"]`: it would pass.

    With `url`, the text is the method of the request. The reply is not ok for any other text. Raises SystemFailure
    if the guard does not answer.
    """
    try:
        target = read(text, url)
    except ValueError as error:
        return Reply(False, str(error), NAME_IT)
    if own := _own_address(target, sandbox.policy):
        return _local(target, own, sandbox)
    openers = [] if target.address else sandbox.grants.openers(target.host)
    reason, remedy = closed(sandbox.journal.state, frozen=sandbox.policy.frozen)
    if reason:
        anyway = _anyway(target, openers)
        if anyway:
            return _refused(target, anyway, more=f"Besides, {reason}. {remedy}")
        return Reply(True, f"{target} is refused: {reason}. {remedy}{_otherwise(target, openers)}", data={"open": False})
    if target.address is not None:
        return await _address(target, sandbox)
    if not openers and sandbox.learning is not None and target.host not in sandbox.policy.never:
        return Reply(True, f"{target} is not on the allowlist. {LEARNS}", data={"open": False})
    return await _name(target, openers, sandbox)


def _anyway(target: Target, openers: Sequence[Opener]) -> Reason | None:
    """The reason why a destination is refused even if nothing is closed, as far as that is known without the guard."""
    if target.address is None:
        return None if openers else Reason.NOT_LISTED
    if dns_message.is_special(target.host):
        return Reason.OWN if target.address.is_loopback else Reason.PRIVATE
    return Reason.IPV6 if target.address.version == 6 else None


def closed(state: State, *, frozen: bool) -> tuple[str, str]:
    """The reason why everything is closed, and the remedy as a sentence; two empty texts if it is not."""
    if state.stopping:
        return "the sandbox is stopping", "Start it again."
    if state.boot is BootState.HALTED:
        step = state.steps.get(state.halted_step)
        at = f" at {step.title}" if step is not None else ""
        why = f"boot halted{at}, so everything is closed" + (f" ({state.reason})" if state.reason else "")
        return why, f"Run {RETRY} to boot again."
    if state.protection_failed is not None:
        why = f"a protection failed at {_clock(state.protection_failed_at)}, so everything is closed"
        return f"{why} ({state.protection_failed.reason})", f"Run {RETRY} to boot again."
    if frozen:
        since = (
            f" ({_by(state)}at {_clock(state.frozen_at)})" if state.frozen else ""
        )  # a freeze begins before the journal has it
        return f"{Reason.FROZEN}{since}", Reason.FROZEN.advice()
    return "", ""


def frozen_since(state: State) -> str:
    """`by root since 18:17`."""
    return f"{_by(state)}since {_clock(state.frozen_at)}"


def _by(state: State) -> str:
    return f"by {state.frozen_by} " if state.frozen_by else ""


def _clock(at: float) -> str:
    return time.strftime("%H:%M", time.localtime(at))


def _otherwise(target: Target, openers: Sequence[Opener]) -> str:
    """The allowlist's entries for a name, while everything is closed."""
    return f" The allowlist has it: {_ports(target.host, openers)}." if openers else ""


async def _name(target: Target, openers: Sequence[Opener], sandbox: Sandbox) -> Reply:
    host, port = target.host, target.port
    if not openers:
        single = "A single label is not a public name." if "." not in host else ""
        return _refused(target, Reason.NOT_LISTED, "" if single else host, more=single)
    mine = [one for one in openers if not port or port in one.entry.numbers]
    if not mine:
        return await _another_port(target, openers, sandbox)
    if deep := next((one.entry.pattern for one in mine if one.too_deep(host)), ""):
        certificate = f"The gate's certificate for {deep} covers one label: list {host} by itself."
        return _refused(target, Reason.REQUEST, detail=reasons.DETAILS["too_deep"], more=certificate)
    checks = {number.check for one in mine for number in one.entry.ports if number.number == port}
    if sandbox.journal.state.gate and not all(map(target.suits, checks)):
        return _unsuitable(target, checks.pop())
    data: dict[str, Any] = {
        "source": mine[0].entry.source,
        "sources": {one.ports: one.entry.source for one in mine},
        "grants": {one.ports: one.grant for one in mine},
    }
    if away := _away(target, mine, sandbox.journal.state):
        text = f"{target} is refused for now: {away}. The allowlist has it: {_ports(host, mine)}"
        return Reply(True, text, data={"open": False, **data})
    done = await sandbox.services.guard.ask(channel.Explain(host))
    addresses, lack = done.data.get("addresses") or [], str(done.data.get("lack", ""))
    if lack:  # it may have one now
        done = await sandbox.services.guard.ask(channel.Resolve(host))
        addresses, lack = done.data.get("addresses") or addresses, "" if done.ok else done.text
    data["addresses"] = addresses
    if lack:
        still = f"; still open by an earlier answer: {', '.join(addresses)}" if addresses else ""
        text = f"{target} cannot be reached: {Reason.NO_ADDRESS}, {lack}{still}. The allowlist has it: {_ports(host, mine)}"
        return Reply(True, text, data={"open": False, "lack": lack, "reason": str(Reason.NO_ADDRESS), **data})
    opened = f"is open: {mine[0].source(host, time.time())}" if port else f"is open on {_ports(host, mine)}"
    if port and mine[0].limits:
        opened += f"; requests pass {mine[0].limits}"
    lines = [f"{target} {opened}; current addresses: {', '.join(addresses)}"]
    proxy = sandbox.services.gate.proxy if sandbox.journal.state.gate else None
    about, found = requests.about(target, sandbox.grants.allowlist, proxy)
    lines = [*about, *lines]
    if "answer" in found:
        return Reply(True, "\n".join(lines), data={**data, **found, "open": False})
    if port in (0, 80, TLS_PORT):  # TLS ends at the gate on this port only, and it redirects plain HTTP there
        lines += requests.granted(host, sandbox.services.gate.proxy)
    return Reply(True, "\n".join(lines), data={"open": True, **data, **found})


async def _another_port(target: Target, openers: Sequence[Opener], sandbox: Sandbox) -> Reply:
    """About a port that no entry opens for the name. It may be open by address, for another name at the same address."""
    listed = f"The allowlist has {target.host} on {_ports(target.host, openers)}."
    refused = _refused(target, Reason.PORT_NOT_LISTED, target.host, more=listed)
    done = await sandbox.services.guard.ask(channel.Explain(target.host))
    for address in done.data.get("addresses") or ():
        about = (await sandbox.services.guard.ask(channel.Explain(address, target.port))).data
        for one in about.get("ports") or ():
            if _check(one, sandbox.journal.state) is Check.ADDRESS:
                text = f"{target} is open by its address {address}, for {', '.join(one['names'])}. {listed}"
                return Reply(True, text, data={"open": True, "addresses": [address]})
    return refused


def _unsuitable(target: Target, check: Check) -> Reply:
    """About a URL whose client does not speak the protocol that the gate checks at the port."""
    detail = reasons.DETAILS["no_tls" if check is Check.TLS else "not_http"]
    return _refused(target, Reason.UNCLEAR, detail=detail, more=f"The gate checks the name in {check.upper()} at this port.")


def _ports(name: str, openers: Sequence[Opener]) -> str:
    """`443, 80 (domains.conf:17) and 8443 (by hand, by root, until 18:17)`."""
    now = time.time()
    *others, last = [f"{one.ports} ({one.source(name, now)}{', ' * bool(one.limits)}{one.limits})" for one in openers]
    return f"{', '.join(others)} and {last}" if others else last


def _away(target: Target, openers: Sequence[Opener], state: State) -> str:
    """The service that is down and that new connections to the name need; "" if there is none."""
    checks = {port.check for one in openers for port in one.entry.ports if target.port in (0, port.number)}
    needed = [("coredns", "CoreDNS", "DNS answers nothing")]
    if state.gate and checks and Check.ADDRESS not in checks:
        needed.append(("gate", "the gate", "it carries nothing"))
    for service, name, effect in needed:
        event = state.services.get(service)
        if event is not None and event.state is not ServiceState.UP:
            return f"{name} is {event.state}, so {effect}"
    return ""


async def _address(target: Target, sandbox: Sandbox) -> Reply:
    about: Any = (await sandbox.services.guard.ask(channel.Explain(target.host, target.port))).data
    port, state = target.port, sandbox.journal.state
    ports = about.get("ports") or []
    reason, name = Reason(about["reason"]), str(about.get("name", ""))
    last = f"DNS returned the address for {name}." if name else ""
    if not ports:
        return _refused(target, reason, name, on="" if port else " on every port", more=last)
    if port and not target.suits(check := _check(ports[0], state)):
        return _unsuitable(target, check)
    if port and target.scheme and check is Check.TLS:  # clients send no name in place of an address (RFC 6066, section 3)
        return _refused(
            target, Reason.UNCLEAR, detail=reasons.DETAILS["no_name"], more=f"Connect to {_owners(ports[0])} by name."
        )
    if port and target.scheme and check is Check.HTTP:
        return _refused(target, Reason.ANOTHER_SITE, more=f"Connect to {_owners(ports[0])} by name.")
    data = {"open": True, "names": sorted({name for one in ports for name in one["names"]}), "seconds": ports[0]["seconds"]}
    groups: dict[str, list[int]] = {}
    for one in ports:
        groups.setdefault(f"for another {lasting(one['seconds'])}, for {_owners(one)}", []).append(one["port"])
    if port:
        return Reply(True, f"{target} is open {next(iter(groups))}", data=data)
    each = (f"on {', '.join(map(str, sorted(numbers)))} {rest}" for rest, numbers in groups.items())
    return Reply(True, f"{target} is open {'; '.join(each)}; other ports are refused: {reason}", data=data)


def _owners(port: Any) -> str:
    return ", ".join(port["names"]) or "a name resolved before a restart"


def _check(port: Any, state: State) -> Check:
    """The way in which the gate ties an open port to a name."""
    checks = {elements.OPEN: Check.TLS, elements.HTTP: Check.HTTP}
    return checks.get(port["set"], Check.ADDRESS) if state.gate else Check.ADDRESS


def _own_address(target: Target, policy: Policy) -> str:
    """The address of a destination that is the sandbox itself, "" if it is not."""
    if corefile.is_local(target.host, policy.allowlist, os.uname().nodename.lower()):
        return LOOPBACK
    return target.host if target.address is not None and is_own(target.host) else ""


def _local(target: Target, address: str, sandbox: Sandbox) -> Reply:
    """About an address of the sandbox itself."""
    if ruleset.refuses_locally(address, target.port, sandbox.policy.own_ports):
        return _refused(target, Reason.OWN)
    return Reply(True, f"{target} is open: it is the sandbox itself", data={"open": True, "local": True})


def _refused(target: Target, reason: Reason, name: str = "", *, detail: str = "", on: str = "", more: str = "") -> Reply:
    """An explained refusal: ok, because the question was answered. `name`: the one that an entry would open."""
    words = reasons.sentence(reason, reason.advice(name, target.port), detail)
    return Reply(True, f"{target} is refused{on}: {words} {more}".rstrip(), data={"open": False, "reason": str(reason)})


# --- allowed ---


async def allowed(sandbox: Sandbox) -> Reply:
    """Every entry, those of the file first: one row for each source that opens ports of a name, with its end.

    `data["closed"]` is the reason why everything is closed now, or "". `lack` of a row is the reason why it has no address.
    """
    reason, remedy = closed(sandbox.journal.state, frozen=sandbox.policy.frozen)
    lacks: dict[str, str] = {}
    with contextlib.suppress(SystemFailure):
        if not reason:
            lacks = dict((await sandbox.services.guard.ask(channel.Unresolved())).data)
    rows = [
        {"name": name, "ports": ports, "grant": words, "source": source, "until": until, "lack": lacks.get(name, "")}
        for name, ports, words, source, until in _rows(sandbox.grants)
    ]
    return Reply(True, data={"entries": rows, "closed": f"{reason}. {remedy}" if reason else ""})


def _rows(grants: Grants) -> Iterator[tuple[str, str, str, str, float | None]]:
    for entry in grants.listed.entries:
        for part in entry.by_source():
            yield part.pattern, ",".join(map(str, part.ports)), Opener(part).grant, part.source, None
    for same in grants.granted.values():
        for grant in same:
            closing = f"; being closed, by {grant.closed_by}" if grant.closed_by else ""
            source = f"{LEARNING}{closing}" if grant.by == LEARNING else f"{BY_HAND}, by {grant.by}{closing}"
            words = Opener(grant.entry).grant
            yield grant.entry.pattern, ",".join(map(str, grant.entry.ports)), words, source, grant.until
