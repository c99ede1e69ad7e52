"""`codetainer explain` and `allowed`: what would happen to a connection now, and which entry opens each port."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from backend.contract.control import Reply
from backend.contract.durations import lasting
from backend.contract.events import BootState, Reason, ServiceState
from backend.contract.state import State
from backend.guard import channel
from backend.journal import Journal
from backend.policy import Policy
from backend.services.bundle import Services
from backend.supervision.grants import BY_HAND, Grants
from backend.supervision.openers import Opener
from backend.system import SystemFailure
from network.allowlist import Check
from network.names import LABEL, EntryError, normalise

SCHEMES = {"http": 80, "ws": 80, "https": 443, "wss": 443, "ssh": 22, "git": 9418, "ftp": 21}
THAW, RETRY = "codetainer thaw", "codetainer retry"


class Sandbox(Protocol):
    """What an explanation depends on."""

    journal: Journal
    services: Services
    grants: Grants
    policy: Policy


@dataclass(frozen=True, slots=True)
class Target:
    """A host, and a port (0: none was named). `address` is None for a name."""

    host: str
    port: int
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host and self.port else self.host
        return f"{host}:{self.port}" if self.port else host


async def explain(text: str, sandbox: Sandbox) -> Reply:
    """What would happen to NAME, ADDRESS, either with `:PORT`, or a URL. `data["open"]` is true if it would be carried.

    The reply is not ok if the text is none of these. Raises SystemFailure if the guard does not answer.
    """
    try:
        target = read(text)
    except ValueError as error:
        return Reply(False, str(error), "Give a name or an address, with a port if you like: github.com, 192.0.2.1:443.")
    if isinstance(target.address, ipaddress.IPv6Address):
        return _refused(f"{target} is refused: IPv6 is blocked", Reason.IPV6)
    openers = [] if target.address else sandbox.grants.openers(target.host)
    reason, remedy = closed(sandbox.journal.state, frozen=sandbox.policy.frozen)
    if reason:
        return _refused(f"{target} is refused: {reason}. {remedy}{_otherwise(target, openers)}")
    if target.address is not None:
        done = await sandbox.services.guard.ask(channel.Explain(target.host, target.port))
        return _address(target, done.data)
    return await _name(target, openers, sandbox)


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
        return f"{frozen_words(state)}, so everything is closed", f"Run {THAW} to open it again."
    return "", ""


def frozen_words(state: State) -> str:
    """`frozen by root at 18:17`."""
    if not state.frozen:  # a freeze begins before the journal has it
        return "frozen"
    return f"frozen {_by(state)}at {_clock(state.frozen_at)}"


def frozen_since(state: State) -> str:
    """`by root since 18:17`."""
    return f"{_by(state)}since {_clock(state.frozen_at)}"


def _by(state: State) -> str:
    return f"by {state.frozen_by} " if state.frozen_by else ""


def _clock(at: float) -> str:
    return time.strftime("%H:%M", time.localtime(at))


def _otherwise(target: Target, openers: Sequence[Opener]) -> str:
    """What the allowlist says about a name, while everything is closed."""
    if target.address is not None:
        return ""
    if not openers:
        return f" {target.host} is not on the allowlist either."
    return f" The allowlist has it: {_ports(target.host, openers)}."


async def _name(target: Target, openers: Sequence[Opener], sandbox: Sandbox) -> Reply:
    host, port = target.host, target.port
    if LABEL.match(host) and "." not in host:
        return _refused(f"{target} is refused: a single label is not a public name, so no entry can open it", Reason.NOT_LISTED)
    if not openers:
        return _refused(f"{target} is refused: {host} is not on the allowlist, so DNS answers NXDOMAIN", Reason.NOT_LISTED)
    mine = [one for one in openers if not port or port in one.entry.numbers]
    if not mine:
        listed = f"{host} is allowed on {_ports(host, openers)}"
        return _refused(f"{target} is refused: port {port} is not listed; {listed}", Reason.PORT_NOT_LISTED)
    data: dict[str, Any] = {"source": mine[0].entry.source, "sources": {one.ports: one.entry.source for one in mine}}
    if away := _away(target, mine, sandbox.journal.state):
        return _refused(f"{target} is refused for now: {away}. The allowlist has it: {_ports(host, mine)}", **data)
    done = await sandbox.services.guard.ask(channel.Explain(host))
    addresses, lack = done.data.get("addresses") or [], str(done.data.get("lack", ""))
    if lack:  # what was true at the last refresh need not be true now
        done = await sandbox.services.guard.ask(channel.Resolve(host))
        addresses, lack = done.data.get("addresses") or addresses, "" if done.ok else done.text
    data["addresses"] = addresses
    if lack:
        still = f"; still open by an earlier answer: {', '.join(addresses)}" if addresses else ""
        return _refused(
            f"{target} cannot be reached: {lack}{still}. The allowlist has it: {_ports(host, mine)}", lack=lack, **data
        )
    opened = f"is open: {mine[0].source(host, time.time())}" if port else f"is open on {_ports(host, mine)}"
    return Reply(True, f"{target} {opened}; current addresses: {', '.join(addresses)}", data={"open": True, **data})


def _ports(name: str, openers: Sequence[Opener]) -> str:
    """`443, 80 (domains.conf:17) and 8443 (by hand, by root, until 18:17)`."""
    now = time.time()
    *others, last = [f"{one.ports} ({one.source(name, now)})" for one in openers]
    return f"{', '.join(others)} and {last}" if others else last


def _away(target: Target, openers: Sequence[Opener], state: State) -> str:
    """The service that is away and without which no new connection to the name is made; "" if there is none."""
    checks = {port.check for one in openers for port in one.entry.ports if target.port in (0, port.number)}
    needed = [("coredns", "CoreDNS", "DNS answers nothing")]
    if state.gate and checks and Check.ADDRESS not in checks:
        needed.append(("gate", "the gate", "it carries nothing"))
    for service, name, effect in needed:
        event = state.services.get(service)
        if event is not None and event.state is not ServiceState.UP:
            return f"{name} is {event.state}, so {effect}"
    return ""


def _address(target: Target, about: Any) -> Reply:
    host, port = target.host, target.port
    ports = about.get("ports") or []
    reason, name = str(about.get("reason", "")), str(about.get("name", ""))
    why = f"{reason} ({name})" if name else reason
    if not ports:
        on = "" if port else " on every port"
        return _refused(f"{target} is refused{on}: {why}", reason)
    data = {"open": True, "names": sorted({name for one in ports for name in one["names"]}), "seconds": ports[0]["seconds"]}
    groups: dict[str, list[int]] = {}
    for one in ports:
        owners = ", ".join(one["names"]) or "a name resolved before a restart"
        groups.setdefault(f"for another {lasting(one['seconds'])}, for {owners}", []).append(one["port"])
    if port:
        return Reply(True, f"{target} is open {next(iter(groups))}", data=data)
    each = (f"on {', '.join(map(str, sorted(numbers)))} {rest}" for rest, numbers in groups.items())
    return Reply(True, f"{host} is open {'; '.join(each)}; other ports are refused: {why}", data=data)


def _refused(text: str, reason: str = "", **data: Any) -> Reply:
    """An explained refusal: ok, because the question was answered."""
    return Reply(True, text, data={"open": False, **({"reason": str(reason)} if reason else {}), **data})


# --- reading ---


def read(text: str) -> Target:
    """Parses NAME, ADDRESS, HOST:PORT, [ADDRESS]:PORT or a URL. Raises ValueError with a sentence."""
    shown = re.sub(r"//[^/]*@", "//", text)[:80]  # without user and password
    host, port = _url(text, shown) if "://" in text else _place(text, shown)
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        return Target(str(address), port, address)
    label = host.removesuffix(".").lower()
    if LABEL.match(label):
        return Target(label, port)
    try:
        return Target(normalise(host), port)
    except EntryError as error:
        raise ValueError(f"cannot explain {shown!a}: {error.reason}") from error


def _url(text: str, shown: str) -> tuple[str, int]:
    """The host of a URL, and its port or that of its scheme."""
    scheme, _, rest = text.partition("://")
    host, port = _place(re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2], shown)
    port = port or SCHEMES.get(scheme.lower(), 0)
    if not port:
        raise ValueError(f"cannot explain {shown!a}: the port of {scheme[:20]!a} is not known")
    return host, port


def _place(text: str, shown: str) -> tuple[str, int]:
    """Splits HOST, HOST:PORT or [ADDRESS]:PORT into host and port (0: none)."""
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", text)
    if bracketed:
        host, port_text = bracketed[1], bracketed[2]
        if ":" not in host:
            raise ValueError(f"cannot explain {shown!a}: only an IPv6 address may be in brackets")
    elif text.count(":") > 1:
        host, port_text = text, None  # IPv6
    else:
        host, colon, after = text.partition(":")
        port_text = after if colon else None
    if port_text is None:
        return host, 0
    if not (port_text.isascii() and port_text.isdigit() and len(port_text) < 6 and 0 < int(port_text) < 65536):
        raise ValueError(f"cannot explain {shown!a}: a port must be a number from 1 to 65535, as in github.com:443")
    return host, int(port_text)


# --- allowed ---


async def allowed(sandbox: Sandbox) -> Reply:
    """Every entry, the list first: one row for each place that opens ports of a name, with its end.

    `data["closed"]` is the reason why all of it is closed now, or "". `lack` of a row is the reason why it has no address.
    """
    reason, remedy = closed(sandbox.journal.state, frozen=sandbox.policy.frozen)
    lacks: dict[str, str] = {}
    with contextlib.suppress(SystemFailure):
        if not reason:
            lacks = dict((await sandbox.services.guard.ask(channel.Unresolved())).data)
    rows = [
        {"name": name, "ports": ports, "source": source, "until": until, "lack": lacks.get(name, "")}
        for name, ports, source, until in _rows(sandbox.grants)
    ]
    return Reply(True, data={"entries": rows, "closed": f"{reason}. {remedy}" if reason else ""})


def _rows(grants: Grants) -> Iterator[tuple[str, str, str, float | None]]:
    for entry in grants.listed.entries:
        for part in entry.by_source():
            yield part.pattern, ",".join(map(str, part.ports)), part.source, None
    for same in grants.granted.values():
        for grant in same:
            closing = f"; being closed, by {grant.closed_by}" if grant.closed_by else ""
            source = f"{BY_HAND}, by {grant.by}{closing}"
            yield grant.entry.pattern, ",".join(map(str, grant.entry.ports)), source, grant.until
