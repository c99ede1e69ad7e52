"""The variables that the operator may set: what each means and how it is read. The documentation has this table too."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from network import allowlist, credentials
from network.ruleset import Listener


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


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: what it means, how it is read, and what it is when nobody sets it. `secret`: its value is never shown.

    `example` is for the documentation, where `expected` alone leaves a question.
    """

    name: str
    meaning: str
    read: Callable[[str], Any]
    default: str | None = None  # None: required, or one of a group is
    expected: str = ""
    secret: bool = False
    example: str = ""


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


def seconds(value: str) -> float:
    """A duration: `90`, `90s`, `5m`, `4h`, `1d`."""
    found = re.match(r"([0-9]{1,9})([smhd]?)\Z", value)
    if not found:
        raise ValueError
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def autosave(value: str) -> Autosave:
    """`off`, `exit`, or a duration."""
    if value in (Save.OFF, Save.EXIT):
        return Autosave(Save(value))
    if not seconds(value):
        raise ValueError
    return Autosave(Save.REGULARLY, seconds(value))


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
    from backend.services import authorized_keys  # what it takes to check keys is loaded only where there are some

    return authorized_keys.parse(value, "CODETAINER_SSH_KEYS")


def push(value: str) -> tuple[str, ...]:
    """Repositories beside REPO_URL's that may be pushed to."""
    return credentials.repositories(value)


def domains(value: str) -> str:
    """Entries of the list, checked here so that all errors come at once; parsed again with the registries at boot."""
    allowlist.parse_words(value, "CODETAINER_EXTRA_DOMAINS")
    return value


VARIABLES: tuple[Variable, ...] = (
    Variable("GH_PAT", "GitHub token: clone, fetch, push, gh, GitHub Packages", token, None, "a token", secret=True),
    Variable("CLAUDE_CODE_OAUTH_TOKEN", "Claude Code's token; this or ANTHROPIC_API_KEY", token, "", "a token", secret=True),
    Variable("ANTHROPIC_API_KEY", "Anthropic API key; this or CLAUDE_CODE_OAUTH_TOKEN", token, "", "a key", secret=True),
    Variable("REPO_URL", "Repository cloned to /workspace/repo", repository, "", "https://HOST/OWNER/REPO, no credentials",
             example="https://github.com/owner/repo"),
    Variable("CLAUDE_PROMPT", "Work that Claude begins at boot, before anybody logs in", text, "",
             example="Mend the failing test in tests/test_login.py and open a pull request"),
    Variable("GIT_USER_NAME", "Author of commits", one_line, "codetainer", "one line"),
    Variable("GIT_USER_EMAIL", "Address of the author", one_line, "codetainer@noreply.github.com", "one line"),
    Variable("CODETAINER_EXTRA_DOMAINS", "Entries added to domains.conf, between blanks or commas", domains, "", "entries",
             example="files.example.com *.assets.example.com git.example.com:2222"),
    Variable("CODETAINER_UPSTREAM", "Resolvers that the guard asks; default: those of /etc/resolv.conf", upstreams, "",
             "IPv4 addresses, each ADDRESS[:PORT] or tls://ADDRESS[#NAME]",
             example="tls://1.1.1.1#cloudflare-dns.com 192.0.2.53"),
    Variable("CODETAINER_TMPFS_WORKSPACE", "Size of /workspace", size, "512M", "a size such as 512M or 2G"),
    Variable("CODETAINER_TMPFS_TMP", "Size of /tmp", size, "512M", "a size such as 512M or 2G"),
    Variable("CODETAINER_TMPFS_HOME", "Size of /home/claude", size, "1G", "a size such as 512M or 2G"),
    Variable("CODETAINER_REFRESH", "How often every listed name is resolved again", seconds, "5m", "a duration (90s, 5m)"),
    Variable("CODETAINER_KEEP", "How long an address stays open after it was last handed out", seconds, "4h", "a duration"),
    Variable("CODETAINER_PROOF", "How often the walls are tried again", seconds, "3m", "a duration"),
    Variable("CODETAINER_INBOUND_PORTS", "TCP ports that may be reached from outside", ports, "", "port numbers",
             example="3000 8080"),
    Variable("CODETAINER_SSH_KEYS", "Who may log in over ssh, as root; sshd runs only where there are keys", ssh_keys,
             "", "authorized keys, one a line"),
    Variable("CODETAINER_SSH_PORT", "sshd's TCP port inside the sandbox", port, "22", "a port number"),
    Variable("CODETAINER_METRICS", "Where /metrics is served for Prometheus; off where it is not set", listener,
             "", "ADDRESS:PORT, an IPv4 address of the sandbox or 0.0.0.0", example="0.0.0.0:9464"),
    Variable("CODETAINER_GATE", "Whether connections are checked by name too; off where the kernel has no nat", GateMode, "on",
             "on or off"),
    Variable("CODETAINER_CREDENTIALS", "Whether the gate holds the credentials, or the agent itself", Where, "outside",
             "outside or inside"),
    Variable("CODETAINER_SECCOMP", "Whether the agent's system calls are filtered; off for work that needs user namespaces",
             Seccomp, "on", "on or off"),
    Variable("CODETAINER_PUSH", "Repositories beside REPO_URL's that may be pushed and written to; * for all", push, "",
             "OWNER/REPO, OWNER/* or *, between blanks or commas", example="owner/other friends/*"),
    Variable("CODETAINER_CERTIFICATES", "How long the gate's certificates are valid; renewed after two thirds", seconds, "365d",
             "a duration"),
    Variable("CODETAINER_MUCH_OUT", "A name to which more than this goes out, and more than comes in, is marked", size, "64M",
             "a size such as 64M or 1G"),
    Variable("CODETAINER_AUTOSAVE", "How often what is not pushed is pushed to a branch wip/...; exit: when the sandbox stops",
             autosave, "off", "a duration, exit or off", example="10m"),
    Variable("CODETAINER_GRACE", "How long the sandbox has from SIGTERM to its end; the last save fits into it", seconds, "10s",
             "a duration"),
    Variable("CODETAINER_ON_FAILURE", "After a halted boot: hold the container, or exit with code 1", OnFailure, "hold",
             "hold or exit"),
    Variable("CODETAINER_LOGIN", "What a login shows when the session is there: tmux, or the dashboard first", Login, "tmux",
             "tmux or dashboard"),
    Variable("CODETAINER_POPUP_KEY", "After the tmux prefix: the dashboard in a popup", one_key, "D", "one letter or digit"),
    Variable("CODETAINER_LOCK_TIMEOUT", "How long a login waits for boot", seconds, "5m", "a duration"),
    Variable("CODETAINER_LOG_FORMAT", "What `codetainer boot --no-tui` prints", LogFormat, "text", "text or json"),
)  # fmt: skip
