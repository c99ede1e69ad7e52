"""The types of settings and the functions that read them from text, which raise ValueError for invalid text."""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from typing import TYPE_CHECKING

from backend.contract import durations
from backend.contract.immutable import dataclass
from network import allowlist
from network.firewall.ruleset import Listener
from network.gate import credentials

if TYPE_CHECKING:
    from network.destinations import Destination

SANDBOX_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
LEAST_BARE_SIZE = 64 << 10  # bytes
DURATION = f"a duration from 1s to 366d ({durations.EXPECTED})"


class Unlikely(ValueError):
    """A valid text with a value that nobody can want. The message says what it means, and what was probably meant."""


class OnFailure(StrEnum):
    HOLD = "hold"
    EXIT = "exit"


class Login(StrEnum):
    TMUX = "tmux"
    DASHBOARD = "dashboard"


class GateMode(StrEnum):
    ON = "on"
    OFF = "off"  # connections are checked by address alone


class Where(StrEnum):
    OUTSIDE = "outside"  # the agent gets placeholders, the gate has the credentials
    INSIDE = "inside"


class Seccomp(StrEnum):
    ON = "on"
    OFF = "off"  # the agent may make every system call that the kernel permits to its uid


class Override(StrEnum):
    ON = "on"
    OFF = "off"


class Resume(StrEnum):
    ON = "on"
    OFF = "off"


class Debug(StrEnum):
    ON = "on"
    OFF = "off"


class NotifyText(StrEnum):
    ON = "on"
    OFF = "off"  # notifications contain only our own words


@dataclass(frozen=True, slots=True)
class ReportTime:
    """When the notifier sends a report by itself: at the end of session and sandbox, and daily at a time if `at` is set.

    `at` is in seconds after midnight, UTC.
    """

    sent: bool = False
    at: float | None = None


class Learn(StrEnum):
    """Whether names that are not on the allowlist are opened when they are asked for, and recorded."""

    OFF = "off"
    ON = "on"
    FORCE = "force"  # with a task, too: nobody watches then


class Save(StrEnum):
    """When unpushed work is saved to a `wip/` branch."""

    OFF = "off"
    EXIT = "exit"  # when the sandbox stops
    REGULARLY = "regularly"  # at intervals, and when the sandbox stops


class Pretend(StrEnum):
    """Whether the internet ends with the sandbox."""

    OFF = "off"
    ON = "on"


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
    """A credential: printable ASCII without spaces or apostrophes, which fits into an HTTP header unchanged."""
    if not re.match(r"[!-&(-~]+\Z", value):
        raise ValueError
    return value


def one_line(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError
    return value.strip()


def folder(value: str) -> str:
    """An absolute path without `.` and `..`, on one line."""
    if not value.startswith("/") or not value.isprintable() or any(part in (".", "..") for part in value.split("/")):
        raise ValueError
    return value.rstrip("/") or "/"


def sandbox_name(value: str) -> str:
    if not re.fullmatch(SANDBOX_NAME, value):
        raise ValueError
    return value


def model_tools(value: str) -> tuple[str, ...]:
    """Words for the reader (network/gate/reader/policy.go): families of tools, or exact types."""
    words = tuple(word for word in re.split(r"[,\s]+", value) if word)
    if not all(re.fullmatch(r"[a-z][a-z0-9_]{2,63}", word) for word in words):
        raise ValueError
    return tuple(dict.fromkeys(words))


def one_key(value: str) -> str:
    """A key for tmux's bind-key."""
    if not re.match(r"[A-Za-z0-9]\Z", value):
        raise ValueError
    return value


def patience(value: str) -> float:
    """A duration in seconds; 0 for `off`."""
    return 0.0 if value == "off" else durations.read(value)


def report_time(value: str) -> ReportTime:
    """`off`, `end`, or a time such as `06:30`."""
    if value in ("off", "end"):
        return ReportTime(value == "end")
    match = re.match(r"([01][0-9]|2[0-3]):([0-5][0-9])\Z", value)
    if not match:
        raise ValueError
    return ReportTime(True, (int(match[1]) * 60 + int(match[2])) * durations.MINUTE)


def autosave(value: str) -> Autosave:
    """`off`, `exit`, or a duration."""
    if value in (Save.OFF, Save.EXIT):
        return Autosave(Save(value))
    return Autosave(Save.REGULARLY, durations.read(value))


def size(value: str) -> int:
    """A size such as `512M` or `1G`, in bytes. A number below LEAST_BARE_SIZE is refused if its unit is missing."""
    match = re.match(r"([0-9]{1,9})([KMG]?)\Z", value.upper())
    if not match or int(match[1]) == 0:
        raise ValueError
    number, unit = int(match[1]), match[2]
    if not unit and number < LEAST_BARE_SIZE:
        raise Unlikely(f"{value} has no unit and would be {number} bytes; write {number}M or {number}K")
    return number * {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[unit]


def repository(value: str) -> str:
    """A repository's https URL, without credentials: git would store them in the agent's `.git/config`."""
    match = re.match(r"https://([A-Za-z0-9.-]+)(:[0-9]+)?(/[A-Za-z0-9._~/-]+)\Z", value)
    if not match or ".." in value:
        raise ValueError
    return value


def upstreams(value: str) -> tuple[str, ...]:
    """Resolvers: IPv4 addresses, each with an optional port or as `tls://address[#name]`."""
    parts = tuple(part for part in re.split(r"[,\s]+", value) if part)
    for part in parts:
        place = part.removeprefix("tls://").partition("#")[0]
        address, _, port = place.partition(":")
        ipaddress.IPv4Address(address)
        if port and not 0 < int(port) < 65536:
            raise ValueError
    return parts


def ports(value: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in re.split(r"[,\s]+", value) if part)
    if any(not 0 < number < 65536 for number in numbers):
        raise ValueError
    return numbers


def port(value: str) -> int:
    (number,) = ports(value)
    return number


def listener(value: str) -> Listener:
    """ADDRESS:PORT with an IPv4 address, because the firewall closes IPv6."""
    address, _, number = value.strip().rpartition(":")
    return Listener(str(ipaddress.IPv4Address(address)), port(number))


def ssh_keys(value: str) -> tuple[str, ...]:
    """Authorized keys, one per line. Raises Problems."""
    from network.ssh import authorized_keys  # loaded only if keys are set

    return authorized_keys.parse(value, "CODETAINER_SSH_KEYS")


def notify(value: str) -> tuple[Destination, ...]:
    """Addresses of notification services. Raises Problems."""
    from network import service_addresses  # loaded only if there are any

    return service_addresses.parse(value)


def push(value: str) -> tuple[str, ...]:
    """Repositories that the agent may write to, besides REPO_URL's."""
    return credentials.repositories(value)


def domains(value: str) -> str:
    """Entries of the allowlist, unchanged. Parsed here to report all errors at once, and at boot with the package registries.

    Raises AllowlistError.
    """
    allowlist.parse_words(value, "CODETAINER_EXTRA_DOMAINS")
    return value
