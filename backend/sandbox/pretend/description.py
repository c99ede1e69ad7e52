"""What a pretend internet is like, read from TOML; everything wrong with a file is said at once."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).with_name("pretend.toml")
# RFC 5737: for documentation, routed nowhere.
RANGES = tuple(ipaddress.IPv4Network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))


class DescriptionError(ValueError):
    """Everything that is wrong with a description."""

    def __init__(self, file: str, problems: list[str]) -> None:
        super().__init__(f"cannot make the pretend internet of {file}:" + "".join(f"\n  {problem}" for problem in problems))


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
    resolver: str
    names: tuple[Name, ...]
    others: str = ""  # the address of every name that is not described; "" for none: they do not exist
    git_host: str = ""
    git_repository: str = ""
    api_host: str = ""

    @property
    def repo_url(self) -> str:
        return f"https://{self.git_host}/{self.git_repository}" if self.git_host else ""


def load(path: Path) -> Description:
    """Reads a description. Raises DescriptionError and OSError."""
    problems: list[str] = []
    try:
        body = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeError) as error:
        raise DescriptionError(str(path), [str(error)]) from error
    for key in body.keys() - {"resolver", "others", "git", "api", "name"}:
        problems.append(f"{key}: not a known key")
    resolver = _address(body.get("resolver", "203.0.113.53"), "resolver", problems)
    names = tuple(_name(entry, index, problems) for index, entry in enumerate(body.get("name", []), start=1))
    others = _address(body["others"], "others", problems) if "others" in body else ""
    git, api = body.get("git", {}), body.get("api", {})
    if problems:
        raise DescriptionError(str(path), problems)
    return Description(resolver, names, others, git.get("host", ""), git.get("repository", ""), api.get("host", ""))


def _name(entry: Mapping[str, Any], index: int, problems: list[str]) -> Name:
    where = f"name {index} ({entry.get('name', '?')})"
    for key in entry.keys() - {"name", "addresses", "cname", "ttl", "latency_ms", "rotate"}:
        problems.append(f"{where}: {key} is not a known key")
    name = entry.get("name")
    if not isinstance(name, str) or "." not in name:
        problems.append(f"{where}: name: a host name is expected")
    # Any address may stand in an answer: how a lying resolver is met is one of the things that are tested.
    addresses = tuple(str(address) for address in entry.get("addresses", ()))
    for address in addresses:
        try:
            ipaddress.IPv4Address(address)
        except ValueError:
            problems.append(f"{where}: {address!r} is no IPv4 address")
    rotate = entry.get("rotate", "")
    if rotate:
        try:
            network = ipaddress.IPv4Network(rotate)
            if not any(network.subnet_of(known) for known in RANGES):
                problems.append(f"{where}: rotate: {rotate} is not a documentation range")
        except ValueError:
            problems.append(f"{where}: rotate: {rotate!r} is no network")
    return Name(
        str(name).lower(), addresses, str(entry.get("cname", "")).lower(), int(entry.get("ttl", 60)),
        float(entry.get("latency_ms", 0)) / 1000, str(rotate),
    )  # fmt: skip


def _address(value: object, where: str, problems: list[str]) -> str:
    try:
        address = ipaddress.IPv4Address(str(value))
        if not any(address in known for known in RANGES):
            problems.append(f"{where}: {value} is not a documentation address (RFC 5737)")
    except ValueError:
        problems.append(f"{where}: {value!r} is no IPv4 address")
    return str(value)
