"""`codetainer explain`: whether a name or an address would be allowed, and which entry of the allowlist decides."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Callable
from typing import Any

from backend.contract import shell
from backend.contract.events import Reason
from backend.guard.openings import Openings
from network.allowlist import Allowlist
from network.firewall import elements
from network.firewall.packets import Packet
from network.names import LABEL, EntryError, normalise

TLS_PORT = 443  # for an address without a port
Explained = tuple[str, dict[str, Any]]


def explain(target: str, allowlist: Allowlist, openings: Openings, reason: Callable[[Packet, str], Reason]) -> Explained:
    """Returns a sentence and its data for NAME or ADDRESS[:PORT]. Raises ValueError, with a sentence, for anything else.

    `reason` returns why the firewall would refuse a packet to an address; its second argument is the address's name or "".
    """
    host, port = place(target)
    address = _address(host)
    if isinstance(address, ipaddress.IPv6Address):
        return f"{address} is refused: nothing leaves over IPv6", {"open": False, "reason": Reason.IPV6}
    if address is not None:
        return _address_explained(str(address), port or TLS_PORT, openings, reason)
    if LABEL.match(host.lower()):
        return f"{host} is refused by name: a single label is not a public name, so no entry can open it", {"open": False}
    try:
        name = normalise(host)
    except EntryError as error:
        raise ValueError(f"cannot explain {target[:80]!a}: {error.reason}. {error.remedy}".rstrip(" .") + ".") from error
    entry = allowlist.match(name)
    if entry is None:
        return f"{name} is refused by name: it is not on the allowlist, so DNS answers NXDOMAIN", {"open": False}
    ports = [p for p in entry.ports if p.number == port]
    if port and not ports:
        listed = ", ".join(map(str, entry.ports))
        return f"{name} is open on {listed}, but port {port} is refused ({entry.pattern}, {entry.source})", {"open": False}
    addresses = sorted({address for (_, address, _), o in openings.open.items() if name in o.names})
    text = (
        f"{name} is open on {', '.join(map(str, ports or entry.ports))}: {entry.pattern} ({entry.source}); "
        f"current addresses: {', '.join(addresses) or 'none resolved yet'}"
    )
    return text, {"open": True, "source": entry.source, "addresses": addresses}


def _address_explained(address: str, port: int, openings: Openings, reason: Callable[[Packet, str], Reason]) -> Explained:
    for name_of_set in elements.SETS:
        opening = openings.open.get((name_of_set, address, port))
        if opening is not None and opening.until > openings.clock():
            names = sorted(opening.names)
            left = int(opening.until - openings.clock())
            owners = ", ".join(names) or "a name resolved before a restart"
            text = f"{address}:{port} is open for another {left} s, for {owners}"
            return text, {"open": True, "names": names, "seconds": left}
    name = openings.last_names.get(address, "")
    why = reason(Packet(4, "tcp", "", address, 0, port), name)
    return f"{address}:{port} is refused: {why}" + (f" ({name})" if name else ""), {"open": False, "reason": why}


def place(target: str) -> tuple[str, int]:
    """Splits NAME, ADDRESS, HOST:PORT or [ADDRESS]:PORT into host and port (0: none). Raises ValueError with a sentence."""
    if "://" in target:
        host = target.partition("://")[2].partition("/")[0].rpartition("@")[2]
        instead = shell.command("codetainer", "explain", host[:80])
        raise ValueError(f"cannot explain {target[:80]!a}: expected a host, not a URL. For the host alone, run {instead}")
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", target)
    if bracketed:
        host, port_text = bracketed[1], bracketed[2]
        if ":" not in host:
            raise ValueError(f"cannot explain {target[:80]!a}: only an IPv6 address may be in brackets")
    elif target.count(":") > 1:
        host, port_text = target, None  # IPv6
    else:
        host, colon, after = target.partition(":")
        port_text = after if colon else None
    if port_text is None:
        return host, 0
    if not (port_text.isascii() and port_text.isdigit() and 0 < int(port_text) < 65536):
        raise ValueError(f"cannot explain {target[:80]!a}: a port must be a number from 1 to 65535, as in github.com:443")
    return host, int(port_text)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host)
    return None
