"""Parses the description of a pretend internet from TOML, and reports all problems of a file at once."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import Any

from backend.contract.immutable import dataclass

SHIPPED = Path(__file__).with_name("pretend.toml")
# RFC 5737: reserved for documentation, not routed.
RANGES = tuple(ipaddress.IPv4Network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))
# The other half of the range contains the link to the sandbox.
RESOLVERS = ipaddress.IPv4Network("203.0.113.0/25")
HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})+\Z")
REPOSITORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)+\Z")
MAX_TTL = (1 << 31) - 1  # RFC 2181


class DescriptionError(ValueError):
    """All problems of a description."""

    def __init__(self, file: str, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            f"cannot make the pretend internet described in {file}:" + "".join(f"\n  {problem}" for problem in problems)
        )


class Speaks(StrEnum):
    """The protocol on a port. `echo` returns all data that it receives, for tests that connect by address."""

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
    """A DNS name. Answers contain `addresses` and the next address of the network `rotate`. `ttl` and `latency` in seconds.

    `cname` is an alias in the letter case in which the resolver writes it.

    `folder`: HTTP requests for the name get the files in this folder of the machine.

    `certificate` is a file into which the pretend internet writes a certificate for the name, with its key. A test can start
    a server of its own with it.
    """

    name: str
    addresses: tuple[str, ...] = ()
    cname: str = ""
    ttl: int = 60
    latency: float = 0.0
    rotate: str = ""
    folder: Path | None = None
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """A pretend internet. `listeners` answer on all documentation addresses.

    `git_host` serves the repository `git_repository`, `api_host` the stand-in for the Anthropic API. `git_files` are files of
    the repository, by path, in addition to the usual ones.
    """

    resolver: str
    names: tuple[Name, ...]
    others: str = ""  # the address of all other names; "" means that they do not exist
    git_host: str = ""
    git_repository: str = ""
    api_host: str = ""
    listeners: tuple[Listener, ...] = LISTENERS
    git_files: Mapping[str, str] = field(default_factory=dict)

    @property
    def repo_url(self) -> str:
        return f"https://{self.git_host}/{self.git_repository}" if self.git_host else ""

    @property
    def folders(self) -> Mapping[str, Path]:
        """The folders that names serve."""
        return {name.name: name.folder for name in self.names if name.folder is not None}


def load(path: Path) -> Description:
    """Reads a description. Raises DescriptionError and OSError."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeError as error:
        raise DescriptionError(str(path), [f"not UTF-8: {error}"]) from error
    return parse(text, str(path))


def parse(text: str, file: str) -> Description:
    """Parses TOML text. Raises DescriptionError."""
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DescriptionError(file, [str(error)]) from error
    problems: list[str] = []
    top = _Table(body, "", problems)
    top.check_keys("resolver", "others", "git", "api", "name", "listener")
    resolver = top.text("resolver", "203.0.113.53")
    if not _within(resolver, (RESOLVERS,)):
        problems.append(f"resolver: expected an address in {RESOLVERS} (for documentation, RFC 5737), found {resolver!r}")
    others = top.text("others", "")
    if others and not _within(others, RANGES):
        problems.append(f"others: expected a documentation address (RFC 5737), found {others!r}")
    git, api = top.table("git"), top.table("api")
    git.check_keys("host", "repository", "files")
    api.check_keys("host")
    git_host, repository, api_host = git.host("host"), git.text("repository", ""), api.host("host")
    if bool(git_host) != bool(repository) or (repository and not REPOSITORY.match(repository)):
        problems.append("git: expected both host and repository (OWNER/REPO), or neither")
    files = git.files("files")
    if files and not repository:
        problems.append("git: files need a repository")
    names = tuple(_name(table) for table in top.tables("name"))
    for name in sorted({name.name for name in names if [other.name for other in names].count(name.name) > 1}):
        problems.append(f"name {name}: described twice")
    listeners = tuple(_listener(table) for table in top.tables("listener")) or LISTENERS
    if problems:
        raise DescriptionError(file, problems)
    return Description(resolver, names, others, git_host, repository, api_host, listeners, files)


def _name(table: _Table) -> Name:
    table.check_keys("name", "addresses", "cname", "ttl", "latency_ms", "rotate", "folder", "certificate")
    name = table.host("name", required=True)
    table.where += f" ({name})" if name else ""
    # Answers may contain any address: tests check how a lying resolver is handled.
    addresses = table.addresses("addresses")
    rotate = table.text("rotate", "")
    if rotate and not _network(rotate):
        table.problem(f"rotate: expected a network in a documentation range (RFC 5737), found {rotate!r}")
    cname = table.host("cname", keep_case=True)
    if cname and (addresses or rotate):
        table.problem("cname: cannot be combined with addresses or rotate")
    ttl, latency = table.number("ttl", 60, MAX_TTL), table.number("latency_ms", 0, 60_000)
    folder = table.text("folder", "")
    if folder and not Path(folder).is_absolute():
        table.problem(f"folder: expected an absolute path, found {folder!r}")
    certificate = table.text("certificate", "")
    if certificate and not Path(certificate).is_absolute():
        table.problem(f"certificate: expected an absolute path, found {certificate!r}")
    return Name(name, addresses, cname, int(ttl), latency / 1000, rotate, Path(folder) if folder else None, certificate)


def _listener(table: _Table) -> Listener:
    table.check_keys("port", "speaks")
    port, speaks = int(table.number("port", 0, 65535)), table.text("speaks", "https")
    if port == 0 or port == 53:
        table.problem("port: expected a number from 1 to 65535 other than 53, the resolver's port")
    if speaks not in list(Speaks):
        table.problem(f"speaks: expected one of {', '.join(Speaks)}, found {speaks!r}")
        return Listener(port, Speaks.ECHO)
    return Listener(port, Speaks(speaks))


def _within(text: str, ranges: tuple[ipaddress.IPv4Network, ...]) -> bool:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return any(address in network for network in ranges)


def _network(text: str) -> bool:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        return False
    return any(network.subnet_of(outer) for outer in RANGES) and network.prefixlen <= 32


class _Table:
    """Reads typed values from a TOML table and collects problems. A method whose value is invalid returns a default."""

    def __init__(self, body: Mapping[str, Any], where: str, problems: list[str]) -> None:
        self._body, self.where, self._problems = body, where, problems

    def problem(self, text: str) -> None:
        self._problems.append(f"{self.where}: {text}" if self.where else text)

    def check_keys(self, *keys: str) -> None:
        for key in self._body.keys() - set(keys):
            self.problem(f"{key}: unknown key, expected one of {', '.join(keys)}")

    def text(self, key: str, default: str) -> str:
        value = self._body.get(key, default)
        if isinstance(value, str):
            return value
        self.problem(f"{key}: expected text, found {value!r}")
        return default

    def host(self, key: str, *, required: bool = False, keep_case: bool = False) -> str:
        """A host name without trailing dot, in lower case unless `keep_case`."""
        value = self.text(key, "").removesuffix(".")
        if (value or required) and not HOST.match(value.lower()):
            self.problem(f"{key}: expected a host name, found {value.lower()!r}")
        return value if keep_case else value.lower()

    def number(self, key: str, default: int, limit: int) -> float:
        value = self._body.get(key, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= limit:
            return value
        self.problem(f"{key}: expected a number from 0 to {limit}, found {value!r}")
        return default

    def files(self, key: str) -> Mapping[str, str]:
        """Texts by relative path."""
        value = self._body.get(key, {})
        if not isinstance(value, dict):
            self.problem(f"{key}: expected a table of texts by path, found {value!r}")
            return {}
        for path, text in value.items():
            if not isinstance(text, str):
                self.problem(f"{key}: {path}: expected text, found {text!r}")
            if {"", ".", "..", ".git"} & set(path.split("/")):
                self.problem(f"{key}: expected a path relative to the repository, found {path!r}")
        return value

    def addresses(self, key: str) -> tuple[str, ...]:
        value = self._body.get(key, [])
        addresses: list[str] = []
        for entry in value if isinstance(value, list) else [value]:
            try:
                addresses.append(str(ipaddress.IPv4Address(entry if isinstance(entry, str) else "")))
            except ValueError:
                self.problem(f"{key}: expected an IPv4 address, found {entry!r}")
        return tuple(addresses)

    def table(self, key: str) -> _Table:
        value = self._body.get(key, {})
        if not isinstance(value, dict):
            self.problem(f"{key}: expected a table")
            value = {}
        return _Table(value, key, self._problems)

    def tables(self, key: str) -> list[_Table]:
        value = self._body.get(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            self.problem(f"{key}: expected tables ([[{key}]])")
            return []
        return [_Table(entry, f"{key} {number}", self._problems) for number, entry in enumerate(value, 1)]
