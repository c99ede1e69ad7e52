"""Runs git in the operator's own repository (`codetainer up --work`), as the owner of the folder and with safe settings.

root must not obey the configuration of another user's repository, so git runs as the folder's owner. Neither hooks nor
fsmonitor run, and no configuration but the repository's own is read.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from backend import system
from backend.system import GIT, SETPRIV, SYSTEM_PATH, Answered

ASK_SECONDS = 30.0
MAX_OUTPUT = 256 << 20  # bytes of a listing: about 2 million files
MAX_REASON = 300  # characters
ENVIRONMENT: Mapping[str, str] = {
    "PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat",
}  # fmt: skip
SAFE = (
    "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "core.logAllRefUpdates=false", "-c", "gc.auto=0",
    "-c", "maintenance.auto=false",
)  # fmt: skip


def git(
    folder: Path, *arguments: str, seconds: float = ASK_SECONDS, stdout: int | None = None, stdin: bytes = b"",
    most: int = MAX_OUTPUT, environment: Mapping[str, str] = ENVIRONMENT,
) -> Answered:  # fmt: skip
    """Runs git in the folder, as the folder's owner. Raises SystemFailure, OSError if it cannot run."""
    return system.ask(
        [*_as(folder.stat().st_uid), GIT, *SAFE, *arguments], environment=environment, cwd=folder, input=stdin, timeout=seconds,
        most=most, stdout=stdout,
    )  # fmt: skip


def become_owner(folder: Path) -> None:
    """Turns this process, if it is root's, into one of the folder's owner, for good. Raises OSError."""
    owner = folder.stat().st_uid
    if os.geteuid() != 0 or owner == 0:
        return
    group, groups = groups_of(owner)
    os.setgroups(groups)
    os.setresgid(group, group, group)
    os.setresuid(owner, owner, owner)


def groups_of(owner: int) -> tuple[int, list[int]]:
    """The gid and the supplementary groups with which a user's programs run. A uid without a name has a group of its own."""
    try:
        entry = pwd.getpwuid(owner)
    except KeyError:
        return owner, []
    return entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)


def _as(owner: int) -> list[str]:
    """The command that switches to the folder's owner; empty if this process cannot, or already is that user."""
    if os.geteuid() != 0 or owner == 0:
        return []
    group, others = groups_of(owner)
    groups = f"--groups={','.join(map(str, others))}" if others else "--clear-groups"
    return [SETPRIV, f"--reuid={owner}", f"--regid={group}", groups, "--no-new-privs", "--inh-caps=-all", "--"]


def why(done: Answered) -> str:
    """The reason that git gave, in printable characters: its first `error:`, else the last line with what it continues."""
    text = done.err.replace(":\n\t", ": ")  # unknown repository extension found:
    lines = [line for line in text.splitlines() if line.strip()] or [f"git exited with code {done.code}"]
    line = next((line for line in lines if line.startswith("error: ")), lines[-1])
    return ascii(line.removeprefix("error: ").removeprefix("fatal: "))[1:-1][:MAX_REASON]
