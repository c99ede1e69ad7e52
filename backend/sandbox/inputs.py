"""Checks the operator's input to `codetainer up`, files and variables, before anything is created."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from backend import settings
from backend.contract.paths import Paths
from backend.sandbox import claude, own_folder
from backend.sandbox.options import Net, Options
from backend.sandbox.own_folder import Handed
from backend.sandbox.way_back import Target
from backend.suspension import resumed
from backend.suspension.places import Store
from backend.system import SystemFailure
from network import allowlist, foreign_syntax
from network.allowlist import AllowlistError

MAX_STRING = 4096  # bytes; larger values are passed in files instead of the environment
HANDED_OVER = Path("/run/codetainer-settings")  # in the sandbox, readable by root only


def require_files(chosen: Options) -> None:
    """Checks that the files named on the command line exist. Raises SettingsError that lists all missing files."""
    named = {
        "--domains": chosen.domains,
        "--credentials": chosen.credentials,
        "--claude": chosen.claude,
        "--settings": chosen.settings,
        "--pretend": chosen.pretend,
        "--resume": chosen.resume,
    }
    absent = [
        f"{option} {file}: " + ("is a folder, expected a file" if file.is_dir() else "no such file")
        for option, file in named.items()
        if file is not None and not file.is_file()
    ]
    log = chosen.pretend_log
    if log is not None and not log.absolute().parent.is_dir():
        absent.append(f"--pretend-log {log}: no such folder: {log.parent}")
    if absent:
        raise settings.SettingsError(absent)


def require_readable(chosen: Options) -> None:
    """Checks the allowlist and Claude Code's settings. Raises SettingsError.

    Boot checks both again, but could report only their paths inside the sandbox.
    """
    problems: list[str] = []
    if chosen.domains is not None:
        try:
            text = foreign_syntax.decode(chosen.domains.read_bytes())
            registries = dict.fromkeys(allowlist.referenced_registries(text), ("registry.example",))
            allowlist.parse(text, str(chosen.domains), registries)
        except AllowlistError as error:
            problems += [str(problem) for problem in error.problems]
        except (OSError, ValueError) as error:
            problems.append(f"--domains {chosen.domains}: {getattr(error, 'strerror', None) or error}")
    if chosen.settings is not None:
        try:
            json.loads(chosen.settings.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            problems.append(f"--settings {chosen.settings}: {error}")
    if problems:
        raise settings.SettingsError(problems)


def require_archives(chosen: Options, loaded: settings.Settings, environment: dict[str, str]) -> Path | None:
    """Verifies the archive of `--resume`, and that it fits the settings. Returns the folder of CODETAINER_STATE, if it is set.

    Replaces that folder by its place in the sandbox in boot's environment. Raises NotResumable, SettingsError.
    """
    if chosen.resume is not None:
        sizes = {"workspace": loaded.tmpfs_workspace, "home/claude": loaded.tmpfs_home, "tmp": loaded.tmpfs_tmp}
        resumed.require_fit(resumed.read(chosen.resume), loaded.repo_url, sizes)
    if not loaded.state:
        return None
    try:
        Store(Path(loaded.state)).require()
    except SystemFailure as error:
        raise settings.SettingsError([f"{error}" + (f"\n  {error.hint}" if error.hint else "")]) from error
    environment["CODETAINER_STATE"] = str(Paths().state)
    return Path(loaded.state)


def require_work(chosen: Options, loaded: settings.Settings) -> Handed | None:
    """Reads the repository of `--work`, or the one that the operator is in, and checks that it fits. None if there is none.

    Raises SettingsError, but only about a repository that was named.
    """
    if chosen.work is not None:
        if loaded.repo_url:
            raise settings.SettingsError(["--work and REPO_URL exclude each other: unset REPO_URL, or leave out --work"])
        return own_folder.hand_over(chosen.work, loaded.tmpfs_workspace)
    if chosen.no_work or chosen.net is not Net.NAT or chosen.resume is not None or loaded.repo_url:
        return None
    here = own_folder.around(Path.cwd())
    if here is None:
        return None
    try:
        handed = own_folder.hand_over(here, loaded.tmpfs_workspace)
    except settings.SettingsError as error:
        sys.stderr.write(f"codetainer: starting without a repository\n  {error}\n")
        return None
    sys.stderr.write(
        f"codetainer: cloning {ascii(str(here))[1:-1]}, because REPO_URL is not set; --no-work starts without it\n"
    )
    return handed


def way_back(chosen: Options, loaded: settings.Settings, work: Handed) -> Target:
    """Where the agent's commits come back to. A pack of them cannot be larger than /workspace, in which it was made."""
    return Target(work.folder, chosen.name, work.tips, work.kind, loaded.tmpfs_workspace)


def read(chosen: Options, of_network: Mapping[str, str]) -> tuple[dict[str, str], Path | None]:
    """Returns the settings for boot and the agent's program (claude.chosen). Raises SettingsError that lists all problems."""
    problems: list[str] = []
    environment: dict[str, str] = {}
    if chosen.work is not None:  # instead of the pretend internet's repository
        of_network = {name: value for name, value in of_network.items() if name != "REPO_URL"}
    program: Path | None = None
    try:
        environment = settings_for_boot(of_network, chosen.credentials)
    except settings.SettingsError as error:
        problems += error.problems
    try:
        require_readable(chosen)
    except settings.SettingsError as error:
        problems += error.problems
    try:
        program = claude.chosen(chosen)
    except settings.SettingsError as error:
        problems += error.problems
    if problems:
        raise settings.SettingsError(problems)
    return environment, program


def settings_for_boot(of_network: Mapping[str, str], credentials: Path | None) -> dict[str, str]:
    """Returns the settings for boot. The operator's override the network's. Raises SettingsError that lists all problems.

    Reads the files that variables name (GH_PAT_FILE), because they do not exist inside the sandbox.
    """
    own = settings.variables(settings.environment(), credentials)
    both = {name: value for name, value in of_network.items() if not own.get(f"{name}_FILE")} | own
    try:
        complete = settings.with_files_read(both)
    except settings.SettingsError:
        settings.load(both, credentials)  # raises with this problem and all others
        raise
    settings.load(complete, credentials)
    return complete


def handed_over(environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Returns boot's environment, and the values that are too large for it, to be written to files in HANDED_OVER.

    For each large value, the environment names the file as NAME_FILE. The kernel limits a string of the environment to 128 KiB
    and all of them to about 2 MiB (execve(2)).
    """
    large = {name: value for name, value in environment.items() if len(value.encode()) > MAX_STRING}
    named = {f"{name}_FILE": str(HANDED_OVER / name) for name in large}
    return {name: value for name, value in environment.items() if name not in large} | named, large
