"""Environment to one frozen Settings. The only reader of the environment; everything wrong is reported at once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend import ports, system
from backend.system import Identity
from backend.variables import (
    VARIABLES,
    Autosave,
    GateMode,
    LogFormat,
    Login,
    OnFailure,
    Save,
    Seccomp,
    Variable,
    Where,
    text,
    token,
)
from network import allowlist, credentials, telemetry
from network.credentials import CredentialsError, Host
from network.problems import Problems
from network.ruleset import Listener
from network.telemetry import Telemetry

EXIT_CODE = 2
MOST_TEXT = 1 << 20
PREFIX = "CODETAINER_"
# No credential may have one of these names: settings that are none, and what a process is steered by.
_SETTINGS = frozenset(v.name for v in VARIABLES if not v.secret) | {
    "PATH",
    "HOME",
    "LANG",
    "SHELL",
    "USER",
    "LOGNAME",
    "LD_PRELOAD",
}


class SettingsError(Exception):
    """Everything that is wrong with the environment, a line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(f"cannot boot: the settings are not right{lines}")


@dataclass(frozen=True, slots=True)
class Secrets:
    """Credentials, or placeholders of them, by their variable. Their text is in no repr, so in no traceback either."""

    by_variable: Mapping[str, str]

    def __repr__(self) -> str:
        return "Secrets(...)"

    @property
    def gh_pat(self) -> str:
        return self.by_variable.get("GH_PAT", "")

    @property
    def oauth_token(self) -> str:
        return self.by_variable.get("CLAUDE_CODE_OAUTH_TOKEN", "")

    @property
    def api_key(self) -> str:
        return self.by_variable.get("ANTHROPIC_API_KEY", "")


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the operator decides. Durations in seconds, sizes in bytes."""

    secrets: Secrets
    hosts: tuple[Host, ...]  # that a credential goes to
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
    ssh_keys: tuple[str, ...]
    ssh_port: int
    metrics: Listener | None
    gate: GateMode
    credentials: Where
    seccomp: Seccomp
    telemetry: Telemetry
    push: tuple[str, ...]
    much_out: int
    certificate_seconds: float
    autosave: Autosave
    grace_seconds: float
    on_failure: OnFailure
    login: Login
    popup_key: str
    lock_timeout: float
    log_format: LogFormat

    @property
    def repository(self) -> str:
        """`owner/repo`, as it is shown."""
        return "/".join(self.repo_url.removesuffix(".git").rstrip("/").split("/")[-2:]) if self.repo_url else ""

    @property
    def open_ssh_port(self) -> int:
        """The port that is open for our own sshd, 0 where none runs."""
        return self.ssh_port if self.ssh_keys else 0

    @property
    def outside(self) -> bool:
        """Whether the gate holds the credentials. Without a gate nobody can put them in, so the agent has them."""
        return self.credentials is Where.OUTSIDE and self.gate is GateMode.ON

    @property
    def agent_secrets(self) -> Secrets:
        """What the agent gets: placeholders of the credentials there are, or (inside) the credentials."""
        if not self.outside:
            return self.secrets
        given = credentials.placeholders(self.hosts)
        return Secrets({variable: given[variable] for variable in self.secrets.by_variable})

    @property
    def own_secrets(self) -> Mapping[str, str]:
        """What the agent gets of the operator's own credentials, under the names of their variables."""
        shipped = credentials.variables(credentials.shipped())
        others = shipped.keys() | self.telemetry.secrets.keys()
        return {name: value for name, value in self.agent_secrets.by_variable.items() if name not in others}

    @property
    def writable(self) -> tuple[str, ...]:
        """Repositories of GitHub's that may be written to: REPO_URL's own and what CODETAINER_PUSH adds."""
        own = (self.repository,) if self.repo_url.startswith("https://github.com/") else ()
        return tuple(dict.fromkeys((*own, *self.push)))


def load(environment: Mapping[str, str], credentials_file: Path | None = None, hidden_from: Identity | None = None) -> Settings:
    """The settings of an environment and the operator's own file of credentials. Raises SettingsError with all that is wrong.

    A variable NAME may be given as NAME_FILE, the path of a file that holds its value (a mounted secret). Mounted secrets often
    belong to uid 1000, which is the agent's, or to everybody: a credential's file that `hidden_from` could read is wrong too.
    """
    problems: list[str] = []
    hosts: tuple[Host, ...] = ()
    try:
        hosts = credentials.read(credentials_file)
    except CredentialsError as error:
        problems.append(str(error))
    values: dict[str, Any] = {}
    for variable in (*VARIABLES, *_own(hosts), *_of_telemetry(environment)):
        values[variable.name] = _value(variable, environment, problems)
        file = environment.get(f"{variable.name}_FILE", "")
        if hidden_from and variable.secret and values[variable.name] and file and _readable(Path(file), hidden_from):
            problems.append(f"{variable.name}_FILE: the agent could read {file}; give it to root alone (mode 0400)")
    problems.extend(_misspelt(environment, tuple(values)))
    taken = [name for name in credentials.variables(hosts) if name in _SETTINGS]
    if taken:
        problems.append(
            f"{credentials_file}: {', '.join(taken)} means something else; a credential needs a variable of its own"
        )
    if not values["CLAUDE_CODE_OAUTH_TOKEN"] and not values["ANTHROPIC_API_KEY"]:
        problems.append("CLAUDE_CODE_OAUTH_TOKEN or ANTHROPIC_API_KEY: neither is set; Claude Code needs one of them")
    found = _telemetry(values, hosts, problems)
    saved = values["CODETAINER_AUTOSAVE"]
    if saved and saved.when is not Save.OFF and not environment.get("REPO_URL") and not environment.get("REPO_URL_FILE"):
        problems.append("CODETAINER_AUTOSAVE: there is nothing to push to; set REPO_URL too")
    problems += ports.problems(values)
    if problems:
        raise SettingsError(problems)
    v = values
    return Settings(
        Secrets({**{name: v[name] for name in credentials.variables(hosts) if v[name]}, **found.secrets}),
        (*hosts, *found.hosts),
        v["REPO_URL"], v["CLAUDE_PROMPT"], v["GIT_USER_NAME"], v["GIT_USER_EMAIL"], v["CODETAINER_EXTRA_DOMAINS"],
        v["CODETAINER_UPSTREAM"] or (), v["CODETAINER_TMPFS_WORKSPACE"], v["CODETAINER_TMPFS_TMP"], v["CODETAINER_TMPFS_HOME"],
        v["CODETAINER_REFRESH"], v["CODETAINER_KEEP"], v["CODETAINER_PROOF"], v["CODETAINER_INBOUND_PORTS"] or (),
        v["CODETAINER_SSH_KEYS"] or (), v["CODETAINER_SSH_PORT"], v["CODETAINER_METRICS"] or None,
        v["CODETAINER_GATE"], v["CODETAINER_CREDENTIALS"], v["CODETAINER_SECCOMP"], found, v["CODETAINER_PUSH"] or (),
        v["CODETAINER_MUCH_OUT"], v["CODETAINER_CERTIFICATES"], v["CODETAINER_AUTOSAVE"], v["CODETAINER_GRACE"],
        v["CODETAINER_ON_FAILURE"], v["CODETAINER_LOGIN"], v["CODETAINER_POPUP_KEY"], v["CODETAINER_LOCK_TIMEOUT"],
        v["CODETAINER_LOG_FORMAT"],
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
    except Problems as error:
        problems.extend(error.problems)
    except ValueError:
        shown = "a value that is none" if variable.secret else f"{given[:80]!a}"
        problems.append(f"{variable.name}: found {shown}, expected {variable.expected}")
    return ""


def _readable(path: Path, identity: Identity) -> bool:
    with system.opening_as(identity):
        try:
            path.open("rb").close()
        except PermissionError:
            return False
    return True


def environment() -> dict[str, str]:
    """This process's environment, for `load` and for handing parts of it on."""
    return dict(os.environ)


def variables(environment: Mapping[str, str], credentials_file: Path | None = None) -> dict[str, str]:
    """The part of an environment that is ours, with the `_FILE` forms: what is handed on into a sandbox."""
    try:
        own = _own(credentials.read(credentials_file))
    except CredentialsError:
        own = ()  # `load` says what is wrong
    known = (*VARIABLES, *own, *_of_telemetry(environment))
    names = {name for variable in known for name in (variable.name, f"{variable.name}_FILE")}
    return {name: value for name, value in environment.items() if name in names or name.startswith(PREFIX)}


def _misspelt(environment: Mapping[str, str], known: Iterable[str]) -> Iterator[str]:
    """What is set and is no setting: passed over, it would be believed to do something."""
    names = {*known, *(f"{name}_FILE" for name in known)}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in names:
            near = difflib.get_close_matches(name, names, 1)
            yield f"{name}: there is no such setting" + (f"; {near[0]} is one" if near else "")


def _own(hosts: tuple[Host, ...]) -> tuple[Variable, ...]:
    """The variables of credentials that the operator has described, beside those that there are anyhow."""
    known = {variable.name for variable in VARIABLES}
    return tuple(
        Variable(name, "a credential of the operator's own", token, "", "a token", secret=True)
        for name in credentials.variables(hosts)
        if name not in known
    )


def _of_telemetry(environment: Mapping[str, str]) -> tuple[Variable, ...]:
    """A variable for each of OpenTelemetry's that is set. Their meaning is Claude Code's and the exporters'."""
    given = {name.removesuffix("_FILE") if telemetry.is_secret(name.removesuffix("_FILE")) else name for name in environment}
    return tuple(
        Variable(name, "of Claude Code's telemetry", text, "", secret=telemetry.is_secret(name))
        for name in sorted(given)
        if telemetry.is_ours(name)
    )


def _telemetry(values: Mapping[str, Any], hosts: tuple[Host, ...], problems: list[str]) -> Telemetry:
    """What is opened for telemetry; nothing where something about it is wrong, which `problems` then says."""
    outside = values["CODETAINER_CREDENTIALS"] is Where.OUTSIDE and values["CODETAINER_GATE"] is GateMode.ON
    try:
        found = telemetry.read({name: value for name, value in values.items() if telemetry.is_ours(name)}, outside=outside)
    except Problems as error:
        problems.extend(error.problems)
        return Telemetry()
    taken = {host.name for host in hosts} & {host.name for host in found.hosts}
    if taken:
        problems.append(f"OTEL_EXPORTER_OTLP_HEADERS: {', '.join(sorted(taken))} has credentials of its own already")
    return found
