"""The credential proxy: the half of the gate that terminates TLS, checks requests, and replaces placeholders with credentials.

Source: HAProxy configuration manual 2.6. The rendered text contains the secrets: write it only to a file that only root can
read.

Length: the order of a request's rules is that of this file.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from network import reasons
from network.gate import grants, lfs, model_api
from network.gate.credentials import Credential, Host
from network.gate.headers import CREDENTIAL_HEADERS
from network.gate.rules import Refusal, body, deny, encoded, quoted
from network.gate.scope import scope

# HAProxy answers 503 if it cannot connect, or if the handshake fails.
UPSTREAM = (
    "no trusted connection to this host, so nothing was sent: it accepts no connection, or its certificate has expired, is for "
    "another name, or comes from an authority that the operator's system does not trust"
)
TOKENS_IN_URLS = ("access_token", "private_token", "token", "api_key", "oauth_token")


@dataclass(frozen=True, slots=True)
class CredentialProxy:
    """The hosts with a credential, whose TLS terminates at the gate, and `secrets` by variable.

    TLS of hosts whose allowlist entry grants only some requests terminates here, too: `exact` and `below` are the maps of the
    entries in force, `granted` the patterns of granted requests (network/gate/grants.py).

    `inside` is the path of the proxy's socket within the gate's chroot; `descriptor` is that socket, listening. `asks` and
    `asks_descriptor` are the same for the gate's own queries (network/gate/github.lua). `reader` is the path of the reader's
    socket, and at `onward_descriptor` the gate takes back the requests that the reader has read. The log goes to
    `log_descriptor`.
    """

    hosts: tuple[Host, ...]
    secrets: Mapping[str, str] = field(repr=False)
    repositories: tuple[str, ...]
    certificates: Path  # their list
    authorities: Path
    exact: Path
    below: Path
    granted: Path
    inside: str
    asks: str
    reader: str = ""
    descriptor: int = -1
    asks_descriptor: int = -1
    onward_descriptor: int = -1
    log_descriptor: int = -1

    @property
    def asks_github(self) -> bool:
        return any(host.graphql or host.lfs or host.guards_branches or host.members for host in self.hosts)

    @property
    def reads_requests(self) -> bool:
        """True if a host is an API of a model, so that the gate needs the reader."""
        return any(host.model_api for host in self.hosts)


def render(proxy: CredentialProxy, log_format: str) -> str:
    """Returns the proxy's frontend and backends."""
    choices = "".join(
        f"    use_backend {_backend(host)} if {{ var(txn.name) -m str {host.name} }} {{ var(txn.port) -m int 443 }}\n"
        for host in proxy.hosts
    )
    own = " ".join(host.name for host in proxy.hosts)
    return _FRONTEND.format(
        inside=proxy.inside, descriptor=proxy.descriptor, certificates=proxy.certificates, log=log_format,
        log_descriptor=proxy.log_descriptor, exact=proxy.exact, below=proxy.below,
        choices=choices, foreign=indented(foreign()), nothing=indented(Refusal(421, reasons.MISDIRECTED, "text").rules("TRUE")),
        own=f"    http-request set-var(txn.own) bool(true) if {{ var(txn.name) -m str {own} }}\n" if own else "",
    ) + _granted(proxy) + "".join(_host(proxy, host) for host in proxy.hosts) + _asks(proxy) + _after_reader(proxy)  # fmt: skip


_FRONTEND = """\

backend terminate
    mode tcp
    server credential_proxy unix@{inside} send-proxy-v2

frontend credential_proxy
    mode http
    # If a server breaks off a chunked answer, HAProxy 2.6 tells an HTTP/2 client that it is complete; 3.0 does not.
.if version_atleast(3.0)
    bind fd@{descriptor} accept-proxy ssl crt-list {certificates} alpn h2,http/1.1 strict-sni
.else
    bind fd@{descriptor} accept-proxy ssl crt-list {certificates} alpn http/1.1 strict-sni
.endif
    option http-no-delay
    no log
    log fd@{log_descriptor} format raw local0
    log-format "{log}"
    tcp-request session set-var(sess.address) dst
    tcp-request session set-var(sess.port) dst_port
    tcp-request session set-var(sess.name) ssl_fc_sni,lower,regsub([.]$,)
    http-request set-var(txn.verdict) str(unclear)
    http-request set-var(txn.name) ssl_fc_sni,lower,regsub([.]$,)
    http-request set-var(txn.port) dst_port
    http-request set-var(txn.host) req.hdr(host),lower,regsub([.]:,:),regsub([.]$,)
    http-request set-var(txn.detail) str(-)
    http-request set-var(txn.cookies) int(0)
{own}    acl own var(txn.own) -m bool
    http-request set-var(txn.cookies) int(1) if own {{ req.hdr(cookie) -m found }} or own {{ req.hdr(cookie2) -m found }}
    http-request del-header ^cookie2?$ -m reg if own
    http-response del-header ^set-cookie2?$ -m reg if own
    http-request del-header connection if own {{ req.hdr(upgrade) -m found }}
    http-request del-header ^(upgrade|http2-settings)$ -m reg if own
    http-request set-var(txn.key) var(txn.name),concat(:,txn.port)
    http-request set-var(txn.host) var(txn.name) if {{ var(txn.host),strcmp(txn.key) eq 0 }}
{foreign}
    # Servers do not expect the trailing dot that clients keep from a URL (https://example.com./).
    http-request set-header host %[var(txn.name)] if {{ req.hdr(host) -m end . }}
    http-request set-header host %[var(txn.key)] if {{ req.hdr(host) -m sub .: }}
    http-request set-var(txn.grant) var(txn.key),map_str({exact})
    http-request set-var(txn.grant) var(txn.key),map_end({below}) unless {{ var(txn.grant) -m found }}
{choices}    use_backend granted if {{ var(txn.grant) -m found }} !{{ var(txn.grant) -m str open }}
    default_backend nothing

backend nothing
    mode http
{nothing}
"""


def foreign() -> Iterable[str]:
    """Rules for a request that does not name the host of its connection, or that names it in more than one way."""
    several = Refusal(400, reasons.UNCLEAR, "text", "host_headers")
    url = Refusal(400, reasons.UNCLEAR, "text", "url")
    refusals = {
        "!{ req.hdr_cnt(host) le 1 }": several,
        "!{ var(txn.host),strcmp(txn.name) eq 0 }": Refusal(421, reasons.MISDIRECTED, "text"),
        "{ fc_http_major 1 } !{ url -m beg / }": url,
        "{ fc_http_major 2 } !{ url -m beg / https:// }": url,
        "{ method CONNECT TRACE }": Refusal(400, reasons.UNCLEAR, "text", "method"),
    }
    return (line for condition, refusal in refusals.items() for line in refusal.rules(condition))


def indented(rules: Iterable[str]) -> str:
    return "\n".join(f"    {rule}" for rule in rules)


def _granted(proxy: CredentialProxy) -> str:
    """The backend for every host whose entry grants only some requests. It verifies the certificate against the SNI."""
    lines = [
        "\nbackend granted\n    mode http\n    option http-no-delay\n    http-reuse never",
        *grants.rules(proxy.granted),
        *resolve("var(txn.name)", Refusal(502, reasons.NO_ADDRESS, "text")),
        "http-request set-log-level silent",  # the TLS frontend has logged the connection
        f"http-error status 503 {body('text', UPSTREAM)}",
        f"server itself 0.0.0.0:0 ssl verify required ca-file {proxy.authorities} sni var(txn.name) alpn http/1.1",
    ]
    return "\n    ".join(lines) + "\n"


def _backend(host: Host) -> str:
    return "host_" + host.name


def _host(proxy: CredentialProxy, host: Host) -> str:
    lines = [
        f"\nbackend {_backend(host)}\n    mode http\n    option http-no-delay\n    http-reuse never",
        "no log",
        f"log fd@{proxy.log_descriptor} format raw local0",  # of Lua files; requests are logged by the frontend
        *decisive(host, proxy.secrets, proxy.repositories, proxy.asks),
        *lfs.batches(host),
        *(model_api.to_reader(host, proxy.reader) if host.model_api else _onward(proxy, host)),
        *lfs.answers(host),
    ]
    if host.lfs_store:
        lines = [lines[0], *decisive(host, proxy.secrets, proxy.repositories, proxy.asks), *_onward(proxy, host)]
    return "\n    ".join(lines) + "\n"


def decisive(host: Host, secrets: Mapping[str, str], repositories: tuple[str, ...], asks: str) -> Iterable[str]:
    """The rules that decide about a request. `explain` follows them, too (network/gate/prediction.py)."""
    if host.lfs_store:
        yield from lfs.store(host)
        return
    yield from _placeholder_refused(host) if host.any_credential else _one_credential(host, secrets)
    yield from scope(host, repositories, asks)


def _one_credential(host: Host, secrets: Mapping[str, str]) -> Iterable[str]:
    """Rules that let exactly one credential pass: the placeholder, in its header. They replace it."""
    configured = [c for c in host.credentials if secrets.get(c.variable)]
    headers = sorted({"x-api-key", *(c.header for c in host.credentials)} - {"authorization"})
    held = {header: f"txn.fine{number}" for number, header in enumerate(("authorization", *headers))}
    spelled = "|".join(header.replace("-", "[_-]") for header in held)  # variants that a server may read as these headers
    ours = Refusal(403, reasons.NOT_OURS, host.answers)
    parameters = [name for name in TOKENS_IN_URLS if name != "token" or not host.url_tokens]
    in_url = rf"{{ query -m reg -i '(^|[&;])({'|'.join(map(encoded, parameters))})(=|&|;|\[|%5b|$)' }}"
    yield from (line for header in held for line in deny(ours, f"{{ req.hdr_cnt({header}) gt 1 }}"))
    yield from deny(ours, "{ req.hdr(proxy-authorization) -m found }")
    yield from deny(ours, in_url)
    # Other headers that may carry a credential: all names between colons, except those checked below.
    yield "http-request set-var(txn.colon) str(:)"
    yield "http-request set-var(txn.names) req.hdr_names(:),lower"
    yield "http-request set-var(txn.names) var(txn.colon),concat(,txn.names,:)"
    yield from (f"http-request set-var(txn.names) var(txn.names),regsub(:{header}:,::,g)" for header in held)
    yield from deny(ours, f"{{ var(txn.names) -m reg ':({CREDENTIAL_HEADERS}|{spelled}):' }}")
    yield from _presented()
    yield from (f"http-request set-var({fine}) bool(false)" for fine in held.values())
    yield from (line for c in configured for line in _recognise(c, held))
    if not host.model_api:
        yield from (line for c in configured for line in _insert(c, secrets[c.variable]))
    # Checks each header, because a foreign credential beside a good one must be refused too.
    for header, fine in held.items():
        yield from deny(ours, f"{{ req.hdr({header}) -m found }} !{{ var({fine}) -m bool }}")


def _placeholder_refused(host: Host) -> Iterable[str]:
    """Rules for a host to which the operator's credential is not sent."""
    refusal = Refusal(403, reasons.NOT_USED_HERE, host.answers)
    yield "http-request set-var(txn.shown) path"
    yield "http-request set-var(txn.detail) method,concat(' ',txn.shown)"
    yield from _presented()
    for credential in host.credentials:
        yield from deny(refusal, _holds(credential))


def _holds(credential: Credential) -> str:
    """A condition: the request presents the placeholder."""
    return f"{{ var(txn.secret) -m str {credential.placeholder} }}"


def _presented() -> Iterable[str]:
    """Sets txn.scheme and txn.secret to the parts of the Authorization header."""
    yield "http-request set-var(txn.scheme) req.fhdr(authorization),word(1,' '),lower"
    yield "http-request set-var(txn.secret) req.fhdr(authorization),word(2,' ')"
    yield from _basic()


def _basic() -> Iterable[str]:
    """Takes the token from Basic credentials: the password, or the user if the password is empty or says that it is a token.

    GitHub's REST documentation and git's URLs have both spellings: `user:TOKEN`, `TOKEN:` and `TOKEN:x-oauth-basic`.
    """
    basic = "{ var(txn.scheme) -m str basic }"
    yield f"http-request set-var(txn.login) var(txn.secret),b64dec if {basic}"
    yield f"http-request unset-var(txn.secret) if {basic}"
    yield f"http-request set-var(txn.secret) var(txn.login),field(2,:) if {basic}"
    yield f"http-request set-var(txn.secret) var(txn.login),field(1,:) if {basic} !{{ var(txn.secret) -m len gt 0 }}"
    yield f"http-request set-var(txn.secret) var(txn.login),field(1,:) if {basic} {{ var(txn.secret) -m str x-oauth-basic }}"


def _onward(proxy: CredentialProxy, host: Host) -> Iterable[str]:
    """Rules that connect to the host's own address, whatever address the client dialled."""
    yield from resolve(f"str({host.name})", Refusal(502, reasons.NO_ADDRESS, host.answers))
    yield "http-request set-dst-port int(443)"
    # The TLS frontend has logged the connection. This log is kept for refusals and for cookies that were dropped.
    yield "http-request set-log-level silent unless { var(txn.cookies) -m int 1 }"
    yield f"http-error status 503 {body(host.answers, UPSTREAM)}"
    yield (
        f"server itself 0.0.0.0:0 ssl verify required ca-file {proxy.authorities} sni str({host.name}) "
        f"verifyhost {host.name} alpn http/1.1"
    )


def resolve(name: str, lack: Refusal) -> Iterable[str]:
    """Rules that set the destination to an address of a host. `name` is an expression for its name."""
    yield "http-request set-var(txn.since) date(0,ms)"
    for milliseconds in (0, 0, 1000):  # once more in any case, and again if a query was lost (gate.template: resolvers)
        yield "http-request set-var(txn.waited) date(0,ms),sub(txn.since)"
        again = f"!{{ var(txn.target) -m found }} {{ var(txn.waited) -m int ge {milliseconds} }}"
        yield f"http-request do-resolve(txn.target,names,ipv4) {name} if {again}"
    yield from deny(lack, "!{ var(txn.target) -m found }")
    yield "http-request set-dst var(txn.target)"
    yield "http-request set-var(txn.verdict) str(carried)"


def _asks(proxy: CredentialProxy) -> str:
    """Frontend and backends for the gate's own queries. Only the gate can reach the socket, and only github.lua uses it."""
    hosts = [host for host in proxy.hosts if host.graphql and any(proxy.secrets.get(c.variable) for c in host.credentials)]
    if not hosts:
        return ""
    lines = [f"\nfrontend asks\n    mode http\n    no log\n    bind fd@{proxy.asks_descriptor}"]
    lines += [f"use_backend asks_{host.name} if {{ req.hdr(host) -m str {host.name} }}" for host in hosts]
    text = "\n    ".join(lines) + "\n"
    for host in hosts:
        credential = next(c for c in host.credentials if proxy.secrets.get(c.variable))
        value = ("Bearer " if credential.header == "authorization" else "") + proxy.secrets[credential.variable]
        lines = [f"\nbackend asks_{host.name}\n    mode http\n    http-reuse never"]
        lines += [f"http-request set-header {credential.header} {quoted(value)}", *_onward(proxy, host)]
        lines += ["http-response wait-for-body time 10s"]  # so that github.lua can limit the time of the whole answer
        text += "\n    ".join(lines) + "\n"
    return text


def _after_reader(proxy: CredentialProxy) -> str:
    """The frontend that takes back requests from the reader, and the backends that insert the credential and send them on.

    Only the reader can connect to the socket.
    """
    hosts = [host for host in proxy.hosts if host.model_api]
    if not hosts:
        return ""
    lines = [f"\nfrontend read\n    mode http\n    option http-no-delay\n    no log\n    bind fd@{proxy.onward_descriptor}"]
    lines += [f"use_backend read_{host.name} if {{ req.hdr(host) -m str {host.name} }}" for host in hosts]
    text = "\n    ".join([*lines, "default_backend nothing"]) + "\n"
    for host in hosts:
        lines = [f"\nbackend read_{host.name}\n    mode http\n    option http-no-delay\n    http-reuse never"]
        lines += [*_presented()]
        for credential in host.credentials:
            if secret := proxy.secrets.get(credential.variable):
                lines += _insert(credential, secret)
        lines += [*_onward(proxy, host), f"http-response del-header {model_api.REFUSED_HEADER}"]
        text += "\n    ".join(lines) + "\n"
    return text


def _schemes(credential: Credential) -> tuple[str, ...]:
    """The schemes of an Authorization header in which the placeholder may be presented."""
    if credential.header == "authorization":
        return ("bearer", "token", "basic")
    return ("bearer",) if credential.bearer else ()


def _presents(credential: Credential, scheme: str) -> str:
    """A condition: an Authorization header of this scheme holds the placeholder."""
    return f"{{ var(txn.scheme) -m str {scheme} }} {_holds(credential)}"


def _recognise(credential: Credential, held: Mapping[str, str]) -> Iterable[str]:
    """Rules that set the header's variable in `held` to true if a request presents the placeholder there."""
    if credential.header != "authorization":
        yield f"http-request set-var({held[credential.header]}) bool(true) if {_in_header(credential)}"
    for scheme in _schemes(credential):
        yield f"http-request set-var({held['authorization']}) bool(true) if {_presents(credential, scheme)}"


def _insert(credential: Credential, secret: str) -> Iterable[str]:
    """Rules that replace the placeholder with the secret. Raises ValueError for a quote."""
    if credential.header != "authorization":
        yield f"http-request set-header {credential.header} {quoted(secret)} if {_in_header(credential)}"
    basic = base64.b64encode(f"{credential.login}:{secret}".encode()).decode()
    values = {"bearer": f"Bearer {secret}", "token": f"token {secret}", "basic": f"Basic {basic}"}
    for scheme in _schemes(credential):
        yield f"http-request set-header authorization {quoted(values[scheme])} if {_presents(credential, scheme)}"


def _in_header(credential: Credential) -> str:
    """A condition: the header of an API key holds the placeholder."""
    return f"{{ req.fhdr({credential.header}) -m str {credential.placeholder} }}"
