"""Reads resolv.conf(5): the resolvers it names and, on a Docker network, the servers that dockerd forwards to.

On a user-defined network, Docker writes 127.0.0.11 into resolv.conf. dockerd serves that address and forwards other queries to
its upstream servers, through a socket that it opens as root in the container's network namespace. Since Docker 25, a comment
in the file names these servers: `# ExtServers: [192.0.2.53 host(127.0.0.53)]` (moby, libnetwork/internal/resolvconf). dockerd
queries a server in `host(...)` from the host's namespace, so those packets do not pass the container's firewall.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from network.firewall.ruleset import DOCKER_ADDRESS

EXTERNAL_SERVERS = re.compile(r"#\s*ExtServers:\s*\[([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """`nameservers` are IPv4 addresses, in the file's order, without duplicates.

    `external`: the IPv4 servers that dockerd asks from this network namespace. None if the file does not name them.
    """

    nameservers: tuple[str, ...] = ()
    external: tuple[str, ...] | None = None

    @property
    def external_unknown(self) -> bool:
        """True if Docker's resolver is in use and the file does not name the servers that it forwards to."""
        return DOCKER_ADDRESS in self.nameservers and self.external is None

    def render(self) -> str:
        """The same content as a file that `parse` reads back."""
        lines = [f"nameserver {address}" for address in self.nameservers]
        if self.external is not None:
            lines.append(f"# ExtServers: [{' '.join(self.external)}]")
        return "".join(f"{line}\n" for line in lines)


def parse(text: str, ignored: Iterable[str] = ()) -> ResolvConf:
    """Reads a file's text. Lines that are malformed, IPv6 or name an `ignored` address are skipped."""
    skipped = frozenset(ignored)
    named: list[str] = []
    external: tuple[str, ...] | None = None
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            named.append(words[1])
        elif match := EXTERNAL_SERVERS.match(line.strip()):
            external = tuple(dict.fromkeys(_addresses(match[1].split())))
    nameservers = tuple(address for address in dict.fromkeys(_addresses(named)) if address not in skipped)
    return ResolvConf(nameservers, external)


def _addresses(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        try:
            yield str(ipaddress.IPv4Address(word))
        except ValueError:
            continue
