"""Reads resolv.conf(5): the resolvers it names and, on a Docker network, the servers that dockerd forwards to.

On a user-defined network, Docker writes 127.0.0.11 into resolv.conf. dockerd serves that address and forwards other queries to
its upstream servers, through a socket that it opens as root in the container's network namespace. Since Docker 25, a comment
in the file names these servers: `# ExtServers: [192.0.2.53 host(127.0.0.53)]` (moby, libnetwork/internal/resolvconf). dockerd
queries a server in `host(...)` from the host's namespace, so those packets do not pass the container's firewall.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

EXTERNAL_SERVERS = re.compile(r"#\s*ExtServers:\s*\[([^\]]*)\]")
ON_HOST = re.compile(r"host\((.*)\)\Z")


@dataclass(frozen=True, slots=True)
class External:
    """The servers that dockerd forwards to: from this network namespace (IPv4 or IPv6), or from the host's (`host`)."""

    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    host: tuple[str, ...] = ()

    @property
    def problem(self) -> str:
        """The reason why no server can answer a query from the sandbox, or ""."""
        if self.ipv4 or self.host:
            return ""
        if self.ipv6:
            return f"its servers have only IPv6 addresses ({', '.join(self.ipv6)}), and the sandbox blocks IPv6"
        return "/etc/resolv.conf names no server that it could forward them to"

    def __str__(self) -> str:
        return " ".join((*self.ipv4, *self.ipv6, *(f"host({address})" for address in self.host)))


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """`nameservers` are IPv4 addresses, `ipv6` those that the sandbox cannot reach, in the file's order, without duplicates.

    `external` is None if the file does not name the servers behind Docker's resolver.
    """

    nameservers: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    external: External | None = None

    @property
    def forwarding_problem(self) -> str:
        """The reason why Docker's resolver cannot forward the sandbox's queries, or ""."""
        if self.external is None:
            return "the firewall refuses them because /etc/resolv.conf does not name its servers"
        return self.external.problem

    def render(self) -> str:
        """The same content as a file that `parse` reads back."""
        lines = [f"nameserver {address}" for address in (*self.nameservers, *self.ipv6)]
        if self.external is not None:
            lines.append(f"# ExtServers: [{self.external}]")
        return "".join(f"{line}\n" for line in lines)


def parse(text: str, ignored: Iterable[str] = ()) -> ResolvConf:
    """Reads a file's text. Lines that are malformed or name an `ignored` address are skipped."""
    skipped = frozenset(ignored)
    named: list[str] = []
    external: External | None = None
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            named.append(words[1])
        elif match := EXTERNAL_SERVERS.match(line.strip()):
            external = _external(match[1].split())
    ipv4, ipv6 = _addresses(named)
    return ResolvConf(tuple(address for address in ipv4 if address not in skipped), ipv6, external)


def _external(words: Iterable[str]) -> External:
    host: list[str] = []
    here: list[str] = []
    for word in words:
        if match := ON_HOST.match(word):
            host.append(match[1])
        else:
            here.append(word)
    ipv4, ipv6 = _addresses(host)
    return External(*_addresses(here), (*ipv4, *ipv6))


def _addresses(words: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the IPv4 and the IPv6 addresses among the words, without duplicates."""
    by_version: dict[int, dict[str, None]] = {4: {}, 6: {}}
    for word in words:
        try:
            address = ipaddress.ip_address(word)
        except ValueError:
            continue
        by_version[address.version][str(address)] = None
    return tuple(by_version[4]), tuple(by_version[6])
