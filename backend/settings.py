"""Environment to one frozen Settings. The only reader of the environment; everything wrong is reported at once.

`VARIABLES` is the table that the documentation is generated from.

Length: that table and how each of its values is read.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from network import allowlist, credentials

EXIT_CODE = 2
MOST_TEXT = 1 << 20


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


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: what it means, how it is read, and what it is when nobody sets it. `secret`: its value is never shown."""

    name: str
    meaning: str
    read: Callable[[str], Any]
    default: str | None = None  # None: required, or one of a group is
    expected: str = ""
    secret: bool = False


class SettingsError(Exception):
    """Everything that is wrong with the environment, a line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(f"cannot boot: the settings are not right{lines}")


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


def seconds(value: str) -> float:
    """A duration: `90`, `90s`, `5m`, `4h`, `1d`."""
    found = re.match(r"([0-9]{1,9})([smhd]?)\Z", value)
    if not found:
        raise ValueError
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


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
    Variable("REPO_URL", "Repository cloned to /workspace/repo", repository, "", "https://HOST/OWNER/REPO, no credentials"),
    Variable("CLAUDE_PROMPT", "Work that Claude begins at boot, before anybody logs in", text, ""),
    Variable("GIT_USER_NAME", "Author of commits", one_line, "codetainer", "one line"),
    Variable("GIT_USER_EMAIL", "Address of the author", one_line, "codetainer@noreply.github.com", "one line"),
    Variable("CODETAINER_EXTRA_DOMAINS", "Entries added to domains.conf, between blanks or commas", domains, "", "entries"),
    Variable("CODETAINER_UPSTREAM", "Resolvers that the guard asks; default: those of /etc/resolv.conf", upstreams, "",
             "IPv4 addresses, each ADDRESS[:PORT] or tls://ADDRESS[#NAME]"),
    Variable("CODETAINER_TMPFS_WORKSPACE", "Size of /workspace", size, "512M", "a size such as 512M or 2G"),
    Variable("CODETAINER_TMPFS_TMP", "Size of /tmp", size, "512M", "a size such as 512M or 2G"),
    Variable("CODETAINER_TMPFS_HOME", "Size of /home/claude", size, "1G", "a size such as 512M or 2G"),
    Variable("CODETAINER_REFRESH", "How often every listed name is resolved again", seconds, "5m", "a duration (90s, 5m)"),
    Variable("CODETAINER_KEEP", "How long an address stays open after it was last handed out", seconds, "4h", "a duration"),
    Variable("CODETAINER_PROOF", "How often the walls are tried again", seconds, "3m", "a duration"),
    Variable("CODETAINER_INBOUND_PORTS", "TCP ports that may be reached from outside", ports, "", "port numbers"),
    Variable("CODETAINER_GATE", "Whether connections are checked by name too; off where the kernel has no nat", GateMode, "on",
             "on or off"),
    Variable("CODETAINER_CREDENTIALS", "Whether the gate holds the credentials, or the agent itself", Where, "outside",
             "outside or inside"),
    Variable("CODETAINER_PUSH", "Repositories beside REPO_URL's that may be pushed and written to; * for all", push, "",
             "OWNER/REPO, OWNER/* or *, between blanks or commas"),
    Variable("CODETAINER_MUCH_OUT", "A name to which more than this goes out, and more than comes in, is marked", size, "64M",
             "a size such as 64M or 1G"),
    Variable("CODETAINER_ON_FAILURE", "After a halted boot: hold the container, or exit with code 1", OnFailure, "hold",
             "hold or exit"),
    Variable("CODETAINER_LOGIN", "What a login shows when the session is there: tmux, or the dashboard first", Login, "tmux",
             "tmux or dashboard"),
    Variable("CODETAINER_LOCK_TIMEOUT", "How long a login waits for boot", seconds, "5m", "a duration"),
    Variable("CODETAINER_LOG_FORMAT", "What `codetainer boot --no-tui` prints", LogFormat, "text", "text or json"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Secrets:
    """The credentials. Their text is in no repr: a traceback that shows this shows nothing."""

    gh_pat: str
    oauth_token: str
    api_key: str

    def __repr__(self) -> str:
        return "Secrets(...)"

    def by_variable(self) -> dict[str, str]:
        """The credentials there are, by the name of their variable."""
        found = {"GH_PAT": self.gh_pat, "CLAUDE_CODE_OAUTH_TOKEN": self.oauth_token, "ANTHROPIC_API_KEY": self.api_key}
        return {variable: value for variable, value in found.items() if value}

    def values(self) -> tuple[str, ...]:
        return tuple(value for value in (self.gh_pat, self.oauth_token, self.api_key) if value)


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the operator decides. Durations in seconds, sizes in bytes."""

    secrets: Secrets
    repo_url: str
    prompt: str
    git_user_name: str
    git_user_email: str
    extra_domains: str
    upstreams: tuple[str, ...]
    tmpfs_workspace: int
    tmpfs_tmp: int
    tmpfs_home: int
    refresh_seconds: float
    keep_seconds: float
    proof_seconds: float
    inbound_ports: tuple[int, ...]
    gate: GateMode
    credentials: Where
    push: tuple[str, ...]
    much_out: int
    on_failure: OnFailure
    login: Login
    lock_timeout: float
    log_format: LogFormat

    @property
    def repository(self) -> str:
        """`owner/repo`, as it is shown."""
        return "/".join(self.repo_url.removesuffix(".git").rstrip("/").split("/")[-2:]) if self.repo_url else ""

    @property
    def outside(self) -> bool:
        """Whether the gate holds the credentials. Without a gate nobody can put them in, so the agent has them."""
        return self.credentials is Where.OUTSIDE and self.gate is GateMode.ON

    @property
    def agent_secrets(self) -> Secrets:
        """What the agent gets: placeholders of the credentials there are, or (inside) the credentials."""
        if not self.outside:
            return self.secrets
        given = credentials.placeholders(credentials.shipped())
        return Secrets(
            given["GH_PAT"],
            given["CLAUDE_CODE_OAUTH_TOKEN"] if self.secrets.oauth_token else "",
            given["ANTHROPIC_API_KEY"] if self.secrets.api_key else "",
        )

    @property
    def writable(self) -> tuple[str, ...]:
        """Repositories of GitHub's that may be written to: REPO_URL's own and what CODETAINER_PUSH adds."""
        own = (self.repository,) if self.repo_url.startswith("https://github.com/") else ()
        return tuple(dict.fromkeys((*own, *self.push)))


def load(environment: Mapping[str, str]) -> Settings:
    """The settings of an environment. Raises SettingsError with everything that is wrong.

    A variable NAME may be given as NAME_FILE, the path of a file that holds its value (a mounted secret).
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    for variable in VARIABLES:
        values[variable.name] = _value(variable, environment, problems)
    if not values["CLAUDE_CODE_OAUTH_TOKEN"] and not values["ANTHROPIC_API_KEY"]:
        problems.append("CLAUDE_CODE_OAUTH_TOKEN or ANTHROPIC_API_KEY: neither is set; Claude Code needs one of them")
    if problems:
        raise SettingsError(problems)
    v = values
    return Settings(
        Secrets(v["GH_PAT"], v["CLAUDE_CODE_OAUTH_TOKEN"], v["ANTHROPIC_API_KEY"]),
        v["REPO_URL"], v["CLAUDE_PROMPT"], v["GIT_USER_NAME"], v["GIT_USER_EMAIL"], v["CODETAINER_EXTRA_DOMAINS"],
        v["CODETAINER_UPSTREAM"] or (), v["CODETAINER_TMPFS_WORKSPACE"], v["CODETAINER_TMPFS_TMP"], v["CODETAINER_TMPFS_HOME"],
        v["CODETAINER_REFRESH"], v["CODETAINER_KEEP"], v["CODETAINER_PROOF"], v["CODETAINER_INBOUND_PORTS"] or (),
        v["CODETAINER_GATE"], v["CODETAINER_CREDENTIALS"], v["CODETAINER_PUSH"] or (),
        v["CODETAINER_MUCH_OUT"],
        v["CODETAINER_ON_FAILURE"], v["CODETAINER_LOGIN"], v["CODETAINER_LOCK_TIMEOUT"], v["CODETAINER_LOG_FORMAT"],
    )  # fmt: skip


def _value(variable: Variable, environment: Mapping[str, str], problems: list[str]) -> Any:
    given = environment.get(variable.name, "")
    file = environment.get(f"{variable.name}_FILE", "")
    if given and file:
        problems.append(f"{variable.name}: set twice, by itself and by {variable.name}_FILE; keep one of them")
        return ""
    if file:
        try:
            with Path(file).open(errors="strict") as opened:
                given = opened.read(MOST_TEXT).rstrip("\n")
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            problems.append(f"{variable.name}_FILE: cannot read {file}: {reason}")
            return ""
    if not given:
        if variable.default is None:
            problems.append(f"{variable.name}: not set; expected {variable.expected} ({variable.meaning})")
            return ""
        given = variable.default
        if not given:
            return ""
    try:
        return variable.read(given)
    except allowlist.AllowlistError as error:
        problems.extend(f"{problem}" for problem in error.problems)
    except ValueError:
        shown = "a value that is none" if variable.secret else f"{given[:80]!a}"
        problems.append(f"{variable.name}: found {shown}, expected {variable.expected}")
    return ""


def environment() -> dict[str, str]:
    """This process's environment, for `load` and for handing parts of it on."""
    return dict(os.environ)


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that is ours, with the `_FILE` forms: what is handed on into a sandbox."""
    names = {name for variable in VARIABLES for name in (variable.name, f"{variable.name}_FILE")}
    return {name: value for name, value in environment.items() if name in names}
