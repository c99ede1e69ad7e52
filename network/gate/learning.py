"""The part of the gate for names that a learning run has opened: any request passes, and its method and path are logged.

TLS terminates here with a certificate of the run's own CA, and the server's certificate is verified. No credential is known to
these rules. Source: HAProxy configuration manual 2.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from network import reasons
from network.gate import grants
from network.gate.credential_proxy import foreign, indented, resolve
from network.gate.headers import dropped
from network.gate.rules import Refusal, deny
from network.learning.record import Request

# The request's path is the last field: HAProxy cuts long lines, and the path is text from the agent without blanks.
_REQUEST = "request"
LOG = f"{_REQUEST} %[var(txn.verdict)] %[var(txn.port)] %Tr %HM %[var(txn.feature)] %[var(txn.name)] %[var(txn.shown)]"
# The alerts with which clients refuse a certificate (RFC 8446, section 6.2), as OpenSSL words them.
_HANDSHAKE = "handshake"
# Of the name only the part before a blank: it is text from the agent that no rule has checked, and could imitate an error.
LOG_OF_ERRORS = f"{_HANDSHAKE} %[dst_port] %[ssl_fc_sni,lower,word(1,' ')] %[ssl_fc_err_str]"
_REFUSED_CERTIFICATE = re.compile(
    r"alert (unknown ca|bad certificate|certificate unknown|unsupported certificate|access denied)"
)
_NAME = re.compile(r"[a-z0-9_][a-z0-9._-]{0,252}\Z")


@dataclass(frozen=True, slots=True)
class LearningProxy:
    """Paths of the proxy's sockets for TLS and for plain HTTP within the gate's chroot, and these sockets, listening.

    The log goes to `log_descriptor`. `certificates` is their list; `exact` and `exact_http` map names to the entry in force.
    """

    certificates: Path
    authorities: Path
    exact: Path
    exact_http: Path
    inside: str
    inside_http: str
    descriptor: int = -1
    http_descriptor: int = -1
    log_descriptor: int = -1


def render(proxy: LearningProxy) -> str:
    """Returns the proxy's frontend and backends."""
    no_address = Refusal(502, reasons.NO_ADDRESS, "text")
    return _TEMPLATE.format(
        inside=proxy.inside, inside_http=proxy.inside_http, certificates=proxy.certificates, authorities=proxy.authorities,
        descriptor=proxy.descriptor, http_descriptor=proxy.http_descriptor, log_descriptor=proxy.log_descriptor,
        log=LOG, log_of_errors=LOG_OF_ERRORS, exact=proxy.exact, exact_http=proxy.exact_http,
        rules=indented((*foreign(), *_opened(), *_features(), *resolve("var(txn.name)", no_address))),
    )  # fmt: skip


def _opened() -> Iterable[str]:
    """Refuses requests to a name that is not open for recording."""
    yield from deny(Refusal(421, reasons.MISDIRECTED, "text"), f"!{{ var(txn.grant) -m str {grants.RECORDED} }}")


def _features() -> Iterable[str]:
    """Sets txn.feature to what no grant can permit, or `-`. The same headers are dropped as where a grant limits requests."""
    yield from grants.NAMES_OF_HEADERS
    yield "http-request set-var(txn.feature) str(-)"
    for condition in grants.ANNOUNCED_BODIES:
        yield f"http-request set-var(txn.feature) str(body) if {condition}"
    yield f"http-request wait-for-body time 2s if {grants.READS}"
    yield f"http-request set-var(txn.feature) str(body) if {grants.SENT_BODY}"
    for condition in grants.OVERRIDES:
        yield f"http-request set-var(txn.feature) str(override) if {condition}"
    yield f"http-request set-var(txn.feature) str(upgrade) if {grants.UPGRADES}"
    clear_text = "{ req.hdr(upgrade) -m str -i h2c }"
    yield f"http-request del-header connection if {clear_text}"
    yield f"http-request del-header ^(upgrade|http2-settings)$ -m reg if {clear_text}"
    yield f"http-request del-header '{dropped(())}' -m reg"
    yield "http-request del-header _ -m sub"


_TEMPLATE = """\

# Names that the learning run has opened (network/gate/learning.py).
backend to_learning
    mode tcp
    server learning unix@{inside} send-proxy-v2

backend to_learning_http
    mode http
    http-reuse never
    server learning unix@{inside_http} send-proxy-v2 proto h1

frontend learning
    mode http
.if version_atleast(3.0)
    bind fd@{descriptor} accept-proxy ssl crt-list {certificates} alpn h2,http/1.1 strict-sni
.else
    bind fd@{descriptor} accept-proxy ssl crt-list {certificates} alpn http/1.1 strict-sni
.endif
    bind fd@{http_descriptor} accept-proxy proto h1
    option http-no-delay
    no log
    log fd@{log_descriptor} format raw local0
    log-format "{log}"
    error-log-format "{log_of_errors}"
    http-request set-var(txn.verdict) str(unclear)
    http-request set-var(txn.port) dst_port
    http-request set-var(txn.shown) path
    http-request set-var(txn.feature) str(-)
    http-request set-var(txn.host) req.hdr(host),lower,regsub([.]:,:),regsub([.]$,)
    http-request set-var(txn.name) ssl_fc_sni,lower,regsub([.]$,)
    http-request set-var(txn.name) req.hdr(host),field(1,:),lower,regsub([.]$,) unless {{ ssl_fc }}
    http-request set-var(txn.key) var(txn.name),concat(:,txn.port)
    http-request set-var(txn.host) var(txn.name) if {{ var(txn.host),strcmp(txn.key) eq 0 }}
    http-request set-var(txn.grant) var(txn.key),map_str({exact}) if {{ ssl_fc }}
    http-request set-var(txn.grant) var(txn.key),map_str({exact_http}) unless {{ ssl_fc }}
{rules}
    use_backend recorded if {{ ssl_fc }}
    default_backend recorded_http

backend recorded
    mode http
    option http-no-delay
    http-reuse never
    server itself 0.0.0.0:0 ssl verify required ca-file {authorities} sni var(txn.name) alpn http/1.1

backend recorded_http
    mode http
    option http-no-delay
    http-reuse never
    server itself 0.0.0.0:0 proto h1
"""


@dataclass(frozen=True, slots=True)
class Untrusted:
    """A client that ended its handshake because it does not trust the gate's certificate for a name."""

    name: str


@dataclass(frozen=True, slots=True)
class Denied:
    """A request that the gate refused, by the word in its log (network/gate/wording.py)."""

    verdict: str
    name: str
    port: int


def parse_line(text: str) -> Request | Untrusted | Denied | None:
    """Parses a line of the proxy's log. Returns None for other lines, and for those without a name."""
    fields = text.split(" ", 7)
    if fields[0] == _HANDSHAKE:
        _, _, name, error = (*text.split(" ", 3), "", "", "")[:4]
        name = name.lower().removesuffix(".")
        return Untrusted(name) if _NAME.match(name) and _REFUSED_CERTIFICATE.search(error) else None
    if fields[0] != _REQUEST or len(fields) < 8:
        return None
    _, verdict, port, milliseconds, method, feature, name, path = fields
    if not (_NAME.match(name) and port.isascii() and port.isdigit()):
        return None
    if verdict != "carried":
        return Denied(verdict, name, int(port))
    return Request(name, int(port), method, path.rstrip(), "" if feature == "-" else feature, not milliseconds.startswith("-"))
