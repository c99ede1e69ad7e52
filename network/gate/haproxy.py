"""HAProxy's configuration and ACL files, which let only listed names through, and its log and tables.

The template beside this file contains the rules in order. This module fills in paths and lists, and parses the log.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from network.allowlist import Allowlist, Check
from network.firewall.ruleset import COREDNS_ADDRESS
from network.gate import credential_proxy
from network.gate.credential_proxy import CredentialProxy

TEMPLATE = Path(__file__).with_name("gate.template")  # for the caller of `render`: nothing here opens a file
HELLO = Path(__file__).with_name("client_hello.lua")
# In load order: each file uses what the earlier ones define.
GITHUB = tuple(Path(__file__).with_name(f"{name}.lua") for name in ("json", "github", "graphql", "branches", "lfs"))
KEY_LENGTH = 253 + 1 + 5  # name:port
TICKET_LENGTH = KEY_LENGTH + 1 + 5  # name:port/source port

LISTS = ("exact", "below", "exact_http", "below_http")
# The name is the last field, because it is text from the agent. HAProxy writes control characters as #XX.
_LOG = "%[var(txn.verdict)] {kind} %[var(txn.address)] %[var(txn.port)] %U %B %Tt %[var(txn.name)]"


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
    def certificates(self) -> Path:
        """The folder of certificates with keys, one file for each host whose TLS terminates at the gate."""
        return self.folder / "certificates"

    @property
    def authorities(self) -> Path:
        """The CA bundle that verifies the certificates of real hosts."""
        return self.folder / "authorities.pem"

    def list(self, name: str) -> Path:
        return self.folder / f"{name}.lst"


def render(template: str, places: Places, descriptors: tuple[int, int], uid: int, proxy: CredentialProxy | None = None) -> str:
    """Returns the configuration file. It does not depend on the allowlist, which is in separate files.

    `descriptors` are the listening sockets for TLS and for HTTP, `uid` is the user that HAProxy changes to. With a `proxy`, the
    text contains its credentials: write it only to a file that only root can read.
    """
    hosts = " ".join(host.name for host in proxy.hosts) if proxy else ""
    ours = f"var(txn.name) -m str {hosts}"
    text = Template(template).substitute(
        {name: str(places.list(name)) for name in LISTS},
        uid=uid, chroot=places.root, admin=places.admin, hello=HELLO, coredns=COREDNS_ADDRESS,
        github="".join(f"    lua-load {path}\n" for path in GITHUB) if proxy and proxy.asks_github else "",
        key_length=KEY_LENGTH, ticket_length=TICKET_LENGTH,
        tls_descriptor=descriptors[0], http_descriptor=descriptors[1],
        log_tls=_LOG.format(kind="tls"), log_http=_LOG.format(kind="http"),
        terminate=f"    use_backend terminate if {{ {ours} }} {{ var(txn.port) -m int 443 }}\n" if hosts else "",
        encrypted_only=f"    http-request redirect scheme https if {{ {ours} }}\n" if hosts else "",
    )  # fmt: skip
    if proxy is None:
        return text
    return text + credential_proxy.render(proxy, _LOG.format(kind="https") + " %[var(txn.cookies)] %[var(txn.detail)]")


def lists(allowlist: Allowlist) -> Mapping[str, tuple[str, ...]]:
    """Returns the patterns of each ACL file (see LISTS): `name:port` for exact matches, `.name:port` for suffix matches."""
    patterns_of: dict[str, dict[str, None]] = {name: {} for name in LISTS}
    for entry in allowlist.entries:
        for port in entry.ports:
            if port.check is Check.ADDRESS:
                continue
            name = ("below" if entry.below else "exact") + ("_http" if port.check is Check.HTTP else "")
            patterns_of[name][f"{'.' if entry.below else ''}{entry.name}:{port.number}"] = None
    return {name: tuple(patterns) for name, patterns in patterns_of.items()}


def carries(allowlist: Allowlist, key: str) -> bool:
    """True if connections to `name:port` may pass. When the allowlist changes, all other open connections are closed."""
    name, _, port = key.rpartition(":")
    entry = allowlist.match(name)
    return entry is not None and any(str(p.number) == port and p.check is not Check.ADDRESS for p in entry.ports)


@dataclass(frozen=True, slots=True)
class Line:
    """A connection (TLS) or request (HTTP) in the gate's log. `name` is the requested host; "" or "(reason)" if there is none.

    `verdict` is carried, refused, unresolved, unclear (ambiguous HTTP) or silent (the client sent nothing). If TLS terminates
    at the gate, also foreign (different Host), credential (not the operator's), scope (`detail`: the repository) or grant
    (`detail`: the request that the agent may not make).
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


VERDICTS = frozenset(("carried", "refused", "unresolved", "unclear", "silent", "foreign", "credential", "scope", "grant"))


def parse_line(text: str) -> Line | None:
    """Parses a line of the gate's log. Returns None for other messages of HAProxy."""
    fields = text.split(" ", 7)
    if len(fields) < 7 or fields[0] not in VERDICTS or fields[1] not in ("tls", "http", "https"):
        return None
    try:
        address = str(ipaddress.IPv4Address(fields[2]))
        port, bytes_out, bytes_in, milliseconds = (int(field.lstrip("+")) for field in fields[3:7])
    except ValueError:
        return None
    name, detail, cookies = fields[7].strip() if len(fields) > 7 else "", "", ""
    if fields[1] == "https":
        name, _, rest = name.partition(" ")  # a host with a certificate, so without blanks
        cookies, _, detail = rest.partition(" ")
    return Line(
        fields[0], fields[1], address, port, bytes_out, bytes_in, milliseconds,
        "" if name == "-" else name[:300], "" if detail == "-" else detail[:120], cookies == "1",
    )  # fmt: skip


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
