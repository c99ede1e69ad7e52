"""CoreDNS's configuration, and the lines of its log that say what it refused. An unlisted name never leaves.

A server block a name is exact about nesting, which a child template in one big block is not (it hits names it should not);
it costs 23 MB for 23 names and 131 MB for 1,000. Above MAX_BLOCKS names one block passes everything on and the guard, which
holds the same list, decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass

from network.allowlist import Allowlist
from network.firewall.ruleset import COREDNS_ADDRESS, GUARD_ADDRESS

MAX_BLOCKS = 1000
HEALTH_PORT, READY_PORT, METRICS_PORT = 8180, 8181, 9153
CACHE_SECONDS = 300  # the guard keeps addresses open for longer than this

_WATCH = f"""\
    health {COREDNS_ADDRESS}:{HEALTH_PORT}
    ready {COREDNS_ADDRESS}:{READY_PORT}
"""
_COMMON = f"""\
    bind {COREDNS_ADDRESS}
    errors
    prometheus {COREDNS_ADDRESS}:{METRICS_PORT}
"""
# Types other than A are an empty NOERROR: no IPv6, no ECH keys, no text to carry data in.
_RESOLVE = f"""\
    acl {{
        allow type A
        filter
    }}
    cache {CACHE_SECONDS} {{
        success 8192 {CACHE_SECONDS} 0
        denial 4096 30 0
        servfail 0s
    }}
    forward . {GUARD_ADDRESS}:53 {{
        max_concurrent 1000
        max_fails 0
    }}
"""


def render(allowlist: Allowlist) -> str:
    """The Corefile for a list. Its names went through `allowlist.normalise`: letters, digits, `-`, `_` and dots only."""
    if len(allowlist.entries) > MAX_BLOCKS:
        return _block(".", _COMMON, _WATCH, _RESOLVE)
    wildcards = Allowlist(tuple(entry for entry in allowlist.entries if entry.below))
    exact = {entry.name for entry in allowlist.entries if not entry.below}
    blocks = [_block(zone, _COMMON, _exactness(zone, exact, wildcards), _RESOLVE) for zone in _zones(allowlist)]
    return "".join(blocks) + _block(".", _COMMON, _WATCH, _refuse())


def _block(zone: str, *parts: str) -> str:
    return f"{zone}:53 {{\n{''.join(parts)}}}\n"


def _refuse(match: str = "") -> str:
    """NXDOMAIN, and a line on stdout that the supervisor counts: a plugin of ours (network/dns/coredns/refuse.go)."""
    return f"    refuse {match}".rstrip() + "\n"


def _zones(allowlist: Allowlist) -> Iterable[str]:
    """Each listed name once: where a name and what is below it are both listed, they share a block."""
    return dict.fromkeys(entry.name for entry in allowlist.entries)


def _exactness(zone: str, exact: Set[str], wildcards: Allowlist) -> str:
    """What turns away the names that a zone covers and the list does not: below an exact one, the apex of a wildcard."""
    covered = wildcards.match(zone) is not None  # by a wildcard above: then so is everything below
    apex = zone in exact or covered
    below = covered or wildcards.match(f"x.{zone}") is not None
    quoted = re.escape(zone)
    if apex and below:
        return ""
    return _refuse(rf"^{quoted}\.$" if below else rf".\.{quoted}\.$")


@dataclass(frozen=True, slots=True)
class RefusedQuery:
    """A name that CoreDNS refused. `name` is lower case, without the trailing dot.

    `port` is the asker's UDP port, whose answer CoreDNS holds for some milliseconds more; 0 where it does not.
    """

    type: str
    name: str
    port: int = 0


_LINE = re.compile(r"refused ([A-Z0-9]{1,12}) (\S{1,1100}) ([0-9]{1,5})\s*\Z")


def parse_log_line(line: str) -> RefusedQuery | None:
    """The refusal that a line of CoreDNS's output reports, or None."""
    found = _LINE.match(line)
    return RefusedQuery(found[1], found[2].rstrip(".").lower(), int(found[3])) if found else None
