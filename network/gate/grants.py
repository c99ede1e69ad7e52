"""HAProxy rules for hosts whose allowlist entry grants only some requests (network/grant.py), over TLS and plain HTTP.

Maps give for `name:port` the entry in force: `open`, `recorded` (network/gate/learning.py), or a key such as
`*.example.com:443`. With a key, a request must match one of the patterns in a list, as `KEY=METHOD=/path`. Maps and patterns
change without a reload.
Source: HAProxy configuration manual 2.6; RFC 9110, sections 7.8 and 9.3.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from network import grant, reasons
from network.allowlist import Allowlist, Check, Entry, Port
from network.gate.headers import METHOD_HEADERS, dropped
from network.gate.rules import Refusal, deny, encoded

MAPS = ("exact", "below", "exact_http", "below_http")
PATTERNS = "granted"
OPEN = "open"  # the value of an entry that grants any request
RECORDED = "recorded"  # the value of an entry at which any request passes and is recorded
READS = "{ method GET HEAD OPTIONS }"
# Decoded paths that servers may read differently: terminators and parameters, encoded twice, double slashes, parent segments.
UNCLEAR = r"'[\\;[:cntrl:]]|%[0-9A-Fa-f][0-9A-Fa-f]|//|/\.\.(/|$)'"
# Spellings that real clients use (scoped packages of npm, flat repositories of apt). Only rules without a path match them.
SPELLED = r"'%2[fF]'"
SINGLE_DOT = r"'/\.(/|$)'"

# Sets txn.names: the names of all headers, each between colons.
NAMES_OF_HEADERS = (
    "http-request set-var(txn.colon) str(:)",
    "http-request set-var(txn.names) req.hdr_names(:),lower",
    "http-request set-var(txn.names) var(txn.colon),concat(,txn.names,:)",
)
# Conditions for requests that no grant permits: another method in a header or the query, another protocol, a body of a GET.
OVERRIDES = (
    f"{{ var(txn.names) -m reg ':({METHOD_HEADERS}):' }}",
    rf"{{ query -m reg -i '(^|[&;])({encoded('_method')})(=|&|;|\[|%5b|$)' }}",
)
# Offers of HTTP/2 in clear text are dropped, as for every other host; a WebSocket is what a client cannot do without.
UPGRADES = "{ req.hdr(upgrade) -m found } !{ req.hdr(upgrade) -m str -i h2c }"
ANNOUNCED_BODIES = (
    f"{READS} {{ req.hdr(transfer-encoding) -m found }}",
    f"{READS} {{ req.hdr(content-length) -m found }} !{{ req.hdr(content-length) -m str 0 }}",
)
SENT_BODY = f"{READS} {{ req.body_size gt 0 }}"


def key(entry: Entry, port: Port) -> str:
    return f"{entry.pattern}:{port.number}"


def maps(allowlist: Allowlist) -> Mapping[str, tuple[str, ...]]:
    """Returns the lines of each map: `name:port value` for exact matches, `.name:port value` for suffix matches.

    HAProxy takes the first suffix that matches, so the longer ones come first.
    """
    lines: dict[str, list[str]] = {name: [] for name in MAPS}
    for entry in sorted(allowlist.entries, key=lambda entry: -len(entry.name)):
        for port in entry.ports:
            if port.check is not Check.ADDRESS:
                name = ("below" if entry.below else "exact") + ("_http" if port.check is Check.HTTP else "")
                value = key(entry, port) if limits(port) else RECORDED if port.grant == grant.RECORDED else OPEN
                lines[name].append(f"{'.' if entry.below else ''}{entry.name}:{port.number} {value}")
    return {name: tuple(sorted(each) if name.startswith("exact") else each) for name, each in lines.items()}


def patterns(allowlist: Allowlist) -> tuple[str, ...]:
    """Returns the list of patterns for requests that are granted."""
    each = (
        grant.key_pattern(key(entry, port)) + pattern
        for entry in allowlist.entries
        for port in entry.ports
        if limits(port)
        for pattern in grant.patterns(port.grant)
    )
    return tuple(each)


def limits(port: Port) -> bool:
    """True if only some requests pass on this port. At hosts with a credential other rules decide."""
    return port.grant not in (grant.ANYTHING, grant.BY_CREDENTIAL, grant.RECORDED) and port.check is not Check.ADDRESS


def opened(allowlist: Allowlist) -> tuple[str, ...]:
    """Returns the entries whose TLS terminates at the gate because of their grant: the names for its certificates."""
    tls = (e.pattern for e in allowlist.entries if any(limits(port) and port.check is Check.TLS for port in e.ports))
    return tuple(dict.fromkeys(tls))


def recorded(allowlist: Allowlist) -> tuple[str, ...]:
    """Returns the names whose TLS terminates at the gate so that requests can be recorded."""
    return tuple(
        e.pattern for e in allowlist.entries if any(p.grant == grant.RECORDED and p.check is Check.TLS for p in e.ports)
    )


def of_key(allowlist: Allowlist, name_and_port: str) -> tuple[str, ...] | None:
    """The grant for `name:port`, None if connections to it may not pass. If it changes, open connections are closed."""
    name, _, number = name_and_port.rpartition(":")
    entry = allowlist.match(name)
    ports = (port for port in entry.ports if str(port.number) == number and port.check is not Check.ADDRESS) if entry else ()
    return next((port.grant for port in ports), None)


def rules(granted: Path) -> Iterable[str]:
    """Rules for a request whose entry in force is in txn.grant. `granted` is the file of patterns."""
    yield "http-request unset-var(txn.verdict)"  # so that what HAProxy itself refuses is logged as such
    yield from _shown()
    yield from _headers()
    yield from _path()
    # A variable must not hold the method itself: concat() would read any unusual method as OPTIONS (HAProxy 2.6).
    yield 'http-request set-var(txn.asked) method,concat("=",txn.compared)'
    yield 'http-request set-var(txn.asked) var(txn.grant),concat("=",txn.asked)'
    refusal = Refusal(403, reasons.REQUEST, "text", variable="txn.detail")
    yield from deny(refusal, f"!{{ method {' '.join(grant.METHODS)} }}")
    yield from deny(refusal, f"!{{ var(txn.asked) -m reg -f {granted} }}")
    yield from _body()
    yield "http-request set-var(txn.detail) str(-)"


def _shown() -> Iterable[str]:
    """Sets txn.detail: the request as a grant would permit it (`POST:/v1/items/*`). A path has no blanks before decoding."""
    yield "http-request set-var(txn.shown) path"
    yield "http-request set-var(txn.detail) method,concat(':',txn.shown),\"regsub('/[0-9]+(?![^/])','/*',g)\""


def _headers() -> Iterable[str]:
    """Rules for requests that say something else than their method and path, or change the protocol."""
    override = Refusal(403, reasons.REQUEST, "text", "override")
    yield from NAMES_OF_HEADERS
    for condition in OVERRIDES:
        yield from deny(override, condition)
    yield from deny(Refusal(403, reasons.REQUEST, "text", "upgrade"), UPGRADES)
    yield "http-request del-header connection if { req.hdr(upgrade) -m found }"
    yield "http-request del-header ^(upgrade|http2-settings)$ -m reg"
    yield f"http-request del-header '{dropped(())}' -m reg"
    yield "http-request del-header _ -m sub"


def _path() -> Iterable[str]:
    """Sets txn.compared, the path that patterns see: decoded and without trailing slashes, or `-` for an unusual spelling.

    HAProxy's regular expressions stop at a NUL, so it is refused first.
    """
    two_ways = Refusal(400, reasons.TWO_WAYS, "text")
    yield "http-request set-var(txn.path) path,url_dec"
    yield from deny(two_ways, "!{ var(txn.path) -m found }")
    yield from deny(two_ways, "{ path -m sub %00 }")
    yield from deny(two_ways, f"{{ var(txn.path) -m reg {UNCLEAR} }}")
    yield "http-request set-var(txn.compared) var(txn.path),regsub(/+$,)"
    yield "http-request set-var(txn.compared) str(/) if { var(txn.compared) -m len 0 }"
    yield f"http-request set-var(txn.compared) str(-) if {{ path -m reg {SPELLED} }}"
    yield f"http-request set-var(txn.compared) str(-) if {{ var(txn.path) -m reg {SINGLE_DOT} }}"


def _body() -> Iterable[str]:
    """Rules that refuse a body of GET, HEAD and OPTIONS. Over HTTP/2 it may come without any announcement."""
    refusal = Refusal(403, reasons.REQUEST, "text", "body")
    for condition in ANNOUNCED_BODIES:
        yield from deny(refusal, condition)
    yield f"http-request wait-for-body time 2s if {READS}"
    yield from deny(refusal, SENT_BODY)
