"""The gate's configuration, its lists, and the lines it says: what HAProxy needs to let listed names through and no others.

The template beside this file is the policy's order; this module fills in places and lists, and reads back what is logged.
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

TEMPLATE = Path(__file__).with_name("gate.template")  # for whoever renders it: nothing here opens a file
HELLO = Path(__file__).with_name("client_hello.lua")
# In the order in which they are loaded: the later ones use what the earlier ones define.
GITHUB = tuple(Path(__file__).with_name(f"{name}.lua") for name in ("json", "github", "graphql", "branches"))
KEY_LENGTH = 253 + 1 + 5  # name:port
TICKET_LENGTH = KEY_LENGTH + 1 + 5  # name:port/source port

LISTS = ("exact", "below", "exact_http", "below_http")
# The name comes last: it is the agent's text, and nothing may follow it. HAProxy writes control characters as #XX.
_LOG = "%[var(txn.verdict)] {kind} %[var(txn.address)] %[var(txn.port)] %U %B %Tt %[var(txn.name)]"


@dataclass(frozen=True, slots=True)
class Places:
    """The files of a gate, below `folder`, which only root reads."""

    folder: Path

    @property
    def configuration(self) -> Path:
        return self.folder / "gate.cfg"

    @property
    def admin(self) -> Path:
        return self.folder / "admin.sock"

    @property
    def root(self) -> Path:
        """What it sees of the file system once it has dropped root."""
        return self.folder / "root"

    @property
    def certificates(self) -> Path:
        """A folder: one file for each host whose TLS it ends, with key."""
        return self.folder / "certificates"

    @property
    def authorities(self) -> Path:
        """What upstream certificates are verified against."""
        return self.folder / "authorities.pem"

    def list(self, name: str) -> Path:
        return self.folder / f"{name}.lst"


def render(template: str, places: Places, descriptors: tuple[int, int], uid: int, proxy: CredentialProxy | None = None) -> str:
    """The configuration file. Nothing in it depends on the list: that is in files of its own.

    `descriptors` are the listening sockets for TLS and for HTTP, `uid` is whom it becomes.
    With credentials (`proxy`) it holds them: it goes into a file that only root reads.
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
    """Patterns by list (see LISTS): `name:port` to be met exactly, `.name:port` to be met at the end."""
    found: dict[str, dict[str, None]] = {name: {} for name in LISTS}
    for entry in allowlist.entries:
        for port in entry.ports:
            if port.check is Check.ADDRESS:
                continue
            name = ("below" if entry.below else "exact") + ("_http" if port.check is Check.HTTP else "")
            found[name][f"{'.' if entry.below else ''}{entry.name}:{port.number}"] = None
    return {name: tuple(patterns) for name, patterns in found.items()}


def carries(allowlist: Allowlist, key: str) -> bool:
    """Whether `name:port` may be carried by name. A connection that was, and may not any more, is closed."""
    name, _, port = key.rpartition(":")
    entry = allowlist.match(name)
    return entry is not None and any(str(p.number) == port and p.check is not Check.ADDRESS for p in entry.ports)


@dataclass(frozen=True, slots=True)
class Line:
    """One connection (TLS) or request (HTTP) as the gate logs it. `name` is what was asked for; "" or "(why)" if nothing was.

    `verdict`: carried, refused, unresolved, unclear (HTTP that cannot be read in one way only), silent (nothing was said);
    where TLS ends at the gate also foreign (another Host), credential (not the operator's), scope (`detail`: the repository),
    grant (`detail`: what the agent may not do).
    `cookies`: the request had some, which were dropped. Bytes as the agent sees them; `milliseconds` from accepting the
    connection or request to its end.
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
    """A line of the gate's log; None where it is another message of HAProxy's."""
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
        name, _, rest = name.partition(" ")  # of a host that has a certificate here, so it has no blank
        cookies, _, detail = rest.partition(" ")
    return Line(
        fields[0], fields[1], address, port, bytes_out, bytes_in, milliseconds,
        "" if name == "-" else name[:300], "" if detail == "-" else detail[:120], cookies == "1",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Usage:
    """What a name and port have carried since the gate started."""

    connections: int
    open_now: int
    bytes_in: int
    bytes_out: int


def parse_table(text: str) -> Mapping[str, Usage]:
    """The answer to `show table`: key -> usage. HAProxy counts as its client does not: its "in" is what goes out."""
    found: dict[str, Usage] = {}
    for line in text.splitlines():
        _, separator, rest = line.partition(": key=")
        if not separator:
            continue
        key, *fields = rest.split(" ")
        values = dict(field.split("=", 1) for field in fields if "=" in field)
        found[key] = Usage(*(int(values.get(name, 0)) for name in ("conn_cnt", "conn_cur", "bytes_out_cnt", "bytes_in_cnt")))
    return found


def parse_dropped(text: str) -> int:
    """From the answer to `show info`: lines of the log for which there was no room; 0 where it does not say."""
    found = next((line for line in text.splitlines() if line.startswith("DroppedLogs:")), "").rpartition(" ")[2]
    return int(found) if found.isascii() and found.isdigit() else 0


def parse_sessions(text: str) -> Mapping[int, str]:
    """The answer to `show sess`: source port of a connection -> its id."""
    found: dict[int, str] = {}
    for line in text.splitlines():
        identity, separator, rest = line.partition(": proto=tcpv4 src=")
        if separator:
            port = rest.split(" ", 1)[0].rpartition(":")[2]
            if port.isdigit():
                found[int(port)] = identity.strip()
    return found
