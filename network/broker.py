"""The part of the gate that ends TLS: for each host with a credential, what is checked and what replaces a placeholder.

Source: HAProxy configuration manual 2.6. Secrets come in as values and stand in the text that goes out: it belongs into a file
that only root reads.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from network.credentials import Credential, Host

TOKENS_IN_URLS = ("access_token", "private_token", "token", "api_key", "oauth_token")
UNPLAIN_PATH = r"'[%;\\]|//|/\.\.?(/|$)'"  # encoded, doubled or dotted: read one way here and another way there
# Names of headers by which services that take telemetry, packages or code let somebody in.
# An underscore is read as the dash that it stands for: CGI, WSGI and Rack make one name of both.
CREDENTIAL_HEADERS = (
    r"[^:]*(authorization|token|secret|password|api[._-]?key|(application|license|insert|access|ingestion|write|auth)[._-]?key|"
    r"honeycomb[._-]team)"
)
OVERRIDES = r"^x[_-](http[_-])?method([_-]override)?$"
REPOSITORY_SETTINGS = "this is the operator's to change"
NOT_OURS = "only the operator's credentials work here"


@dataclass(frozen=True, slots=True)
class Broker:
    """`secrets` by variable.

    `inside` is the path of its socket as the gate sees it, `descriptor` that socket, listening. `asks` and `asks_descriptor`
    are the same for questions of the gate's own, asked with the operator's credential (network/graphql.lua).
    """

    hosts: tuple[Host, ...]
    secrets: Mapping[str, str] = field(repr=False)
    repositories: tuple[str, ...]
    certificates: Path
    authorities: Path
    inside: str
    asks: str
    descriptor: int = -1
    asks_descriptor: int = -1

    @property
    def reads_graphql(self) -> bool:
        return any(host.graphql for host in self.hosts)


def render(broker: Broker, log_format: str) -> str:
    """Frontend and backends; "" where no host has a credential."""
    if not broker.hosts:
        return ""
    choices = "".join(f"    use_backend {_backend(host)} if {{ var(txn.name) -m str {host.name} }}\n" for host in broker.hosts)
    return _FRONTEND.format(
        inside=broker.inside, descriptor=broker.descriptor, certificates=broker.certificates, log=log_format,
        choices=choices, foreign=_answer("text", "request and connection name different hosts"),
    ) + "".join(_host(broker, host) for host in broker.hosts) + _asks(broker)  # fmt: skip


_FRONTEND = """\

backend terminate
    mode tcp
    server broker unix@{inside} send-proxy-v2

frontend broker
    mode http
    bind fd@{descriptor} accept-proxy ssl crt {certificates}/ alpn h2,http/1.1 strict-sni
    option http-no-delay
    log-format "{log}"
    http-request set-var(txn.verdict) str(foreign)
    http-request set-var(txn.address) dst
    http-request set-var(txn.port) dst_port
    http-request set-var(txn.name) ssl_fc_sni,lower
    http-request set-var(txn.host) req.hdr(host),lower
    http-request set-var(txn.detail) str(-)
    http-request set-var(txn.cookies) int(0)
    http-request set-var(txn.cookies) int(1) if {{ req.hdr(cookie) -m found }} or {{ req.hdr(cookie2) -m found }}
    http-request del-header ^cookie2?$ -m reg
    http-response del-header ^set-cookie2?$ -m reg
    acl with_port req.hdr(host) -m end :443
    http-request set-var(txn.host) req.hdr(host),field(1,:),lower if with_port
    http-request deny deny_status 421 {foreign} unless {{ var(txn.host),strcmp(txn.name) eq 0 }}
    http-request deny deny_status 400 {foreign} unless {{ req.hdr_cnt(host) le 1 }}
    http-request deny deny_status 400 {foreign} if {{ fc_http_major 1 }} !{{ url -m beg / }}
    http-request deny deny_status 400 {foreign} if {{ fc_http_major 2 }} !{{ url -m beg / https:// }}
    http-request deny deny_status 400 {foreign} if {{ method CONNECT TRACE }} or {{ req.hdr(upgrade) -m found }}
{choices}    default_backend nothing

backend nothing
    mode http
    http-request deny deny_status 421 {foreign}
"""


def _backend(host: Host) -> str:
    return "host_" + host.name


def _answer(kind: str, message: str, *, how: str = "string") -> str:
    """Content type and body of a refusal, as HAProxy's configuration quotes them; an lf-string may hold variables."""
    text = f"codetainer: {message}"
    if kind == "json":
        text = json.dumps({"type": "error", "message": text, "error": {"type": "permission_error", "message": text}})
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'content-type {"application/json" if kind == "json" else "text/plain"} {how} "{quoted}\\n"'


def _encoded(name: str) -> str:
    """The name of a parameter as a regular expression: a server may read each character by its code, too."""
    return "".join(f"({character}|%{ord(character):02x}|%{ord(character.upper()):02x})" for character in name)


def _deny(how: str, condition: str) -> tuple[str, str]:
    """A refusal. The body is taken first: one that is still being sent makes HTTP/2 clients lose the answer."""
    return f"http-request wait-for-body time 1s if {condition}", f"http-request deny {how} if {condition}"


def _host(broker: Broker, host: Host) -> str:
    given = [c for c in host.credentials if broker.secrets.get(c.variable)]
    headers = sorted({"x-api-key", *(c.header for c in host.credentials)} - {"authorization"})
    held = {header: f"txn.fine{number}" for number, header in enumerate(("authorization", *headers))}
    ours = "deny_status 403 " + _answer(host.answers, NOT_OURS)
    pushes = ", ".join(broker.repositories) or "no repository"
    scope = "deny_status 403 " + _answer(host.answers, f"writes go to {pushes} only")
    lines = [
        f"\nbackend {_backend(host)}\n    mode http\n    option http-no-delay\n    http-reuse never",
        # --- one credential, the placeholder, in one place ---
        "http-request set-var(txn.verdict) str(credential)",
        *_deny(ours, " or ".join(f"{{ req.hdr_cnt({header}) gt 1 }}" for header in ("authorization", *headers))),
        *_deny(ours, "{ req.hdr(proxy-authorization) -m found }"),
        *_deny(ours, rf"{{ query -m reg -i '(^|[&;])({'|'.join(map(_encoded, TOKENS_IN_URLS))})(=|&|;|\[|%5b|$)' }}"),
        # Other headers that may hold one: the names between colons, without those that are judged below.
        "http-request set-var(txn.colon) str(:)",
        "http-request set-var(txn.names) req.hdr_names(:),lower",
        "http-request set-var(txn.names) var(txn.colon),concat(,txn.names,:)",
        *(f"http-request set-var(txn.names) var(txn.names),regsub(:{header}:,::,g)" for header in held),
        *_deny(ours, f"{{ var(txn.names) -m reg ':{CREDENTIAL_HEADERS}:' }}"),
        "http-request set-var(txn.scheme) req.fhdr(authorization),word(1,' '),lower",
        "http-request set-var(txn.secret) req.fhdr(authorization),word(2,' ')",
        "http-request set-var(txn.login) var(txn.secret),b64dec if { var(txn.scheme) -m str basic }",
        "http-request set-var(txn.secret) var(txn.login),field(2,:) if { var(txn.scheme) -m str basic }",
        *(f"http-request set-var({fine}) bool(false)" for fine in held.values()),
        *(line for c in given for line in _replace(c, broker.secrets[c.variable], held[c.header])),
        # Each for itself: one that is not ours beside a good one is refused too.
        *(
            line
            for header, fine in held.items()
            for line in _deny(ours, f"{{ req.hdr({header}) -m found }} !{{ var({fine}) -m bool }}")
        ),
        # --- what may be done with it ---
        f"http-request del-header '{OVERRIDES}' -m reg",
        "http-request set-var(txn.verdict) str(scope)",
        *(line for header, text in host.refuse_headers for line in _deny(scope, f"{{ req.hdr({header}) -m sub -i {text} }}")),
        *_never(host, scope),
        "http-request set-var(txn.writes) bool(true) unless { method GET HEAD }",
    ]
    if host.announces:
        lines.append(f"http-request set-var(txn.writes) bool(true) if {{ query -m sub -i {host.announces} }}")
        lines.append("http-request set-var(txn.owner) path,field(2,/)")
        lines.append("http-request set-var(txn.detail) path,field(3,/)")
        lines.append("http-request set-var(txn.detail) var(txn.owner),concat(/,txn.detail)")
    writes = "{ var(txn.writes) -m bool }"
    lines += _deny(scope, f"{writes} {{ path -m reg {UNPLAIN_PATH} }}")
    settings = "deny_status 403 " + _answer(host.answers, REPOSITORY_SETTINGS)
    for path in host.refused(broker.repositories):
        lines += _deny(settings, f"{writes} {{ path -m reg -i '{path}' }}")
    lines.append("http-request set-var(txn.fits) bool(false)")
    for write in host.allowed(broker.repositories):
        matches = f"{{ method {write.method} }} {{ path -m reg -i '{write.path}' }}"
        lines.append(f"http-request set-var(txn.fits) bool(true) if {matches}")
    lines += [
        *_deny(scope, f"{writes} !{{ var(txn.fits) -m bool }}"),
        *(_read_graphql(broker, host, pushes) if host.graphql and "*" not in broker.repositories else ()),
        "http-request set-var(txn.detail) str(-)",
        *_onward(broker, host),
    ]
    return "\n    ".join(lines) + "\n"


def _onward(broker: Broker, host: Host) -> Iterable[str]:
    """To the host's own address, whatever was dialled."""
    yield "http-request set-var(txn.verdict) str(unresolved)"
    yield f"http-request do-resolve(txn.target,names,ipv4) str({host.name})"
    yield "http-request deny deny_status 502 unless { var(txn.target) -m found }"
    yield "http-request set-dst var(txn.target)"
    yield "http-request set-dst-port int(443)"
    yield "http-request set-var(txn.verdict) str(carried)"
    yield (
        f"server itself 0.0.0.0:0 ssl verify required ca-file {broker.authorities} sni str({host.name}) "
        f"verifyhost {host.name} alpn http/1.1"
    )


def _read_graphql(broker: Broker, host: Host, pushes: str) -> Iterable[str]:
    """What GraphQL writes, and where. What could be a query beside the body, or another kind of body, is refused first."""
    yield f"acl graphql path -m reg -i '^{host.graphql}(/.*)?$'"
    scope = "deny_status 403 " + _answer(host.answers, f"writes go to {pushes} only; this is no plain GraphQL request")
    yield from _deny(scope, "graphql { query -m found }")
    yield from _deny(scope, "graphql { req.hdr(content-encoding) -m found }")
    yield "http-request wait-for-body time 10s if graphql !{ method POST }"
    yield from _deny(scope, "graphql !{ method POST } { req.body_len gt 0 }")
    yield "http-request del-header _ -m sub if graphql"  # Content_Type: CGI, WSGI and Rack read it as Content-Type
    yield "http-request set-header content-type application/json if graphql { method POST }"
    yield f"http-request set-var(txn.graphql_push) str('{' '.join(broker.repositories) or '-'}')"
    yield f"http-request set-var(txn.graphql_mutations) str('{' '.join(host.mutations)}')"
    yield f"http-request set-var(txn.graphql_ask) str({broker.asks})"
    yield "http-request wait-for-body time 10s if graphql { method POST }"
    yield "http-request lua.graphql_scope if graphql { method POST }"
    yield "http-request set-var(txn.detail) var(txn.graphql) if graphql { method POST }"
    why = _answer(host.answers, f"writes go to {pushes} only; %[var(txn.graphql)]", how="lf-string")
    yield f"http-request deny deny_status 403 {why} if graphql {{ method POST }} !{{ var(txn.graphql) -m str fine }}"


def _asks(broker: Broker) -> str:
    """How the gate itself asks a host: nobody but it reaches this socket, and only graphql.lua sends something there."""
    hosts = [host for host in broker.hosts if host.graphql and any(broker.secrets.get(c.variable) for c in host.credentials)]
    if not hosts:
        return ""
    lines = [f"\nfrontend asks\n    mode http\n    no log\n    bind fd@{broker.asks_descriptor}"]
    lines += [f"use_backend asks_{host.name} if {{ req.hdr(host) -m str {host.name} }}" for host in hosts]
    text = "\n    ".join(lines) + "\n"
    for host in hosts:
        credential = next(c for c in host.credentials if broker.secrets.get(c.variable))
        value = ("Bearer " if credential.header == "authorization" else "") + broker.secrets[credential.variable]
        lines = [f"\nbackend asks_{host.name}\n    mode http\n    http-reuse never"]
        lines += [f"http-request set-header {credential.header} {_quoted(value)}", *_onward(broker, host)]
        text += "\n    ".join(lines) + "\n"
    return text


def _never(host: Host, how: str) -> Iterable[str]:
    """What is never reached, however it is written: a path that can be read in two ways is refused here for reads too."""
    if not host.refuse_paths:
        return
    yield "http-request set-var(txn.plain) path,url_dec"
    conditions = [f"-m beg -i {path}" for path in host.refuse_paths]
    for condition in (f"-m reg {UNPLAIN_PATH}", *conditions):
        yield from _deny(how, f"{{ var(txn.plain) {condition} }}")


def _replace(credential: Credential, secret: str, fine: str) -> Iterable[str]:
    """The placeholder becomes the secret, and the variable `fine` true.

    A secret has no blanks, quotes or other characters that the configuration reads.
    """
    if credential.header != "authorization":
        given = f"{{ req.fhdr({credential.header}) -m str {credential.placeholder} }}"
        yield f"http-request set-var({fine}) bool(true) if {given}"
        yield f"http-request set-header {credential.header} {_quoted(secret)} if {given}"
        return
    held = f"{{ var(txn.secret) -m str {credential.placeholder} }}"
    basic = base64.b64encode(f"{credential.login}:{secret}".encode()).decode()
    yield f"http-request set-var({fine}) bool(true) if {{ var(txn.scheme) -m str bearer token basic }} {held}"
    for scheme, value in (("bearer", f"Bearer {secret}"), ("token", f"token {secret}"), ("basic", f"Basic {basic}")):
        yield f"http-request set-header authorization {_quoted(value)} if {{ var(txn.scheme) -m str {scheme} }} {held}"


def _quoted(text: str) -> str:
    """A log-format string that is this text: HAProxy reads % and quotes."""
    if "'" in text:
        raise ValueError("cannot hold a credential with a quote in it")
    return "'" + text.replace("%", "%%") + "'"
