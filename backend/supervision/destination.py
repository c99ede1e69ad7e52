"""The destinations that `codetainer explain` takes: a name or an address, with a port, or a URL."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from dataclasses import replace

from backend.contract.immutable import dataclass
from network.allowlist import Check
from network.gate import prediction
from network.names import LABEL, EntryError, normalise

SCHEMES = {"http": 80, "ws": 80, "https": 443, "wss": 443, "ssh": 22, "git": 9418, "ftp": 21}
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_CHECKS = {"http": Check.HTTP, "ws": Check.HTTP, "https": Check.TLS, "wss": Check.TLS}


@dataclass(frozen=True, slots=True)
class Target:
    """A host, and a port (0: none was named). `address` is None for a name, `scheme` is "" without a URL.

    `request` is the path and query of a URL, "" without one. `method` is GET if only a URL was named.
    """

    host: str
    port: int
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    scheme: str = ""
    request: str = ""
    method: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host and self.port else self.host
        return f"{host}:{self.port}" if self.port else host

    def suits(self, check: Check) -> bool:
        """True if a client for the URL's scheme speaks the protocol that the gate expects at a port."""
        return not self.scheme or check is Check.ADDRESS or _CHECKS.get(self.scheme) is check


def is_own(address: str) -> bool:
    """True if the address is the sandbox's own: only those can be bound (ip(7), ipv6(7)), and addresses of many hosts."""
    if ipaddress.ip_address(address).is_multicast:
        return False
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.bind((address, 0))
            sock.connect(sock.getsockname())  # not permitted for a broadcast address
        except OSError:
            return False
    return True


def read(text: str, url: str = "") -> Target:
    """Parses NAME, ADDRESS, HOST:PORT, [ADDRESS]:PORT or a URL, or a method and a URL. Raises ValueError with a sentence."""
    if url:
        return _request(text, url)
    if text.upper() in METHODS:  # a single label is no public name
        raise ValueError(f"cannot explain {text} without a URL: expected https:// or http:// after it")
    target = _target(text)
    if target.scheme not in _CHECKS:
        return target
    with contextlib.suppress(ValueError):  # a name with any port is explained, even if no client would send the rest
        return _request("GET", text)
    return target


def _request(text: str, url: str) -> Target:
    method = text.upper()
    if not prediction.METHOD.match(method):
        raise ValueError(f"cannot explain {text[:40]!a}, then {url[:40]!a}: expected a method such as GET or POST, then a URL")
    target = _target(url)
    if target.scheme not in _CHECKS:
        raise ValueError(f"cannot explain {method} without a URL: expected https:// or http:// before {target}")
    # A client sends no fragment (RFC 9110, 4.2.5), and a path that is not empty (RFC 9112, 3.2.1).
    path = re.sub(r"^[^/?]*", "", url.partition("://")[2].partition("#")[0])
    path = path if path.startswith("/") else f"/{path}"
    if not prediction.TARGET.match(path):
        raise ValueError(f"cannot explain {method} {target}: the path must be written as it is sent, with %20 for a blank")
    return replace(target, request=path, method=method)


def _target(text: str) -> Target:
    shown = re.sub(r"//[^/]*@", "//", text)[:80]  # without user and password
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    host, port = _url(text, shown) if scheme else _place(text, shown)
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        # The kernel sends packets to an IPv4-mapped address over IPv4 (RFC 4291, 2.5.5.2).
        address = getattr(address, "ipv4_mapped", None) or address
        return Target(str(address), port, address, scheme)
    label = host.removesuffix(".").lower()
    if LABEL.match(label):
        return Target(label, port, scheme=scheme)
    try:
        return Target(normalise(host), port, scheme=scheme)
    except EntryError as error:
        raise ValueError(f"cannot explain {shown!a}: {error.reason}") from error


def _url(text: str, shown: str) -> tuple[str, int]:
    """The host of a URL, and its port or that of its scheme."""
    scheme, _, rest = text.partition("://")
    host, port = _place(re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2], shown)
    port = port or SCHEMES.get(scheme.lower(), 0)
    if not port:
        raise ValueError(f"cannot explain {shown!a}: the port of {scheme[:20]!a} is not known")
    return host, port


def _place(text: str, shown: str) -> tuple[str, int]:
    """Splits HOST, HOST:PORT or [ADDRESS]:PORT into host and port (0: none)."""
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", text)
    if bracketed:
        host, port_text = bracketed[1], bracketed[2]
        if ":" not in host:
            raise ValueError(f"cannot explain {shown!a}: only an IPv6 address may be in brackets")
    elif text.count(":") > 1:
        host, port_text = text, None  # IPv6
    else:
        host, colon, after = text.partition(":")
        port_text = after if colon else None
    if port_text is None:
        return host, 0
    if not (port_text.isascii() and port_text.isdigit() and len(port_text) < 6 and 0 < int(port_text) < 65536):
        raise ValueError(f"cannot explain {shown!a}: a port must be a number from 1 to 65535, as in github.com:443")
    return host, int(port_text)
