"""Reads Settings from the environment, which no other module of the backend reads, and reports all errors at once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from backend import system
from backend.settings import credentials_file, ports, values
from backend.settings.declared import VARIABLES, Secrets, Settings
from backend.settings.values import GateMode, Learn, Save, Where
from backend.settings.variable import Variable
from backend.system import Identity
from network import allowlist, telemetry
from network.gate import credentials
from network.gate.credentials import CredentialsError, Host
from network.gate.references import References
from network.problems import Problems
from network.telemetry import Telemetry

EXIT_CODE = 2
MAX_FILE = 4 << 20  # bytes of a file that holds a value
MAX_SHOWN = 40  # problems in an error message
PREFIX = "CODETAINER_"
# Names that a credential must not have: other settings, and variables that control processes.
RESERVED = frozenset(variable.name for variable in VARIABLES if not variable.secret) | {
    "PATH",
    "HOME",
    "LANG",
    "SHELL",
    "USER",
    "LOGNAME",
    "LD_PRELOAD",
}


class SettingsError(Exception):
    """All errors in the environment. The message shows the first MAX_SHOWN, one per line."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        more = [f"and {len(problems) - MAX_SHOWN} more"] if len(problems) > MAX_SHOWN else []
        lines = "".join(f"\n  {line}" for line in (*problems[:MAX_SHOWN], *more))
        super().__init__(f"cannot boot: invalid settings{lines}")


def load(environment: Mapping[str, str], own_credentials: Path | None = None, hidden_from: Identity | None = None) -> Settings:
    """The settings in an environment and the operator's own credentials file. Raises SettingsError with all errors.

    NAME_FILE may replace NAME: it is the path of a file that contains the value (a mounted secret). Mounted secrets often
    belong to uid 1000, the agent's, or are world-readable: a secret's file that `hidden_from` could read is an error, too.
    """
    problems: list[str] = []
    hosts: tuple[Host, ...] = ()
    try:
        hosts = credentials_file.read(own_credentials)
    except CredentialsError as error:
        problems.append(str(error))
    variables = (*VARIABLES, *_own(hosts), *_of_telemetry(environment))
    by_name: dict[str, Any] = {}
    for variable in variables:
        by_name[variable.name] = _value(variable, environment, problems)
        file = environment.get(f"{variable.name}_FILE", "")
        if hidden_from and variable.secret and by_name[variable.name] and file and _readable(Path(file), hidden_from):
            problems.append(f"{variable.name}_FILE: the agent could read {file}; make root its owner, with mode 0400")
    by_field = {variable.field: by_name[variable.name] for variable in variables if variable.field}
    exported = _telemetry(by_name, hosts, by_field, problems)
    problems += _misspelt(environment, by_name)
    problems += _contradictions(by_name, by_field, hosts, own_credentials)
    problems += ports.problems(by_field)
    if problems:
        raise SettingsError(problems)
    own = {name: by_name[name] for name in credentials.variables(hosts) if by_name[name]}
    return Settings(
        secrets=Secrets({**own, **exported.secrets}), hosts=(*hosts, *exported.hosts), telemetry=exported, **by_field
    )


def environment() -> dict[str, str]:
    """This process's environment, for `load` and `variables`."""
    return dict(os.environ)


def variables(environment: Mapping[str, str], own_credentials: Path | None = None) -> dict[str, str]:
    """The settings in an environment, `_FILE` forms included, as `codetainer up` passes them into a sandbox."""
    try:
        own = _own(credentials_file.read(own_credentials))
    except CredentialsError:
        own = ()  # `load` reports the error
    variables = (*VARIABLES, *own, *_of_telemetry(environment))
    names = {name for variable in variables for name in (variable.name, f"{variable.name}_FILE")}
    return {name: value for name, value in environment.items() if name in names or name.startswith(PREFIX)}


def _value(variable: Variable, environment: Mapping[str, str], problems: list[str]) -> Any:
    """One variable's value; `variable.unset` if it is not set or invalid. Appends errors to `problems`."""
    text = environment.get(variable.name, "")
    file = environment.get(f"{variable.name}_FILE", "")
    if text and file:
        problems.append(f"{variable.name}: set twice, also as {variable.name}_FILE; remove one of them")
        return variable.unset
    if file:
        try:
            text = _read(Path(file))
        except ValueError as error:
            problems.append(f"{variable.name}_FILE: {error}")
            return variable.unset
    if not text:
        if variable.default is None:
            problems.append(f"{variable.name}: not set; expected {variable.expected} ({variable.meaning})")
        if not variable.default:
            return variable.unset
        text = variable.default
    try:
        return variable.read(text)
    except allowlist.AllowlistError as error:
        problems.extend(f"{problem}" for problem in error.problems)
    except Problems as error:
        problems.extend(error.problems)
    except values.Unlikely as error:
        problems.append(f"{variable.name}: {error}")
    except ValueError:
        shown = "invalid value (not shown)" if variable.secret else f"invalid value {text[:80]!a}"
        problems.append(f"{variable.name}: {shown}, expected {variable.expected}")
    return variable.unset


def with_files_read(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with each NAME_FILE replaced by NAME, for a process that cannot see these files.

    Reads each file only once, because it may be a pipe. NAME_FILE stays if NAME is set, too; `load` then reports the error.
    Raises SettingsError with all files that cannot be read.
    """
    result = dict(environment)
    problems = []
    for name in [name for name in environment if name.endswith("_FILE")]:
        variable = name.removesuffix("_FILE")
        if variable.startswith(PREFIX) and variable not in {setting.name for setting in VARIABLES}:
            continue  # an unknown setting, which `load` reports
        if not environment[name]:
            del result[name]
        elif not environment.get(variable):
            try:
                result[variable] = _read(Path(environment[name]))
            except ValueError as error:
                problems.append(f"{name}: {error}")
            del result[name]
    if problems:
        raise SettingsError(problems)
    return result


def _read(file: Path) -> str:
    """The text of a file, without line feeds at the end. Raises ValueError with the file and the reason."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE + 1)
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise ValueError(f"cannot read {file}: larger than {MAX_FILE >> 20} MiB")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"cannot read {file}: not UTF-8 text (byte {error.start})") from None
    if "\0" in text:
        raise ValueError(f"cannot read {file}: not text (a NUL character at position {text.index(chr(0))})")
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


def _readable(path: Path, identity: Identity) -> bool:
    with system.opening_as(identity):
        try:
            path.open("rb").close()
        except PermissionError:
            return False
    return True


def _contradictions(
    by_name: Mapping[str, Any], by_field: Mapping[str, Any], hosts: tuple[Host, ...], own_credentials: Path | None
) -> Iterator[str]:
    """Settings that are valid alone but not together."""
    taken = [name for name in credentials.variables(hosts) if name in RESERVED]
    if taken:
        yield f"{own_credentials}: {', '.join(taken)} is reserved; give the credential a variable of its own"
    if not by_name["CLAUDE_CODE_OAUTH_TOKEN"] and not by_name["ANTHROPIC_API_KEY"]:
        yield "CLAUDE_CODE_OAUTH_TOKEN, ANTHROPIC_API_KEY: neither is set; Claude Code needs one of them"
    saved = by_field["autosave"]
    if saved and saved.when is not Save.OFF and not by_field["repo_url"]:
        yield "CODETAINER_AUTOSAVE: no repository to push to; set REPO_URL, too"
    report = by_field["report"]
    if report and report.sent and not by_field["notify"]:
        yield "CODETAINER_REPORT: nowhere to send it to; set CODETAINER_NOTIFY, too"
    if by_field["references"] is References.REFUSE and not _outside(by_field):
        yield (
            "CODETAINER_REFERENCES: only the gate reads requests to GitHub; "
            "remove CODETAINER_GATE=off and CODETAINER_CREDENTIALS=inside"
        )
    yield from _about_learning(by_field)


def _outside(by_field: Mapping[str, Any]) -> bool:
    return by_field["credentials"] is Where.OUTSIDE and by_field["gate"] is GateMode.ON


def _about_learning(by_field: Mapping[str, Any]) -> Iterator[str]:
    """Settings with which a learning run would let out too much."""
    learn = by_field["learn"]
    if not learn or learn is Learn.OFF:
        return
    if by_field["prompt"] and learn is not Learn.FORCE:
        yield (
            "CODETAINER_LEARN: CLAUDE_PROMPT starts a task that nobody watches, while every public name is open; "
            "remove one of them, or set CODETAINER_LEARN=force"
        )
    if by_field["gate"] is GateMode.OFF:
        yield "CODETAINER_LEARN: needs the gate, which records requests; remove CODETAINER_GATE=off"
    if by_field["credentials"] is Where.INSIDE:
        yield (
            "CODETAINER_LEARN: the agent would have the credentials while every public name is open; "
            "remove CODETAINER_CREDENTIALS=inside"
        )


def _misspelt(environment: Mapping[str, str], variables: Iterable[str]) -> Iterator[str]:
    """Unknown names with our prefix. If they were ignored, the operator would believe that they take effect."""
    names = {*variables, *(f"{name}_FILE" for name in variables)}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in names:
            near = difflib.get_close_matches(name, names, 1)
            yield f"unknown setting {name}" + (f"; did you mean {near[0]}?" if near else "")


def _own(hosts: tuple[Host, ...]) -> tuple[Variable, ...]:
    """The variables of credentials that only the operator's own file describes."""
    shipped = {variable.name for variable in VARIABLES}
    return tuple(
        Variable(name, "the operator's own credential", values.token, "", "a token", secret=True)
        for name in credentials.variables(hosts)
        if name not in shipped
    )


def _of_telemetry(environment: Mapping[str, str]) -> tuple[Variable, ...]:
    """The OpenTelemetry variables that are set. Claude Code and its exporters define their meaning."""
    names = {name.removesuffix("_FILE") if telemetry.is_secret(name.removesuffix("_FILE")) else name for name in environment}
    return tuple(
        Variable(name, "Claude Code's telemetry", values.text, "", secret=telemetry.is_secret(name))
        for name in sorted(names)
        if telemetry.is_ours(name)
    )


def _telemetry(
    by_name: Mapping[str, Any], hosts: tuple[Host, ...], by_field: Mapping[str, Any], problems: list[str]
) -> Telemetry:
    """The hosts to open for telemetry; none if its settings are invalid. Appends errors to `problems`."""
    outside = _outside(by_field)
    try:
        read = telemetry.read({name: value for name, value in by_name.items() if telemetry.is_ours(name)}, outside=outside)
    except Problems as error:
        problems.extend(error.problems)
        return Telemetry()
    taken = {host.name for host in hosts} & {host.name for host in read.hosts}
    if taken:
        problems.append(f"OTEL_EXPORTER_OTLP_HEADERS: {', '.join(sorted(taken))} already has a credential of its own")
    return read
