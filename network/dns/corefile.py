"""CoreDNS's configuration, and the lines of its log that report names. An unlisted name never leaves the sandbox, except in a
learning run.

One server block refuses the names that are not in a file (`listed`; our plugin network/dns/coredns/refuse.go), so that another
allowlist takes a few milliseconds to load, whatever its length. The guard has the same allowlist. In a learning run the block
forwards everything and the guard decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from network.allowlist import Allowlist
from network.firewall.ruleset import COREDNS_ADDRESS, GUARD_ADDRESS
from network.names import LABEL

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
# The sandbox's own name, whose zone may have names that are listed.
_OWN = """\
    template IN A {host} {{
        match ^{pattern}\\.$
        answer "{{{{ .Name }}}} 60 IN A 127.0.0.1"
        fallthrough
    }}
"""


def render_learning(own: str = "") -> str:
    """Returns the Corefile for a learning run.

    Our plugin `tell` (network/dns/coredns/tell.go) logs the names, so that their programs can be found. CoreDNS remembers no
    negative answers: a name that has none now may be open a moment later.
    """
    return _rendered("    tell\n", own, _RESOLVE.replace("denial 4096 30 0\n", "disable denial\n"))


def render(names: str, own: str = "") -> str:
    """Returns the Corefile. `names` is the path of the file with the listed names.

    All names below localhost are answered with 127.0.0.1, and so is `own`, the sandbox's name (see `own_name`).
    """
    return _rendered(f"    refuse {names}\n", own, _RESOLVE)


def _rendered(first: str, own: str, resolve: str) -> str:
    here = _OWN.format(host=own, pattern=re.escape(own)) if own else ""
    return _block("localhost", _COMMON, _LOCAL) + _block(".", _COMMON, _WATCH, first, here, resolve)


def listed(allowlist: Allowlist, own: str = "") -> str:
    """Returns the file of listed names, which `normalise` has reduced to letters, digits, `-`, `_` and dots."""
    return "".join(f"{pattern}\n" for pattern in (*(entry.pattern for entry in allowlist.entries), own) if pattern)


def own_name(host: str, allowlist: Allowlist) -> str:
    """Returns the sandbox's host name, "" if it is not answered here: it is on the allowlist, or no plain name."""
    taken = host == "localhost" or allowlist.match(host) is not None or any(entry.name == host for entry in allowlist.entries)
    return host if _is_plain(host) and not taken else ""


def is_local(name: str, allowlist: Allowlist, host: str = "") -> bool:
    """True if CoreDNS answers a name with 127.0.0.1."""
    return f".{name}".endswith(".localhost") or (name == host and own_name(host, allowlist) != "")


def _is_plain(host: str) -> bool:
    return all(LABEL.match(label) for label in host.split("."))


def _block(zone: str, *parts: str) -> str:
    return f"{zone}:53 {{\n{''.join(parts)}}}\n"


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
