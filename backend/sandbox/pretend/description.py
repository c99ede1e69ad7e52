"""What a pretend internet is like, read from TOML; everything wrong with a file is said at once."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).with_name("pretend.toml")
# RFC 5737: for documentation, routed nowhere.
RANGES = tuple(ipaddress.IPv4Network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))
# The last /25 of it has the link to the sandbox in it.
RESOLVERS = ipaddress.IPv4Network("203.0.113.0/25")
HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})+\Z")
REPOSITORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)+\Z")
MAX_TTL = (1 << 31) - 1  # RFC 2181


class DescriptionError(ValueError):
    """Everything that is wrong with a description."""

    def __init__(self, file: str, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"cannot make the pretend internet of {file}:" + "".join(f"\n  {problem}" for problem in problems))


class Speaks(StrEnum):
    """What is spoken on a port. `echo` sends back what it gets, for ports that are reached by address."""

    HTTPS = "https"
    HTTP = "http"
    ECHO = "echo"


@dataclass(frozen=True, slots=True)
class Listener:
    port: int
    speaks: Speaks


LISTENERS = (Listener(443, Speaks.HTTPS), Listener(80, Speaks.HTTP), Listener(8443, Speaks.HTTPS), Listener(22, Speaks.ECHO))


@dataclass(frozen=True, slots=True)
class Name:
    """One name. `rotate`: every answer has one address more of this network. `ttl` in seconds, `latency` in seconds."""

    name: str
    addresses: tuple[str, ...] = ()
    cname: str = ""
    ttl: int = 60
    latency: float = 0.0
    rotate: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """`listeners` answer on every documentation address; `git_*` is a repository, `api_host` the Anthropic API's stand-in."""

    resolver: str
    names: tuple[Name, ...]
    others: str = ""  # the address of every name that is not described; "" for none: they do not exist
    git_host: str = ""
    git_repository: str = ""
    api_host: str = ""
    listeners: tuple[Listener, ...] = LISTENERS

    @property
    def repo_url(self) -> str:
        return f"https://{self.git_host}/{self.git_repository}" if self.git_host else ""


def load(path: Path) -> Description:
    """Reads a description. Raises DescriptionError and OSError."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeError as error:
        raise DescriptionError(str(path), [f"not UTF-8: {error}"]) from error
    return parse(text, str(path))


def parse(text: str, file: str) -> Description:
    """The description that a TOML text holds. Raises DescriptionError."""
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DescriptionError(file, [str(error)]) from error
    problems: list[str] = []
    top = _Table(body, "", problems)
    top.known("resolver", "others", "git", "api", "name", "listener")
    resolver = top.text("resolver", "203.0.113.53")
    if not _within(resolver, (RESOLVERS,)):
        problems.append(f"resolver: {resolver!r} is no address of {RESOLVERS} (for documentation, RFC 5737)")
    others = top.text("others", "")
    if others and not _within(others, RANGES):
        problems.append(f"others: {others!r} is no documentation address (RFC 5737)")
    git, api = top.table("git"), top.table("api")
    git.known("host", "repository")
    api.known("host")
    git_host, repository, api_host = git.host("host"), git.text("repository", ""), api.host("host")
    if bool(git_host) != bool(repository) or (repository and not REPOSITORY.match(repository)):
        problems.append("git: host and repository (OWNER/REPO) are expected, both or neither")
    names = tuple(_name(table) for table in top.tables("name"))
    for name in sorted({name.name for name in names if [other.name for other in names].count(name.name) > 1}):
        problems.append(f"name {name}: described twice")
    listeners = tuple(_listener(table) for table in top.tables("listener")) or LISTENERS
    if problems:
        raise DescriptionError(file, problems)
    return Description(resolver, names, others, git_host, repository, api_host, listeners)


def _name(table: _Table) -> Name:
    table.known("name", "addresses", "cname", "ttl", "latency_ms", "rotate")
    name = table.host("name", required=True)
    table.where += f" ({name})" if name else ""
    # Any address may stand in an answer: how a lying resolver is met is one of the things that are tried.
    addresses = table.addresses("addresses")
    rotate = table.text("rotate", "")
    if rotate and not _network(rotate):
        table.problem(f"rotate: {rotate!r} is no network in a documentation range, with addresses to hand out")
    cname = table.host("cname")
    if cname and (addresses or rotate):
        table.problem("cname: goes without addresses and rotate")
    ttl, latency = table.number("ttl", 60, MAX_TTL), table.number("latency_ms", 0, 60_000)
    return Name(name, addresses, cname, int(ttl), latency / 1000, rotate)


def _listener(table: _Table) -> Listener:
    table.known("port", "speaks")
    port, speaks = int(table.number("port", 0, 65535)), table.text("speaks", "https")
    if port == 0 or port == 53:
        table.problem("port: a number from 1 to 65535, and not the resolver's, is expected")
    if speaks not in list(Speaks):
        table.problem(f"speaks: {speaks!r} is none of {', '.join(Speaks)}")
        return Listener(port, Speaks.ECHO)
    return Listener(port, Speaks(speaks))


def _within(text: str, ranges: tuple[ipaddress.IPv4Network, ...]) -> bool:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return any(address in known for known in ranges)


def _network(text: str) -> bool:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        return False
    return any(network.subnet_of(known) for known in RANGES) and network.prefixlen <= 32


class _Table:
    """A TOML table while it is read: every value is taken with its type, and what is wrong is noted."""

    def __init__(self, body: Mapping[str, Any], where: str, problems: list[str]) -> None:
        self._body, self.where, self._problems = body, where, problems

    def problem(self, text: str) -> None:
        self._problems.append(f"{self.where}: {text}" if self.where else text)

    def known(self, *keys: str) -> None:
        for key in self._body.keys() - set(keys):
            self.problem(f"{key}: not a known key; known are {', '.join(keys)}")

    def text(self, key: str, default: str) -> str:
        value = self._body.get(key, default)
        if isinstance(value, str):
            return value
        self.problem(f"{key}: text is expected, found {value!r}")
        return default

    def host(self, key: str, *, required: bool = False) -> str:
        value = self.text(key, "").lower().removesuffix(".")
        if (value or required) and not HOST.match(value):
            self.problem(f"{key}: a host name is expected, found {value!r}")
        return value

    def number(self, key: str, default: int, most: int) -> float:
        value = self._body.get(key, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most:
            return value
        self.problem(f"{key}: a number from 0 to {most} is expected, found {value!r}")
        return default

    def addresses(self, key: str) -> tuple[str, ...]:
        value = self._body.get(key, [])
        found: list[str] = []
        for entry in value if isinstance(value, list) else [value]:
            try:
                found.append(str(ipaddress.IPv4Address(entry if isinstance(entry, str) else "")))
            except ValueError:
                self.problem(f"{key}: {entry!r} is no IPv4 address")
        return tuple(found)

    def table(self, key: str) -> _Table:
        value = self._body.get(key, {})
        if not isinstance(value, dict):
            self.problem(f"{key}: a table is expected")
            value = {}
        return _Table(value, key, self._problems)

    def tables(self, key: str) -> list[_Table]:
        value = self._body.get(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            self.problem(f"{key}: tables are expected ([[{key}]])")
            return []
        return [_Table(entry, f"{key} {number}", self._problems) for number, entry in enumerate(value, 1)]
