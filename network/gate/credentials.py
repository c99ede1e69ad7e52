"""Credentials that stay outside: which goes where, what the agent gets instead, and what may be done with it.

`credentials.toml` beside this file has the hosts that ship with Codetainer and says what each key means.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from network.names import EntryError, normalise

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_HEADER = re.compile(r"[a-z][a-z0-9-]*\Z")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_PLACEHOLDER = re.compile(r"[A-Za-z0-9_-]{16,}\Z")
LOGIN = "x-access-token"
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/(\*|[A-Za-z0-9._-]+)\Z")
_WORD = re.compile(r"[!-~]+\Z")
_PATH = re.compile(r"(PUSH|/)[A-Za-z0-9._/*-]*\Z")


class CredentialsError(ValueError):
    """What is wrong with a file of credentials, and where."""


@dataclass(frozen=True, slots=True)
class Credential:
    """`login` is the user beside it where it travels as Basic."""

    variable: str
    placeholder: str
    header: str
    login: str = LOGIN


@dataclass(frozen=True, slots=True)
class Write:
    """A request that may change something: its method, and the regular expression that its whole path has to match."""

    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Host:
    """A host whose TLS ends at the gate. `credentials` are those of its variables; see credentials.toml for the rest."""

    name: str
    credentials: tuple[Credential, ...]
    writes: tuple[str, ...] = ()
    announces: str = ""
    below: str = ""
    branches: str = ""
    refuse_headers: tuple[tuple[str, str], ...] = ()
    refuse_paths: tuple[str, ...] = ()
    answers: str = "json"
    graphql: str = ""
    mutations: tuple[str, ...] = ()

    def allowed(self, repositories: Iterable[str]) -> tuple[Write, ...]:
        """The writes that pass when these repositories (`owner/repo`, `owner/*`, `*`) may be pushed to."""
        push = _push(self.below, tuple(repositories))
        found = []
        for text in self.writes:
            method, _, path = text.partition(" ")
            if path.startswith("PUSH"):
                if push:
                    found.append(Write(method, f"^{push}{_pattern(path.removeprefix('PUSH'))}$"))
            else:
                found.append(Write(method, f"^{_pattern(path)}$"))
        return tuple(found)

    @property
    def writes_to_repositories(self) -> bool:
        """Whether something may be written in the repositories that may be pushed to."""
        return any(write.partition(" ")[2].startswith("PUSH") for write in self.writes)

    def inside(self, repositories: Iterable[str]) -> str:
        """A regular expression that a whole path matches if it lies in one of these repositories; "" for none."""
        push = _push(self.below, tuple(repositories))
        return push and f"^{push}(/.*)?$"

    def below_branches(self, repositories: Iterable[str]) -> str:
        """A regular expression that a whole path matches if it is a branch of one of these repositories; "" for none."""
        push = _push(self.below, tuple(repositories))
        return push and self.branches and f"^{push}{_pattern(self.branches.removeprefix('PUSH'))}/.*$"


def _pattern(path: str) -> str:
    """Of a rule's path as a regular expression: as requests' paths are, without the slashes at its end."""
    text = re.escape(path.rstrip("/")).replace(r"\*\*", ".*").replace(r"\*", "[^/]+")
    return text.replace(r"\-", "-")


def _push(below: str, repositories: tuple[str, ...]) -> str:
    if not repositories:
        return ""
    names = "|".join("[^/]+/[^/]+" if r == "*" else re.escape(r.removesuffix("*")) + ("[^/]+" if r.endswith("*") else "")
                     for r in repositories)  # fmt: skip
    return f"{re.escape(below)}/({names})(\\.git)?".replace(r"\-", "-")


def repositories(text: str) -> tuple[str, ...]:
    """What `CODETAINER_PUSH` names: `owner/repo`, `owner/*` or `*`, between blanks or commas. Raises ValueError."""
    found = tuple(word for word in re.split(r"[,\s]+", text) if word)
    for word in found:
        if word != "*" and not REPOSITORY.match(word):
            raise ValueError(f"{word!a} is no repository")
    return tuple(word if word == "*" or word.endswith("/*") else word.removesuffix(".git") for word in found)


def variables(hosts: Iterable[Host]) -> dict[str, Credential]:
    """The credentials of these hosts, by the variable that holds them."""
    return {credential.variable: credential for host in hosts for credential in host.credentials}


def parse(text: str, file: str, known: Mapping[str, Credential] = MappingProxyType({})) -> tuple[Host, ...]:
    """The hosts of a file; they may name its own credentials and `known` ones. Raises CredentialsError."""
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CredentialsError(f"{file}: {error}") from error
    unknown = [key for key in body if key not in ("credential", "host")]
    if unknown:
        raise CredentialsError(f"{file}: found {', '.join(unknown)}, expected [[credential]] and [[host]]")
    credentials = dict(known)
    for number, table in enumerate(_tables(body, "credential", file), start=1):
        place = f"{file}: credential {number}"
        _only(table, ("variable", "placeholder", "header", "login"), place)
        variable, header = _text(table, "variable", place), _text(table, "header", place).lower()
        if not _VARIABLE.match(variable):
            raise CredentialsError(f"{place}: variable is {variable!a}, expected a name such as MY_TOKEN")
        if variable in known:
            raise CredentialsError(f"{place}: {variable} is shipped; name it in a host, without a credential of its own")
        placeholder = _text(table, "placeholder", place) if "placeholder" in table else f"codetainer-holds-{variable}"
        if not _PLACEHOLDER.match(placeholder):
            raise CredentialsError(f"{place}: placeholder is too short or has other characters than letters, digits, _ and -")
        if not _HEADER.match(header) or header in ("host", "cookie", "content-length", "transfer-encoding", "connection"):
            raise CredentialsError(f"{place}: header is {header!a}, expected authorization or a header of the site's own")
        login = _text(table, "login", place) if "login" in table else LOGIN
        credentials[variable] = Credential(variable, placeholder, header, login)
    if len({credential.placeholder for credential in credentials.values()}) < len(credentials):
        raise CredentialsError(f"{file}: two credentials have one placeholder")
    return tuple(
        _host(table, credentials, f"{file}: host {number}") for number, table in enumerate(_tables(body, "host", file), 1)
    )


def _host(table: Mapping[str, Any], credentials: Mapping[str, Credential], place: str) -> Host:
    try:
        name = normalise(_text(table, "name", place))
    except EntryError as error:
        raise CredentialsError(f"{place}: {error}") from error
    place = f"{place} ({name})"
    if "refuse_writes" in table:
        raise CredentialsError(f"{place}: refuse_writes is gone: name in writes what may be written, all else is refused")
    _only(
        table,
        (
            "name",
            "credentials",
            "writes",
            "announces",
            "below",
            "branches",
            "refuse_headers",
            "refuse_paths",
            "answers",
            "graphql",
            "mutations",
        ),
        place,
    )
    given = _texts(table, "credentials", place)
    unknown = [variable for variable in given if variable not in credentials]
    if unknown:
        raise CredentialsError(f"{place}: {', '.join(unknown)} is no credential that is described here or shipped")
    if not given:
        raise CredentialsError(f"{place}: credentials is empty: without one its TLS has no reason to end at the gate")
    writes = _texts(table, "writes", place)
    for write in writes:
        method, _, path = write.partition(" ")
        if method not in METHODS or not _is_path(path):
            raise CredentialsError(f"{place}: writes holds {write!a}, expected METHOD /path, as in POST /v1/messages")
    refused = table.get("refuse_headers", {})
    if not isinstance(refused, dict):
        raise CredentialsError(f"{place}: refuse_headers is no table of header = text")
    paths = tuple(path.rstrip("/") for path in _texts(table, "refuse_paths", place))
    for word in (*refused, *refused.values(), *paths, *([table["announces"]] if "announces" in table else ())):
        if not isinstance(word, str) or not re.match(r"[A-Za-z0-9._/=-]+\Z", word):
            raise CredentialsError(f"{place}: found {word!a}, expected letters, digits and . _ / = - only")
    answers = table.get("answers", "json")
    below = table.get("below", "")
    if answers not in ("json", "text") or not isinstance(below, str) or not re.match(r"(/[A-Za-z0-9._-]+)*\Z", below):
        raise CredentialsError(f"{place}: answers is json or text, below a path such as /repos")
    graphql, mutations = table.get("graphql", ""), _texts(table, "mutations", place)
    if not isinstance(graphql, str) or not re.match(r"(/[a-z0-9/]+)?\Z", graphql) or (mutations and not graphql):
        raise CredentialsError(f"{place}: graphql is {graphql!a}, expected a path such as /graphql; mutations need one")
    for mutation in mutations:
        if not re.match(r"[A-Za-z_][A-Za-z0-9_]*\Z", mutation):
            raise CredentialsError(f"{place}: mutations holds {mutation!a}, expected a name, as in createPullRequest")
    branches = table.get("branches", "")
    if branches and (not isinstance(branches, str) or not _is_path(branches) or not branches.startswith("PUSH/")):
        raise CredentialsError(f"{place}: branches is {branches!a}, expected a path in a repository, as in PUSH/git/refs/heads")
    if branches and not (graphql and below):
        raise CredentialsError(f"{place}: branches needs graphql, by which the default branch is asked for, and below")
    return Host(
        name, tuple(credentials[variable] for variable in given), writes, table.get("announces", ""), below,
        branches, tuple(refused.items()), paths, answers, graphql, mutations,
    )  # fmt: skip


def _is_path(text: str) -> bool:
    """Whether a rule may hold it: a path in the one form that requests are brought into (network/gate/scope.py)."""
    return bool(_PATH.match(text)) and not re.search(r"//|/\.\.?(/|$)", text)


def _tables(body: Mapping[str, Any], key: str, file: str) -> list[Mapping[str, Any]]:
    found = body.get(key, [])
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        raise CredentialsError(f"{file}: {key} is written [[{key}]], once for each")
    return found


def _only(table: Mapping[str, Any], keys: tuple[str, ...], place: str) -> None:
    unknown = [key for key in table if key not in keys]
    if unknown:
        raise CredentialsError(f"{place}: found {', '.join(unknown)}, expected {', '.join(keys)}")


def _text(table: Mapping[str, Any], key: str, place: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not _WORD.match(value):
        raise CredentialsError(f"{place}: {key} is missing, or no word")
    return value


def _texts(table: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    values = table.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise CredentialsError(f"{place}: {key} is not a list of texts")
    return tuple(values)


def placeholders(hosts: Iterable[Host]) -> Mapping[str, str]:
    """What the agent gets instead, by variable."""
    return {variable: credential.placeholder for variable, credential in variables(hosts).items()}
