"""Describes a refusal: destination, reason, and the allowlist entry that would permit it. Pure."""

from __future__ import annotations

from backend.contract.events import Reason, Refused, Via
from backend.contract.refusals import added_up
from codetainer_tui.words import harmless

NOT_RECORDED = "too many came in one second: only the number of these refusals is known, not what they were for"
LISTABLE = (Reason.NOT_LISTED, Reason.PORT_NOT_LISTED, Reason.ANOTHER_SITE, Reason.EXPIRED)
USUAL_PORTS = (0, 80, 443)  # the ports of an entry without ports; 0: refused by DNS, before any port was known
_NEVER = {
    Reason.PRIVATE: "private, link-local and metadata addresses are never opened",
    Reason.NOT_OURS: "the gate forwards only the operator's own credential",
    Reason.PUSH_SCOPE: "writes may go only to REPO_URL's repository and those in CODETAINER_PUSH, which is read at boot",
    Reason.NOT_GRANTED: "credentials.toml does not grant this; change that in your own credentials.toml, then boot again",
    Reason.NOT_TCP: "only TCP can be allowed",
    Reason.IPV6: "IPv6 is closed",
    Reason.NEVER_RESOLVED: "addresses are opened only by name: allow the name",
    Reason.STOPPED: "the sandbox is frozen: run codetainer thaw first",
    Reason.UNREAD: "the details are unknown: the gate logged more at once than could be read",
    Reason.OWN: "the agent may not connect to the sandbox's own services",
}
# At most 36 cells (a column of the dashboard); the first 20 must tell them apart (the column at 60 cells).
_WHY = {
    Reason.NOT_LISTED: "not on the allowlist",
    Reason.NEVER_RESOLVED: "no DNS lookup",
    Reason.ANOTHER_SITE: "different host on an allowed address",
    Reason.NOT_OURS: "foreign credential",
    Reason.PRIVATE: "private or metadata address",
    Reason.NOT_TCP: "only TCP is allowed",
    Reason.IPV6: "IPv6 is not allowed",
    Reason.EXPIRED: "DNS lease expired",
    Reason.STOPPED: "frozen or revoked",
    Reason.OWN: "the sandbox's own port",
    Reason.UNREAD: "too many at once to be logged",
}


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


def why(refused: Refused, repository: str = "") -> str:
    """The reason as every screen shows it. The journal has shorter words (`Reason`)."""
    if refused.reason is Reason.PUSH_SCOPE and repository:
        return refused.reason.replace("OWNER/REPO", harmless(repository, 80))
    return _WHY.get(refused.reason, str(refused.reason))


def listable_name(refused: Refused) -> str:
    """The name for an entry that would permit this refusal's traffic, "" if no entry can."""
    if refused.via is Via.GATE and refused.detail:
        return ""  # the reason is the detail, not the name
    name = refused.name.rstrip(".").lower()
    if refused.reason not in LISTABLE or "." not in name or not name.isascii():
        return ""
    return name if all(c.isalnum() or c in "-_." for c in name) else ""


def entry(name: str, ports: set[int]) -> str:
    """The line for domains.conf. If it names one unusual port, it must name the usual ones, too."""
    if not ports - set(USUAL_PORTS):
        return name
    return f"{name}:{','.join(str(port) for port in sorted(ports - {0}))}"


def cannot_allow(refused: Refused) -> str:
    """The reason why no entry can permit this, "" if one can."""
    if added_up(refused):
        return NOT_RECORDED
    if refused.reason in _NEVER:
        return _NEVER[refused.reason]
    return "" if listable_name(refused) else "an allowlist entry cannot contain this name"


def covers(pattern: str, name: str) -> bool:
    """True if the pattern of an entry matches a name: exactly, or `*.` for the names below."""
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return pattern == name
