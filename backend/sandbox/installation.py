"""Installs our own files in a sandbox's root, at the paths listed in docs/architecture.md, for the image and for `up`.

The Dockerfile runs `python3 -I -m backend.sandbox.installation ROOT` after it has installed packages and data.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import backend
from backend.contract.paths import AGENT_UID, USERS, Paths

GIT_COMMANDS = ("git-upload-pack", "git-receive-pack", "git-upload-archive")
OTHER_COMMANDS = ("git-shell", "git-lfs", "scalar")  # they run git, ssh and transfer agents that a repository names
LAUNCHERS = Path(backend.__file__).parent / "launchers"


def install(root: Path, base: Path | None = None) -> None:
    """Installs launchers, accounts, boot's mount points, and links to the files that boot writes. Raises OSError.

    Afterwards the root can be read-only: nothing else is created in it. `base` is the root whose files will lie below those in
    `root`, None if they are the same.
    """
    base = base or root
    local = root / "usr/local/bin"
    for launcher in sorted(LAUNCHERS.iterdir()):
        if launcher.is_file():
            place(launcher, local / launcher.name, 0o755)
    installed = [name for name in OTHER_COMMANDS if (base / "usr/bin" / name).exists()]
    for name in (*GIT_COMMANDS, *installed):  # the former are started over ssh by `git clone root@HOST:/workspace/repo`
        local.mkdir(parents=True, exist_ok=True)
        (local / name).unlink(missing_ok=True)
        (local / name).symlink_to("git")
    paths = Paths(root)
    if not os.path.lexists(paths.git):  # `up` has already linked the machine's git
        paths.git.parent.mkdir(parents=True, exist_ok=True)
        paths.git.symlink_to("/usr/bin/git")
    for folder in (paths.workspace, paths.home, paths.tmp, paths.run, paths.sshd):
        folder.mkdir(parents=True, exist_ok=True)
    for link, target in (
        (paths.gh_config, paths.gh_files),
        (paths.git_config, paths.git_file),
        (paths.claude_managed, paths.claude_managed_file),
    ):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(Path("/") / target.relative_to(root))
    for name, line in (("passwd", "{user}:x:{uid}:{uid}::{home}:{shell}"), ("group", "{user}:x:{uid}:")):
        write(root / "etc" / name, accounts((base / "etc" / name).read_text(), line).encode())
    # Replaces the machine's password hashes. With *, no password works, but the account is not locked, so keys do.
    write(root / "etc/shadow", "".join(f"{user}:*:::::::\n" for user in ("root", *USERS)).encode(), 0o600)
    last_log(root)
    for name in ("bashrc", "profile"):
        place(LAUNCHERS / f"login/root.{name}", root / f"root/.{name}", 0o644)


def last_log(root: Path) -> None:
    """Creates a file without which sshd prints an error at each login. It need not be writable. Raises OSError."""
    write(root / "var/log/lastlog", b"")


def place(source: Path, target: Path, mode: int) -> None:
    """Copies a file, replacing the target. If the target is a link, replaces the link itself."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes a new file in place of the old one, which may be a link to another file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode)
    path.write_bytes(data)
    path.chmod(mode)


def accounts(text: str, line: str) -> str:
    """Adds our users to the text of a passwd(5) or group(5) file, and removes entries with the same names or ids.

    `line` is a format string with `user`, `uid`, `home` and `shell`.
    """
    taken = {str(uid) for uid in USERS.values()}
    kept = [entry for entry in text.splitlines() if _kept(entry.split(":"), taken)]
    for user, uid in USERS.items():
        home, shell = ("/home/claude", "/bin/bash") if uid == AGENT_UID else ("/nonexistent", "/usr/sbin/nologin")
        kept.append(line.format(user=user, uid=uid, home=home, shell=shell))
    return "".join(f"{entry}\n" for entry in kept)


def _kept(fields: Sequence[str], taken: set[str]) -> bool:
    return fields[0] not in USERS and (len(fields) < 3 or fields[2] not in taken)


if __name__ == "__main__":
    install(Path(sys.argv[1]))
