"""HAProxy's configuration and its maps, which let only listed names through, and its log and tables.

The template beside this file contains the rules in order. This module fills in paths and lists, and parses the log.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from network import reasons
from network.allowlist import Allowlist
from network.firewall.ruleset import COREDNS_ADDRESS
from network.gate import credential_proxy, grants, wording, written
from network.gate.credential_proxy import CredentialProxy
from network.gate.rules import body

if TYPE_CHECKING:
    from network.gate.learning import LearningProxy

TEMPLATE = Path(__file__).with_name("gate.template")  # for the caller of `render`: nothing here opens a file
HELLO = Path(__file__).with_name("client_hello.lua")
REPORT = Path(__file__).with_name("report.lua")
# In load order: each file uses what the earlier ones define.
GITHUB = tuple(
    Path(__file__).with_name(f"{name}.lua")
    for name in ("json", "members", "github", "references", "branches", "graphql", "pack", "push", "lfs")
)
KEY_LENGTH = 253 + 1 + 5  # name:port
TICKET_LENGTH = KEY_LENGTH + 1 + 5  # name:port/source port

NAMES = ("names", "names_below")
# The name is the last field, because it is text from the agent. HAProxy writes control characters as #XX.
_LOG = "%[var(txn.verdict)] {kind} %[var({scope}.address)] %[var({scope}.port)] %U %B %Tt {more}%[var({name})]"
_LOG_TLS = _LOG.format(kind="tls", scope="txn", more="", name="txn.name")
# HAProxy refuses what is not HTTP before any rule, so only variables of the session are set. %ts says who ended it.
# A detail precedes the name: a request target, which contains no blank (network/gate/grants.py).
_LOG_HTTP = _LOG.format(kind="http/%ts", scope="sess", more="%[var(txn.detail)] ", name="txn.name")
_LOG_HTTPS = _LOG.format(kind="https/%ts", scope="sess", more="", name="sess.name")
_BY_PROXY = "P"  # and not by the client, which may have closed the connection or have waited for too long
_UNREADABLE = wording.verdict(reasons.UNCLEAR, "not_http")


@dataclass(frozen=True, slots=True)
class Places:
    """The gate's files, below `folder`, which only root can read."""

    folder: Path

    @property
    def configuration(self) -> Path:
        return self.folder / "gate.cfg"

    @property
    def admin(self) -> Path:
        return self.folder / "admin.sock"

    @property
    def root(self) -> Path:
        """HAProxy's chroot after it has dropped root."""
        return self.folder / "root"

    @property
    def reasons(self) -> Path:
        """The Lua file with the words of refusals."""
        return self.folder / "reasons.lua"

    @property
    def certificates(self) -> Path:
        """The folder of certificates with keys, one file for each host whose TLS terminates at the gate."""
        return self.folder / "certificates"

    @property
    def certificate_list(self) -> Path:
        """HAProxy's list of these certificates."""
        return self.folder / "certificates.lst"

    def certificate(self, pattern: str) -> Path:
        """The certificate for a name, or for the names directly below one (`*.example.com`)."""
        return self.certificates / f"{pattern.replace('*', '+')}.pem"  # a name contains no +

    @property
    def authorities(self) -> Path:
        """The CA bundle that verifies the certificates of real hosts."""
        return self.folder / "authorities.pem"

    def list(self, name: str) -> Path:
        return self.folder / f"{name}.lst"

    def map(self, name: str) -> Path:
        return self.folder / f"{name}.map"

    @property
    def granted(self) -> Path:
        """The patterns of granted requests."""
        return self.list(grants.PATTERNS)


def render(
    template: str,
    places: Places,
    descriptors: tuple[int, int],
    uid: int,
    proxy: CredentialProxy | None = None,
    learns: LearningProxy | None = None,
) -> str:
    """Returns the configuration file. It does not depend on the allowlist, which is in separate files.

    `descriptors` are the listening sockets for TLS and for HTTP, `uid` is the user that HAProxy changes to. With a `proxy`, the
    text contains its credentials: write it only to a file that only root can read. `learns` is for a learning run.
    """
    hosts = " ".join(host.name for host in proxy.hosts) if proxy else ""
    ours = f"var(txn.name) -m str {hosts}"
    own = f"    use_backend terminate if {{ {ours} }} {{ var(txn.port) -m int 443 }}\n" if hosts else ""
    recorded = f"if {{ var(txn.grant) -m str {grants.RECORDED} }}\n"
    text = Template(template).substitute(
        {name: str(places.map(name)) for name in grants.MAPS} | {name: str(places.list(name)) for name in NAMES} | _words(),
        reasons=places.reasons, uid=uid, chroot=places.root, admin=places.admin, hello=HELLO, coredns=COREDNS_ADDRESS,
        checks="".join(f"    lua-load {path}\n" for path in _checks(proxy)),
        key_length=KEY_LENGTH, ticket_length=TICKET_LENGTH,
        tls_descriptor=descriptors[0], http_descriptor=descriptors[1],
        log_tls=_LOG_TLS, log_http=_LOG_HTTP,
        terminate=f"{own}    use_backend terminate if !{{ var(txn.grant) -m str {grants.OPEN} }}\n" if proxy else "",
        learning=f"    use_backend to_learning {recorded}" if learns else "",
        learning_http=f"    use_backend to_learning_http {recorded}" if learns else "",
        encrypted_only=_encrypted_only(ours) if hosts else "",
        granted="\n    ".join(grants.rules(places.granted)),
    )  # fmt: skip
    if learns is not None:
        from network.gate import learning  # only learning runs need it

        text += learning.render(learns)
    if proxy is None:
        return text
    return text + credential_proxy.render(proxy, _LOG_HTTPS + " %[var(txn.cookies)] %[var(txn.detail)]")


def _checks(proxy: CredentialProxy | None) -> tuple[Path, ...]:
    """The Lua files that the proxy needs."""
    if proxy is None:
        return ()
    return (REPORT, *(GITHUB if proxy.asks_github else ()))


# The refusals of the template by the name of its variable, which has the verdict; NAME_answer has the answer.
_HEADS = ("method", "host_headers", "host_header", "url", "host_port")
_OF_NAMES = {"another_site": reasons.ANOTHER_SITE, "port_not_listed": reasons.PORT_NOT_LISTED, "no_address": reasons.NO_ADDRESS}


def _encrypted_only(condition: str) -> str:
    """Rules that redirect to HTTPS. That is no refusal."""
    rules = ("set-var(txn.verdict) str(redirected)", "redirect scheme https")
    return "".join(f"    http-request {rule} if {{ {condition} }}\n" for rule in rules)


def _words() -> dict[str, str]:
    words = {"unclear": wording.verdict(reasons.UNCLEAR), "too_deep": wording.verdict(reasons.REQUEST, "too_deep")}
    for detail in _HEADS:
        words[detail] = wording.verdict(reasons.UNCLEAR, detail)
        words[f"{detail}_answer"] = body("text", wording.sentence(reasons.UNCLEAR, detail))
    for name, reason in _OF_NAMES.items():
        words[name] = wording.verdict(reason)
        words[f"{name}_answer"] = body("text", wording.about_name(reason), "lf-string")
    return words


def words_in_lua(proxy: CredentialProxy | None) -> str:
    """Returns the Lua file with the words of refusals."""
    return wording.lua(proxy.repositories if proxy else ())


def names(allowlist: Allowlist) -> Mapping[str, tuple[str, ...]]:
    """Returns the lists NAMES: the allowlist's names without ports. The gate uses them to choose the reason of a refusal."""
    patterns: dict[str, dict[str, None]] = {name: {} for name in NAMES}
    for entry in allowlist.entries:
        patterns["names_below" if entry.below else "names"][f"{'.' if entry.below else ''}{entry.name}"] = None
    return {name: tuple(each) for name, each in patterns.items()}


def certificate_line(places: Places, pattern: str) -> str:
    """A line of the certificate list, with the server names that select the certificate. Some clients send a trailing dot.

    HTTP/2 clients use one connection for all names that a certificate covers, so one for several names offers HTTP/1.1.
    """
    return f"{places.certificate(pattern)}{' [alpn http/1.1]' if pattern.startswith('*') else ''} {pattern} {pattern}."


@dataclass(frozen=True, slots=True)
class Line:
    """A connection (TLS) or request (HTTP) in the gate's log. `name` is the requested host; "" or "(reason)" if there is none.

    `verdict` is carried, recorded (TLS of a learning run: learning.py), silent (the client sent nothing), wrote (written.py)
    or that of a refusal (wording.py). If TLS terminates at the gate, or an entry grants only some requests, `detail` has the
    repository, the request or the write.
    `cookies`: the request had cookies, which the gate dropped. Byte counts are from the agent's point of view; `milliseconds`
    run from the accept of the connection or request to its end.
    """

    verdict: str
    protocol: str
    address: str
    port: int
    bytes_out: int
    bytes_in: int
    milliseconds: int
    name: str
    detail: str = ""
    cookies: bool = False


CARRIED, RECORDED, SILENT = "carried", "recorded", "silent"


def parse_line(text: str) -> Line | None:
    """Parses a line of the gate's log. Returns None for other messages of HAProxy."""
    fields = text.split(" ", 7)
    protocol, _, ended = fields[1].partition("/") if len(fields) > 1 else ("", "", "")
    verdict = _UNREADABLE if fields[0] == "-" and ended.startswith(_BY_PROXY) else fields[0]
    if len(fields) < 7 or not _is_verdict(verdict) or protocol not in ("tls", "http", "https"):
        return None
    try:
        address = str(ipaddress.IPv4Address(fields[2]))
        port, bytes_out, bytes_in, milliseconds = (int(field.lstrip("+")) for field in fields[3:7])
    except ValueError:
        return None
    name, detail, cookies = fields[7].strip() if len(fields) > 7 else "", "", ""
    if protocol == "https":
        name, _, rest = name.partition(" ")  # a host with a certificate, so without blanks
        cookies, _, detail = rest.partition(" ")
    elif protocol == "http":
        detail, _, name = name.partition(" ")
    return Line(
        verdict, protocol, address, port, bytes_out, bytes_in, milliseconds,
        "" if name == "-" else name[:300], "" if detail == "-" else detail[: 400 if verdict == written.WROTE else 120],
        cookies == "1",
    )  # fmt: skip


def _is_verdict(word: str) -> bool:
    return word in (CARRIED, RECORDED, SILENT, written.WROTE) or wording.parse_verdict(word) is not None


@dataclass(frozen=True, slots=True)
class Usage:
    """Totals of a name and port since the gate started."""

    connections: int
    open_now: int
    bytes_in: int
    bytes_out: int


def parse_table(text: str) -> Mapping[str, Usage]:
    """Parses the answer to `show table`: key -> usage. HAProxy's "in" is traffic from the client, so it is `bytes_out` here."""
    usage: dict[str, Usage] = {}
    for line in text.splitlines():
        _, separator, rest = line.partition(": key=")
        if not separator:
            continue
        key, *fields = rest.split(" ")
        values = dict(field.split("=", 1) for field in fields if "=" in field)
        usage[key] = Usage(*(int(values.get(name, 0)) for name in ("conn_cnt", "conn_cur", "bytes_out_cnt", "bytes_in_cnt")))
    return usage


def parse_dropped(text: str) -> int:
    """Returns the number of lost log lines from the answer to `show info`, or 0 if it does not contain one."""
    number = next((line for line in text.splitlines() if line.startswith("DroppedLogs:")), "").rpartition(" ")[2]
    return int(number) if number.isascii() and number.isdigit() else 0


def parse_sessions(text: str) -> Mapping[int, str]:
    """Parses the answer to `show sess`: source port of a connection -> session id."""
    sessions: dict[int, str] = {}
    for line in text.splitlines():
        identity, separator, rest = line.partition(": proto=tcpv4 src=")
        if separator:
            port = rest.split(" ", 1)[0].rpartition(":")[2]
            if port.isdigit():
                sessions[int(port)] = identity.strip()
    return sessions
