"""One refusal in words: what was refused, why, and what an entry of the list could do about it. Pure."""

from __future__ import annotations

from backend.contract.events import Reason, Refused, Via
from codetainer_tui.words import harmless

LISTABLE = (Reason.NOT_LISTED, Reason.PORT_NOT_LISTED, Reason.ANOTHER_SITE, Reason.EXPIRED)
USUAL_PORTS = (0, 80, 443)  # what a name without ports opens; 0: refused as a name, before any port
_NEVER = {
    Reason.PRIVATE: "private, link-local and metadata addresses are never opened",
    Reason.NOT_OURS: "only the operator's own credential goes out",
    Reason.PUSH_SCOPE: "writes go to the sandbox's own repository, and to what CODETAINER_PUSH adds at the next boot",
    Reason.NOT_GRANTED: "credentials.toml says what the agent may do there; one of your own changes it at the next boot",
    Reason.NOT_TCP: "only TCP can be allowed",
    Reason.IPV6: "nothing leaves over IPv6",
    Reason.NEVER_RESOLVED: "an address is opened by its name only: allow the name",
    Reason.STOPPED: "you have stopped the sandbox: let it go on first",
    Reason.UNREAD: "nobody knows what it was: the gate refused or carried more at once than could be read",
    Reason.OWN: "the sandbox's own services are not the agent's to speak to",
}


def what(refused: Refused) -> str:
    """What was refused: `name:port`, a name and the type asked for, or an address and its protocol."""
    target = harmless(refused.name or refused.address or "?", 253)
    if refused.via is Via.DNS:
        return f"{target}  {harmless(refused.detail, 40)}" if refused.detail else target
    where = f"{_host(target)}:{refused.port}" if refused.port else target
    if refused.detail:
        where = f"{target}  {harmless(refused.detail, 120)}"
    return where if refused.protocol in ("tcp", "") else f"{where}  {harmless(refused.protocol, 12)}"


def _host(text: str) -> str:
    """As it stands before a port: an IPv6 address has colons of its own."""
    return f"[{text}]" if ":" in text else text


def place(refused: Refused) -> str:
    """What `explain` is asked about it: NAME[:PORT] or ADDRESS[:PORT]."""
    host = refused.name or refused.address
    return f"{_host(host)}:{refused.port}" if refused.port else host


def why(refused: Refused, repository: str = "") -> str:
    """The reason in its own words, with the repository where the words have a place for it."""
    if refused.reason is Reason.PUSH_SCOPE and repository:
        return refused.reason.replace("OWNER/REPO", harmless(repository, 80))
    return str(refused.reason)


def listable_name(refused: Refused) -> str:
    """The name of the entry that would allow this, "" where none can: no name, or not a matter of the list."""
    if refused.via is Via.GATE and refused.detail:
        return ""  # what was wrong is not the name
    name = refused.name.rstrip(".").lower()
    if refused.reason not in LISTABLE or "." not in name or not name.isascii():
        return ""
    return name if all(c.isalnum() or c in "-_." for c in name) else ""


def entry(name: str, ports: set[int]) -> str:
    """The line for domains.conf. A port beyond the usual ones has to be named, and then the others too."""
    if not ports - set(USUAL_PORTS):
        return name
    return f"{name}:{','.join(str(port) for port in sorted(ports - {0}))}"


def cannot_allow(refused: Refused) -> str:
    """Why no entry of the list can allow this, "" where one can."""
    if refused.reason in _NEVER:
        return _NEVER[refused.reason]
    return "" if listable_name(refused) else "this is not a name that an entry can have"


def covers(pattern: str, name: str) -> bool:
    """Whether an entry of the list is about a name: exactly, or `*.` for those below."""
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return pattern == name
