"""Describes a refusal: destination, reason, and the allowlist entry that would permit it. Pure."""

from __future__ import annotations

import re

from backend.contract.events import Reason, Refused, Via
from backend.contract.refusals import added_up
from codetainer_tui.words import harmless

NOT_RECORDED = "too many came in one second: only the number of these refusals is known, not what they were for"
LISTABLE = (Reason.NOT_LISTED, Reason.PORT_NOT_LISTED, Reason.ANOTHER_SITE)
READ = "read"
_RULE = re.compile(r"(GET|HEAD|OPTIONS|POST|PUT|PATCH|DELETE):/[A-Za-z0-9._~!&()+,=:@/*-]*\Z")  # as in network/grant.py
USUAL_PORTS = (0, 80, 443)  # the ports of an entry without ports; 0: refused by DNS, before any port was known


def what(refused: Refused) -> str:
    """The refused destination: `name:port`, a name with its query type, or an address with its protocol."""
    if added_up(refused):
        return f"more {refused.name.removeprefix('other ')} than are recorded"
    target = harmless(refused.name or refused.address or "?", 253)
    if refused.via is Via.DNS:
        return f"{target}  {harmless(refused.detail, 40)}" if refused.detail else target
    where = f"{_host(target)}:{refused.port}" if refused.port else target
    if refused.detail:
        where = f"{target}  {harmless(refused.detail, 120)}"
    return where if refused.protocol in ("tcp", "") else f"{where}  {harmless(refused.protocol, 12)}"


def _host(text: str) -> str:
    """A host as written before a port: IPv6 addresses need brackets."""
    return f"[{text}]" if ":" in text else text


def place(refused: Refused) -> str:
    """The argument for `codetainer explain`: NAME[:PORT] or ADDRESS[:PORT]."""
    host = refused.name or refused.address
    return f"{_host(host)}:{refused.port}" if refused.port else host


def advice(refused: Refused) -> str:
    """The advice as every surface shows it (network/reasons.py)."""
    return refused.reason.advice(listable_name(refused), refused.port)


def remedy(refused: Refused) -> str:
    """The advice, or that the refusal's destination is not known."""
    return NOT_RECORDED if added_up(refused) else advice(refused)


def listable_name(refused: Refused) -> str:
    """The name for an entry that would permit this refusal's traffic, "" if no entry can."""
    if refused.via is Via.GATE and refused.detail and not rule(refused):
        return ""  # the reason is the detail, not the name
    name = refused.name.rstrip(".").lower()
    if (refused.reason not in LISTABLE and not rule(refused)) or "." not in name or not name.isascii():
        return ""
    return name if all(c.isalnum() or c in "-_." for c in name) else ""


def rule(refused: Refused) -> str:
    """The grant that would permit a refused request (`POST:/v1/items/*`), "" if none can."""
    return refused.detail if refused.reason is Reason.REQUEST and _RULE.match(refused.detail) else ""


def grant(refused: Refused) -> str:
    """The smallest grant for an entry that would permit this: the request, or reading, "" for ports that are opened by address.

    Over TLS, nobody knows which request a program would have made.
    """
    return rule(refused) or (READ if refused.port in USUAL_PORTS else "")


def entry(name: str, ports: set[int], words: str = "") -> str:
    """The line for domains.conf. If it names one unusual port, it must name the usual ones, too."""
    limits = f" {words}" if words else ""
    if not ports - set(USUAL_PORTS):
        return name + limits
    return f"{name}:{','.join(str(port) for port in sorted(ports - {0}))}{limits}"


def cannot_allow(refused: Refused) -> str:
    """The reason why no entry can permit this, "" if one can."""
    if added_up(refused):
        return NOT_RECORDED
    return "" if listable_name(refused) else advice(refused)


def covers(pattern: str, name: str) -> bool:
    """True if the pattern of an entry matches a name: exactly, or `*.` for the names below."""
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return pattern == name
