"""The catalogue of what can be written at GitHub, and whether the agent may (ways.toml explains it)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Whether a way is open: only in the repositories in scope, not at all, or everywhere."""

    SCOPE = "scope"
    REFUSED = "refused"
    PASSES = "passes"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as a host, a method and a path as in credentials.toml."""

    host: str
    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Way:
    """A kind of writes: what it lets out, whether it passes and why, and its requests."""

    name: str
    verdict: Verdict
    lets_out: str
    why: str
    requests: tuple[Request, ...]
    mutations: tuple[str, ...]

    def at(self, host: str) -> tuple[Request, ...]:
        """Its requests to a host."""
        return tuple(request for request in self.requests if request.host == host)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The ways, and what is known of hosts by name."""

    ways: tuple[Way, ...]
    about: Mapping[str, str]


def parse(text: str) -> Catalogue:
    """Parses ways.toml."""
    tables = tomllib.loads(text)
    ways = tuple(
        Way(
            way["name"], Verdict(way["verdict"]), way["lets_out"], way["why"],
            tuple(_requests(way.get("requests", ()))), tuple(way.get("mutations", ())),
        )
        for way in tables["way"]
    )  # fmt: skip
    return Catalogue(ways, {host["name"]: host["about"] for host in tables["host"]})


def _requests(texts: Iterable[str]) -> Iterable[Request]:
    for text in texts:
        host, method, path = text.split(" ")
        yield Request(host, method, path)
