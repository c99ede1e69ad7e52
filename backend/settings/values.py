"""The values that settings may have, and how each is read from text. A reader raises ValueError for any other text."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum

from backend.contract import durations
from network import allowlist
from network.firewall.ruleset import Listener
from network.gate import credentials

DURATION = f"a duration from 1s to 366d ({durations.EXPECTED})"


class OnFailure(StrEnum):
    HOLD = "hold"
    EXIT = "exit"


class Login(StrEnum):
    TMUX = "tmux"
    DASHBOARD = "dashboard"


class GateMode(StrEnum):
    ON = "on"
    OFF = "off"  # addresses shall do


class Where(StrEnum):
    OUTSIDE = "outside"  # the agent gets placeholders, the gate has the credentials
    INSIDE = "inside"


class Seccomp(StrEnum):
    ON = "on"
    OFF = "off"  # the agent may make every system call that its uid may


class Debug(StrEnum):
    ON = "on"
    OFF = "off"


class Save(StrEnum):
    """When work that is not pushed goes to `wip/`."""

    OFF = "off"
    EXIT = "exit"  # when the sandbox stops
    REGULARLY = "regularly"  # and when it stops


@dataclass(frozen=True, slots=True)
class Autosave:
    when: Save
    seconds: float = 0.0  # between two saves


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


def text(value: str) -> str:
    return value


def token(value: str) -> str:
    """A credential: printable, without blanks, so that it fits a header whole."""
    if not re.match(r"[!-&(-~]+\Z", value):
        raise ValueError
    return value


def one_line(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError
    return value.strip()


def one_key(value: str) -> str:
    """A key as tmux's bind-key takes it."""
    if not re.match(r"[A-Za-z0-9]\Z", value):
        raise ValueError
    return value


def autosave(value: str) -> Autosave:
    """`off`, `exit`, or a duration."""
    if value in (Save.OFF, Save.EXIT):
        return Autosave(Save(value))
    return Autosave(Save.REGULARLY, durations.read(value))


def size(value: str) -> int:
    """A size in bytes: `512M`, `1G`."""
    found = re.match(r"([0-9]{1,9})([KMG]?)\Z", value.upper())
    if not found or int(found[1]) == 0:
        raise ValueError
    return int(found[1]) * {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[found[2]]


def repository(value: str) -> str:
    """A repository's address: https, without credentials, which would end up in the agent's `.git/config`."""
    found = re.match(r"https://([A-Za-z0-9.-]+)(:[0-9]+)?(/[A-Za-z0-9._~/-]+)\Z", value)
    if not found or ".." in value:
        raise ValueError
    return value


def upstreams(value: str) -> tuple[str, ...]:
    """Resolvers: IPv4 addresses, each with an optional port or as `tls://address[#name]`."""
    found = tuple(part for part in re.split(r"[,\s]+", value) if part)
    for part in found:
        place = part.removeprefix("tls://").partition("#")[0]
        address, _, port = place.partition(":")
        ipaddress.IPv4Address(address)
        if port and not 0 < int(port) < 65536:
            raise ValueError
    return found


def ports(value: str) -> tuple[int, ...]:
    found = tuple(int(part) for part in re.split(r"[,\s]+", value) if part)
    if any(not 0 < port < 65536 for port in found):
        raise ValueError
    return found


def port(value: str) -> int:
    (found,) = ports(value)
    return found


def listener(value: str) -> Listener:
    """ADDRESS:PORT, an IPv4 address: over IPv6 nothing is open."""
    address, _, number = value.strip().rpartition(":")
    return Listener(str(ipaddress.IPv4Address(address)), port(number))


def ssh_keys(value: str) -> tuple[str, ...]:
    """Authorized keys, one a line. Raises Problems."""
    from network.ssh import authorized_keys  # what it takes to check keys is loaded only where there are some

    return authorized_keys.parse(value, "CODETAINER_SSH_KEYS")


def push(value: str) -> tuple[str, ...]:
    """Repositories beside REPO_URL's that may be pushed to."""
    return credentials.repositories(value)


def domains(value: str) -> str:
    """Entries of the list, checked here so that all errors come at once; parsed again with the registries at boot."""
    allowlist.parse_words(value, "CODETAINER_EXTRA_DOMAINS")
    return value
