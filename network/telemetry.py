"""Claude Code's telemetry (OpenTelemetry): the variables that the agent gets, and the hosts that are opened for them.

The endpoint's host joins the allowlist. Its headers are credentials: the agent gets placeholders, and the gate inserts the
values. Sources: https://code.claude.com/docs/en/monitoring-usage, the OpenTelemetry specification of OTLP exporters.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from network.gate.credentials import Credential, Host
from network.names import EntryError, normalise
from network.problems import Problems

PREFIX = "OTEL_"
SWITCH = "CLAUDE_CODE_ENABLE_TELEMETRY"
_OTLP = "OTEL_EXPORTER_OTLP_"
MIN_SECRET = 4  # characters; a shorter part of a header protects nothing, and would match ordinary text
SIGNALS = ("", "METRICS_", "LOGS_", "TRACES_")
_HEADER = re.compile(r"[a-z][a-z0-9-]*\Z")
_VALUE = re.compile(r"[!-&(-~]+\Z")  # no blank and no quote, because it goes into the gate's configuration
_NO_CREDENTIAL = frozenset(("host", "cookie", "content-length", "transfer-encoding", "connection"))


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Telemetry settings. `variables` have the operator's values; `placeholders` replace those that contain `secrets`.

    `secrets` are by credential. `entries` join the allowlist. `hosts` have their TLS terminated at the gate, which inserts the
    headers.
    """

    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    placeholders: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    secrets: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    entries: tuple[str, ...] = ()
    hosts: tuple[Host, ...] = ()

    def for_agent(self, *, outside: bool) -> Mapping[str, str]:
        """The agent's variables, with placeholders if the credentials are `outside`, at the gate."""
        return {**self.variables, **self.placeholders} if outside else self.variables


def is_ours(name: str) -> bool:
    """True if an environment variable belongs to telemetry."""
    return name == SWITCH or name.startswith(PREFIX)


def is_secret(name: str) -> bool:
    return name.startswith(_OTLP) and name.endswith("HEADERS")


def header_parts(text: str) -> Iterator[str]:
    """The parts of a headers variable that may be secret: the whole text, each value, and the token or password in a value."""
    yield text
    for pair in text.split(","):
        encoded = pair.partition("=")[2].strip()
        value = unquote(encoded)
        token = value.rpartition(" ")[2]
        yield from (part for part in (encoded, value, token, _basic(token)[1]) if len(part) >= MIN_SECRET)


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """The endpoint of a signal: its variable, and its URL in parts. Exporters POST to `paths`."""

    variable: str
    scheme: str
    name: str
    port: int
    paths: tuple[str, ...]


def read(environment: Mapping[str, str], *, outside: bool) -> Telemetry:
    """Reads telemetry settings from an environment. `outside`: the gate keeps the headers. Raises Problems."""
    variables = {name: value for name, value in environment.items() if is_ours(name) and value}
    problems: list[str] = []
    entries: dict[str, None] = {}
    placeholders: dict[str, str] = {}
    secrets: dict[str, str] = {}
    by_host: dict[str, tuple[dict[str, Credential], dict[str, None]]] = {}
    for signal in SIGNALS:
        endpoint = _endpoint(variables, signal, problems)
        if endpoint is None:
            continue
        check = "" if endpoint.port in (80, 443) else "/tls" if endpoint.scheme == "https" else "/http"
        entries[f"{endpoint.name}:{endpoint.port}{check}"] = None
        variable = next((name for name in (f"{_OTLP}{signal}HEADERS", f"{_OTLP}HEADERS") if name in variables), "")
        if not variable or not outside:
            continue
        protocol = variables.get(f"{_OTLP}{signal}PROTOCOL") or variables.get(f"{_OTLP}PROTOCOL", "")
        if (endpoint.scheme, endpoint.port) != ("https", 443) or protocol == "grpc":
            encoding = " with grpc" if protocol == "grpc" else ""
            problems.append(
                f"{variable}: the gate inserts headers only into https on port 443, with http/protobuf or http/json; "
                f"{endpoint.variable} uses {endpoint.scheme} on port {endpoint.port}{encoding}"
            )
            continue
        credentials, paths = by_host.setdefault(endpoint.name, ({}, {}))
        paths.update(dict.fromkeys(endpoint.paths))
        shown = []
        for credential, value, placeholder in _headers(variable, variables[variable], problems):
            first = credentials.setdefault(credential.header, credential)
            if secrets.setdefault(first.variable, value) != value:
                problems.append(f"{variable}: {credential.header} has two values for {endpoint.name}, expected one")
            shown.append(f"{credential.header}={placeholder}")
        placeholders[variable] = ",".join(shown)
    if not entries and (unused := [name for name in variables if is_secret(name)]):
        problems.append(f"{', '.join(unused)}: set without {_OTLP}ENDPOINT, which says where to send")
    if problems:
        raise Problems(problems)
    hosts = tuple(
        Host(name, tuple(credentials.values()), tuple(f"POST {path}" for path in paths))
        for name, (credentials, paths) in by_host.items()
    )
    return Telemetry(variables, placeholders, secrets, tuple(entries), hosts)


def _endpoint(variables: Mapping[str, str], signal: str, problems: list[str]) -> _Endpoint | None:
    variable = f"{_OTLP}{signal}ENDPOINT"
    text = variables.get(variable, "")
    if not text:
        return None
    expected = "expected https://HOST[:PORT][/PATH] or http://..., without user and password"
    try:
        url = urlsplit(text)
        port = url.port or {"https": 443, "http": 80}[url.scheme]
        if url.username is not None or not url.hostname or not re.match(r"[A-Za-z0-9._/-]*\Z", url.path):
            raise ValueError
        name = normalise(url.hostname)
    except EntryError as error:
        problems.append(f"{variable}: {error}")
        return None
    except (ValueError, KeyError):
        problems.append(f"{variable}: {expected}")
        return None
    # Exporters append the signal's path to the common endpoint, but not to a signal's own one (OTLP specification).
    below = url.path.rstrip("/")
    paths = (url.path or "/",) if signal else tuple(f"{below}/v1/{kind}" for kind in ("metrics", "logs", "traces"))
    return _Endpoint(variable, url.scheme, name, port, paths)


def _headers(variable: str, text: str, problems: list[str]) -> Iterator[tuple[Credential, str, str]]:
    """Parses `key=value,key=value` (values percent-encoded). Yields credential, secret, and the value that the agent sends."""
    for pair in filter(None, (part.strip() for part in text.split(","))):
        header, sign, encoded = pair.partition("=")
        header, value = header.strip().lower(), unquote(encoded.strip())
        if not sign or not _HEADER.match(header) or header in _NO_CREDENTIAL:
            problems.append(f"{variable}: expected HEADER=VALUE[,...], each an authentication header of the receiver")
            continue
        holder = f"{variable}[{header}]"
        placeholder = "codetainer-holds-" + re.sub("[^A-Za-z0-9]+", "-", f"{variable}-{header}")
        scheme, _, secret = value.partition(" ")
        if header != "authorization":
            credential, secret, shown = Credential(holder, placeholder, header), value, placeholder
        elif scheme.lower() == "basic":
            login, secret = _basic(secret)
            credential = Credential(holder, placeholder, header, login)
            shown = "Basic " + base64.b64encode(f"{login}:{placeholder}".encode()).decode()
        elif scheme.lower() in ("bearer", "token"):
            credential, shown = Credential(holder, placeholder, header), f"{scheme} {placeholder}"
        else:
            problems.append(f"{variable}: expected authorization as Bearer or Basic")
            continue
        if not _VALUE.match(secret):
            problems.append(f"{variable}: the value of {header} is empty, or contains a blank or a quote")
            continue
        yield credential, secret, shown  # not percent-encoded, because some exporters do not decode it


def _basic(encoded: str) -> tuple[str, str]:
    try:
        login, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeError):
        return "", ""
    return login, secret
