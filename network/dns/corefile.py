"""CoreDNS's configuration, and the lines of its log that report names. An unlisted name never leaves the sandbox, except in a
learning run.

One server block per name matches nested names exactly; templates within one large block would also match other names. The
blocks take 23 MB for 23 names and 131 MB for 1,000. Above MAX_BLOCKS names, and in a learning run, one block forwards
everything and the guard, which has the same allowlist, decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass

from network.allowlist import Allowlist
from network.firewall.ruleset import COREDNS_ADDRESS, GUARD_ADDRESS
from network.names import LABEL

MAX_BLOCKS = 1000
HEALTH_PORT, READY_PORT, METRICS_PORT = 8180, 8181, 9153
CACHE_SECONDS = 300  # the guard keeps addresses open for longer

_WATCH = f"""\
    health {COREDNS_ADDRESS}:{HEALTH_PORT}
    ready {COREDNS_ADDRESS}:{READY_PORT}
"""
_COMMON = f"""\
    bind {COREDNS_ADDRESS}
    errors
    prometheus {COREDNS_ADDRESS}:{METRICS_PORT}
"""
# Types other than A get an empty NOERROR: no IPv6, no ECH keys, no TXT records that could carry data.
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


# The sandbox itself, without a forward (RFC 6761, 6.3): programs that do not read /etc/hosts ask for these names.
_LOCAL = """\
    template IN A {
        answer "{{ .Name }} 60 IN A 127.0.0.1"
    }
    template ANY ANY {
        rcode NOERROR
    }
"""


def render_learning(allowlist: Allowlist, host: str = "") -> str:
    """Returns the Corefile for a learning run. The allowlist only matters if it contains the sandbox's own host name.

    Our plugin `tell` (network/dns/coredns/tell.go) logs the names, so that their programs can be found. CoreDNS remembers no
    negative answers: a name that has none now may be open a moment later.
    """
    resolve = _RESOLVE.replace("denial 4096 30 0\n", "disable denial\n")
    return _local(allowlist, host) + _block(".", _COMMON, _WATCH, "    tell\n", resolve)


def _local(allowlist: Allowlist, host: str) -> str:
    """The blocks for the sandbox's own names."""
    local = _block("localhost", _COMMON, _LOCAL)
    if _is_own(host, allowlist):
        local += _block(host, _COMMON, _refuse(rf".\.{re.escape(host)}\.$"), _LOCAL)
    return local


def render(allowlist: Allowlist, host: str = "") -> str:
    """Returns the Corefile for an allowlist, whose names `normalise` has reduced to letters, digits, `-`, `_` and dots.

    `host` is the sandbox's host name. It and all names below localhost are answered with 127.0.0.1.
    """
    local = _local(allowlist, host)
    if len(allowlist.entries) > MAX_BLOCKS:
        return local + _block(".", _COMMON, _WATCH, _RESOLVE)
    wildcards = Allowlist(tuple(entry for entry in allowlist.entries if entry.below))
    exact = {entry.name for entry in allowlist.entries if not entry.below}
    blocks = [_block(zone, _COMMON, _exactness(zone, exact, wildcards), _RESOLVE) for zone in _zones(allowlist)]
    return local + "".join(blocks) + _block(".", _COMMON, _WATCH, _refuse())


def is_local(name: str, allowlist: Allowlist, host: str = "") -> bool:
    """True if `render` answers a name with 127.0.0.1."""
    return f".{name}".endswith(".localhost") or (name == host and _is_own(host, allowlist))


def _is_own(host: str, allowlist: Allowlist) -> bool:
    return _is_plain(host) and host not in ("localhost", *_zones(allowlist)) and allowlist.match(host) is None


def _is_plain(host: str) -> bool:
    return all(LABEL.match(label) for label in host.split("."))


def _block(zone: str, *parts: str) -> str:
    return f"{zone}:53 {{\n{''.join(parts)}}}\n"


def _refuse(match: str = "") -> str:
    """A directive that answers NXDOMAIN and logs the name on stdout: our plugin (network/dns/coredns/refuse.go)."""
    return f"    refuse {match}".rstrip() + "\n"


def _zones(allowlist: Allowlist) -> Iterable[str]:
    """The zones of the server blocks: a name and its wildcard share one."""
    return dict.fromkeys(entry.name for entry in allowlist.entries)


def _exactness(zone: str, exact: Set[str], wildcards: Allowlist) -> str:
    """The directive that refuses names in the zone that are not listed: below an exact entry, or the apex of a wildcard."""
    covered = wildcards.match(zone) is not None  # by a wildcard above, which also covers everything below the zone
    apex = zone in exact or covered
    below = covered or wildcards.match(f"x.{zone}") is not None
    quoted = re.escape(zone)
    if apex and below:
        return ""
    return _refuse(rf"^{quoted}\.$" if below else rf".\.{quoted}\.$")


@dataclass(frozen=True, slots=True)
class LoggedQuery:
    """A name that CoreDNS refused, or in a learning run (`refused` is false) passed on. It is lower case, without trailing dot.

    `port` is the client's UDP port if CoreDNS is delaying the answer for some milliseconds, otherwise 0.
    """

    type: str
    name: str
    port: int = 0
    refused: bool = True


_LINE = re.compile(r"(refused|asked) ([A-Z0-9]{1,12}) (\S{1,1100}) ([0-9]{1,5})\s*\Z")


def parse_log_line(line: str) -> LoggedQuery | None:
    """Returns the query that a line of CoreDNS's output reports, or None."""
    match = _LINE.match(line)
    return LoggedQuery(match[2], match[3].rstrip(".").lower(), int(match[4]), match[1] == "refused") if match else None
