"""Credentials that stay outside the sandbox: their hosts, the agent's placeholders, and the requests that may use them.

`credentials.toml` beside this file has the hosts that ship with Codetainer and explains each key.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from network.names import EntryError, normalise

ANSWERS = ("json", "text", "registry")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_HEADER = re.compile(r"[a-z][a-z0-9-]*\Z")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_PLACEHOLDER = re.compile(r"[A-Za-z0-9_-]{16,}\Z")
LOGIN = "x-access-token"
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/(\*|[A-Za-z0-9._-]+)\Z")
_WORD = re.compile(r"[!-~]+\Z")
_ANY = r"(?![^/]*\.wiki(\.git)?(/|$))[^/]+"  # a repository, but not a wiki, which has to be named
_PATH = re.compile(r"(PUSH|/)[A-Za-z0-9._/*-]*\Z")


class CredentialsError(ValueError):
    """An error in a credentials file, with its place."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential: its variable, its placeholder and its header. `login` is the user name for Basic authentication.

    With `bearer`, clients may send it as a Bearer token, too.
    """

    variable: str
    placeholder: str
    header: str
    login: str = LOGIN
    bearer: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """A permitted write: its method, and a regular expression that the whole path must match."""

    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Host:
    """A host whose TLS terminates at the gate. credentials.toml explains the fields."""

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
    lfs: str = ""
    url_tokens: bool = False
    any_credential: bool = False
    lfs_store: bool = False
    guards_branches: str = ""
    members: tuple[tuple[str, tuple[str, ...]], ...] = ()
    inputs: tuple[str, ...] = ()
    heads: str = ""
    files: tuple[str, ...] = ()
    model_api: bool = False
    searched: bool = False  # texts may not refer elsewhere (network/gate/references.py); no key of the file

    def allowed(self, repositories: Iterable[str], *, files: bool = False) -> tuple[Write, ...]:
        """The permitted writes (`files`: only those of files) if these repositories (`owner/*`, `*`) may be pushed to."""
        patterns = (self._write(text, tuple(repositories)) for text in (self.files if files else self.writes))
        return tuple(write for write in patterns if write)

    def limited(self, repositories: Iterable[str]) -> tuple[tuple[Write, tuple[str, ...]], ...]:
        """The writes whose body may only have certain members, with their names."""
        patterns = ((self._write(text, tuple(repositories)), names) for text, names in self.members)
        return tuple((write, names) for write, names in patterns if write)

    def updates(self, repositories: Iterable[str]) -> str:
        """A regular expression for whole paths at which pull requests are updated (`heads`); "" without any."""
        write = self._write(f"PUT {self.heads}", tuple(repositories)) if self.heads else None
        return write.path if write else ""

    def creates_refs(self, repositories: Iterable[str]) -> str:
        """A regular expression for whole paths at which branches and tags are created: above `branches`; "" without any."""
        parent = self.branches.rpartition("/")[0]
        write = self._write(f"POST {parent}", tuple(repositories)) if parent else None
        return write.path if write and f"POST {parent}" in self.writes else ""

    def _write(self, text: str, repositories: tuple[str, ...]) -> Write | None:
        """Parses a permitted write; None if it needs a repository and there is none."""
        method, _, path = text.partition(" ")
        if not path.startswith("PUSH"):
            return Write(method, f"^{_pattern(path)}$")
        push = _push(self.below, repositories)
        return Write(method, f"^{push}{_pattern(path.removeprefix('PUSH'))}$") if push else None

    @property
    def writes_to_repositories(self) -> bool:
        """True if some writes depend on the repositories that may be pushed to."""
        return any(write.partition(" ")[2].startswith("PUSH") for write in self.writes)

    def inside(self, repositories: Iterable[str]) -> str:
        """A regular expression for whole paths in one of these repositories; "" without repositories."""
        push = _push(self.below, tuple(repositories))
        return push and f"^{push}(/.*)?$"

    def below_branches(self, repositories: Iterable[str]) -> str:
        """A regular expression for whole paths of branches in these repositories; "" without repositories or `branches`."""
        push = _push(self.below, tuple(repositories))
        return push and self.branches and f"^{push}{_pattern(self.branches.removeprefix('PUSH'))}/.*$"


def _pattern(path: str) -> str:
    """Converts the path of a rule into a regular expression, without trailing slashes (as in the paths of requests)."""
    text = re.escape(path.rstrip("/")).replace(r"\*\*", ".*").replace(r"\*", "[^/]+")
    return text.replace(r"\-", "-")


def _push(below: str, repositories: tuple[str, ...]) -> str:
    if not repositories:
        return ""
    names = "|".join(f"[^/]+/{_ANY}" if r == "*" else re.escape(r.removesuffix("*")) + (_ANY if r.endswith("*") else "")
                     for r in repositories)  # fmt: skip
    return f"{re.escape(below)}/({names})(\\.git)?".replace(r"\-", "-")


def repositories(text: str) -> tuple[str, ...]:
    """Parses `CODETAINER_PUSH`: `owner/repo`, `owner/*` or `*`, separated by blanks or commas. Raises ValueError."""
    words = tuple(word for word in re.split(r"[,\s]+", text) if word)
    for word in words:
        if word != "*" and not REPOSITORY.match(word):
            raise ValueError(f"{word!a} is not a repository")
    return tuple(word if word == "*" or word.endswith("/*") else word.removesuffix(".git") for word in words)


def variables(hosts: Iterable[Host]) -> dict[str, Credential]:
    """The credentials of these hosts, by variable."""
    return {credential.variable: credential for host in hosts for credential in host.credentials}


def parse(text: str, file: str, predefined: Mapping[str, Credential] = MappingProxyType({})) -> tuple[Host, ...]:
    """Parses a file. Its hosts may use its own credentials and the `predefined` ones. Raises CredentialsError."""
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CredentialsError(f"{file}: {error}") from error
    unknown = [key for key in body if key not in ("credential", "host")]
    if unknown:
        raise CredentialsError(f"{file}: found {', '.join(unknown)}, expected [[credential]] and [[host]]")
    credentials = dict(predefined)
    for number, table in enumerate(_tables(body, "credential", file), start=1):
        place = f"{file}: credential {number}"
        _only(table, ("variable", "placeholder", "header", "login", "bearer"), place)
        variable, header = _text(table, "variable", place), _text(table, "header", place).lower()
        if not _VARIABLE.match(variable):
            raise CredentialsError(f"{place}: variable is {variable!a}, expected a name such as MY_TOKEN")
        if variable in predefined:
            raise CredentialsError(f"{place}: {variable} is predefined; name it in a host, without [[credential]]")
        placeholder = _text(table, "placeholder", place) if "placeholder" in table else f"codetainer-holds-{variable}"
        if not _PLACEHOLDER.match(placeholder):
            raise CredentialsError(f"{place}: placeholder is too short or has characters other than letters, digits, _ and -")
        if not _HEADER.match(header) or header in ("host", "cookie", "content-length", "transfer-encoding", "connection"):
            raise CredentialsError(f"{place}: header is {header!a}, expected authorization or an API key header of the site")
        login = _text(table, "login", place) if "login" in table else LOGIN
        bearer = table.get("bearer", False)
        if not isinstance(bearer, bool):
            raise CredentialsError(f"{place}: bearer is {bearer!a}, expected true or false")
        credentials[variable] = Credential(variable, placeholder, header, login, bearer)
    if len({credential.placeholder for credential in credentials.values()}) < len(credentials):
        raise CredentialsError(f"{file}: two credentials have the same placeholder")
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
        raise CredentialsError(f"{place}: refuse_writes was removed; list the permitted requests in writes")
    _only(table, tuple(field.name for field in fields(Host) if field.name != "searched"), place)
    used = _texts(table, "credentials", place)
    unknown = [variable for variable in used if variable not in credentials]
    if unknown:
        raise CredentialsError(f"{place}: {', '.join(unknown)} is neither a predefined credential nor a [[credential]] here")
    if not used:
        raise CredentialsError(f"{place}: credentials is empty, expected at least one")
    writes = _texts(table, "writes", place)
    for write in writes:
        method, _, path = write.partition(" ")
        if method not in METHODS or not _is_path(path):
            raise CredentialsError(f"{place}: writes contains {write!a}, expected METHOD /path, as in POST /v1/messages")
    refused = table.get("refuse_headers", {})
    if not isinstance(refused, dict):
        raise CredentialsError(f"{place}: refuse_headers is not a table of header = text")
    paths = tuple(path.rstrip("/") for path in _texts(table, "refuse_paths", place))
    for word in (*refused, *refused.values(), *paths, *([table["announces"]] if "announces" in table else ())):
        if not isinstance(word, str) or not re.match(r"[A-Za-z0-9._/=-]+\Z", word):
            raise CredentialsError(f"{place}: found {word!a}, expected only letters, digits and . _ / = -")
    answers, below = table.get("answers", "json"), table.get("below", "")
    if answers not in ANSWERS or not isinstance(below, str) or not re.match(r"(/[A-Za-z0-9._-]+)*\Z", below):
        raise CredentialsError(f"{place}: answers must be json, text or registry, below a path such as /repos")
    graphql, mutations = table.get("graphql", ""), _texts(table, "mutations", place)
    if not isinstance(graphql, str) or not re.match(r"(/[a-z0-9/]+)?\Z", graphql) or (mutations and not graphql):
        raise CredentialsError(f"{place}: graphql is {graphql!a}, expected a path such as /graphql; mutations need one")
    inputs, files, heads = _texts(table, "inputs", place), _texts(table, "files", place), table.get("heads", "")
    if not set(files) <= set(writes):
        raise CredentialsError(f"{place}: files contains a request that is not in writes")
    if not all(re.match(r"[A-Za-z_][A-Za-z0-9_]*\Z", name) for name in inputs) or (inputs and not mutations):
        raise CredentialsError(f"{place}: inputs needs mutations, and names such as repositoryId")
    if heads and (not isinstance(heads, str) or f"PUT {heads}" not in writes or not (graphql and below)):
        raise CredentialsError(
            f"{place}: heads is {heads!a}, expected the path of a PUT in writes, such as PUSH/pulls/*/update-branch"
        )
    for mutation in mutations:
        if not re.match(r"[A-Za-z_][A-Za-z0-9_]*\Z", mutation):
            raise CredentialsError(f"{place}: mutations contains {mutation!a}, expected a name such as createPullRequest")
    lfs = table.get("lfs", "")
    if not isinstance(lfs, str) or not re.match(r"(/[a-z/]+)?\Z", lfs):
        raise CredentialsError(f"{place}: lfs is {lfs!a}, expected a path such as /info/lfs")
    flags = {key: table.get(key, False) for key in ("url_tokens", "any_credential", "lfs_store", "model_api")}
    for key, value in flags.items():
        if not isinstance(value, bool):
            raise CredentialsError(f"{place}: {key} is {value!a}, expected true or false")
    if writes and (flags["any_credential"] or flags["lfs_store"]):
        raise CredentialsError(f"{place}: any_credential and lfs_store are only for hosts without writes")
    branches = table.get("branches", "")
    if branches and (not isinstance(branches, str) or not _is_path(branches) or not branches.startswith("PUSH/")):
        raise CredentialsError(f"{place}: branches is {branches!a}, expected a path such as PUSH/git/refs/heads")
    if branches and not (graphql and below):
        raise CredentialsError(f"{place}: branches needs below, and graphql to look up the default branch")
    guards = table.get("guards_branches", "")
    if not isinstance(guards, str) or not re.match(r"([a-z0-9.-]+(/[a-z0-9/]+))?\Z", guards):
        raise CredentialsError(f"{place}: guards_branches is {guards!a}, expected an address such as api.github.com/graphql")
    members = table.get("members", {})
    if not isinstance(members, dict) or not all(key in writes and _are_members(names) for key, names in members.items()):
        raise CredentialsError(f"{place}: members needs writes of this host, each with a list of names")
    return Host(
        name, tuple(credentials[variable] for variable in used), writes, table.get("announces", ""), below,
        branches, tuple(refused.items()), paths, answers, graphql, mutations, lfs, guards_branches=guards, files=files,
        members=tuple((write, tuple(names)) for write, names in members.items()), inputs=inputs, heads=heads, **flags,
    )  # fmt: skip


def _are_members(names: object) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) and re.match(r"[a-z_]+\Z", name) for name in names)


def _is_path(text: str) -> bool:
    """True for a path in the form to which requests are normalised (network/gate/scope.py)."""
    return bool(_PATH.match(text)) and not re.search(r"//|/\.\.?(/|$)", text)


def _tables(body: Mapping[str, Any], key: str, file: str) -> list[Mapping[str, Any]]:
    tables = body.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise CredentialsError(f"{file}: expected {key} as an array of tables, [[{key}]]")
    return tables


def _only(table: Mapping[str, Any], keys: tuple[str, ...], place: str) -> None:
    unknown = [key for key in table if key not in keys]
    if unknown:
        raise CredentialsError(f"{place}: found {', '.join(unknown)}, expected {', '.join(keys)}")


def _text(table: Mapping[str, Any], key: str, place: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not _WORD.match(value):
        raise CredentialsError(f"{place}: {key} is missing or not a single word")
    return value


def _texts(table: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    values = table.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise CredentialsError(f"{place}: {key} is not a list of strings")
    return tuple(values)


def placeholders(hosts: Iterable[Host]) -> Mapping[str, str]:
    """The placeholders that the agent gets, by variable."""
    return {variable: credential.placeholder for variable, credential in variables(hosts).items()}
