"""`codetainer up --work DIR`: the operator's own repository, handed to a sandbox as a git bundle of its branches and tags.

Only reads the repository. git runs as the owner of DIR, so that root's `up` never obeys the configuration of another user as
root, and with no configuration but the repository's own, without hooks and without fsmonitor. Source: gitformat-bundle(5).
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import tempfile
from pathlib import Path

from backend import settings, system
from backend.boot import clone_errors
from backend.contract.immutable import dataclass
from backend.system import GIT, SETPRIV, SYSTEM_PATH, Answered, SystemFailure

ASK_SECONDS = 30.0
BUNDLE_SECONDS = 600.0
MAX_OUTPUT = 256 << 20  # bytes of a listing: about 2 million files


@dataclass(frozen=True, slots=True)
class Handed:
    """A bundle of a repository, in a folder that only this user can open. `branch`: checked out, "" if HEAD is detached."""

    bundle: Path
    branch: str

    def discard(self) -> None:
        """Removes the file. A sandbox that has mounted it keeps its contents."""
        shutil.rmtree(self.bundle.parent, ignore_errors=True)


def hand_over(folder: Path, workspace: int) -> Handed:
    """Bundles the repository in which a folder lies. `workspace` is the size of /workspace in bytes.

    The file is removed when this process exits, if not before. Raises SettingsError, also if no complete clone can be made.
    """
    branch, checkout = _examined(folder)
    handed = Handed(Path(tempfile.mkdtemp(prefix="codetainer-")) / "work.bundle", branch)
    atexit.register(handed.discard)
    with handed.bundle.open("xb") as file:
        os.fchmod(file.fileno(), 0o444)  # the agent reads it
        done = _git(
            folder, "bundle", "create", "--quiet", "-", "HEAD", "--branches", "--tags", seconds=BUNDLE_SECONDS,
            stdout=file.fileno(),
        )  # fmt: skip
    if done.code != 0:
        raise _refused(folder, _why(done))
    needed = handed.bundle.stat().st_size + checkout
    if needed > workspace:
        larger = -(-2 * needed // (512 << 20)) * 512
        raise _refused(
            folder,
            f"its clone takes {clone_errors.in_mib(needed)}, and /workspace has {clone_errors.in_mib(workspace)}\n"
            f"  Set CODETAINER_TMPFS_WORKSPACE={larger}M or more.",
        )
    return handed


def _examined(folder: Path) -> tuple[str, int]:
    """Returns a repository's branch, and the size of its files in bytes. Raises SettingsError if it cannot be bundled."""
    if not folder.is_dir():
        raise _refused(folder, "no such folder")
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top.code != 0:
        raise _refused(folder, _why(top))
    if _git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").code != 0:
        raise _refused(folder, "it has no commit yet\n  Commit once, then start again.")
    if _git(folder, "rev-parse", "--is-shallow-repository").out.strip() != b"false":
        raise _refused(folder, "it is a shallow clone\n  Run git fetch --unshallow there first.")
    if _git(folder, "config", "--get-regexp", r"^extensions\.partialclone$|^remote\..*\.promisor$").code == 0:
        raise _refused(folder, "it is a partial clone, which lacks objects\n  Make a complete clone and name that one.")
    branch = _git(folder, "symbolic-ref", "--quiet", "--short", "HEAD")
    listed = _git(folder, "ls-tree", "-r", "-l", "-z", "--full-tree", "HEAD")
    if listed.code != 0 or not listed.whole:
        raise _refused(folder, _why(listed))
    sizes = (entry.partition(b"\t")[0].split()[-1] for entry in listed.out.split(b"\0") if entry)
    return branch.out.decode(errors="surrogateescape").removesuffix("\n"), sum(int(size) for size in sizes if size.isdigit())


def _git(folder: Path, *arguments: str, seconds: float = ASK_SECONDS, stdout: int | None = None) -> Answered:
    """Runs git in the folder, as the folder's owner. Raises SettingsError if it cannot run."""
    environment = {
        "PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_NO_LAZY_FETCH": "1",
        "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat",
    }  # fmt: skip
    safe = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
    try:
        owner = folder.stat().st_uid
        return system.ask(
            [*_as(owner), GIT, *safe, *arguments], environment=environment, cwd=folder, timeout=seconds, most=MAX_OUTPUT,
            stdout=stdout,
        )  # fmt: skip
    except (SystemFailure, OSError) as error:
        raise _refused(folder, str(error)) from error


def _as(owner: int) -> list[str]:
    """The command that switches to the folder's owner; empty if this process cannot, or already is that user."""
    if os.geteuid() != 0 or owner == 0:
        return []
    try:
        group, groups = pwd.getpwuid(owner).pw_gid, "--init-groups"
    except KeyError:
        group, groups = owner, "--clear-groups"
    return [SETPRIV, f"--reuid={owner}", f"--regid={group}", groups, "--no-new-privs", "--inh-caps=-all", "--"]


def _why(done: Answered) -> str:
    lines = [line for line in done.err.splitlines() if line.strip()] or [f"git exited with code {done.code}"]
    return ascii(lines[-1].removeprefix("fatal: "))[1:-1]


def _refused(folder: Path, why: str) -> settings.SettingsError:
    return settings.SettingsError([f"--work {folder}: {why}"])
