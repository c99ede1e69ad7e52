"""`codetainer up --work DIR`: the operator's own repository, handed to a sandbox as a git bundle of its branches and tags.

Only reads the repository (own_git). `intake.py` brings the agent's commits back. Source: gitformat-bundle(5).
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from backend import processes, settings
from backend.boot import clone_errors
from backend.contract.immutable import dataclass
from backend.sandbox import own_git
from backend.sandbox.own_git import why
from backend.system import Answered, SystemFailure

BUNDLE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Handed:
    """A bundle of a repository, in a folder that only this user can open.

    `folder` is the repository's work tree, `tips` the commits and tags in the bundle, `kind` their object format, and `branch`
    the branch that is checked out, "" if HEAD is detached.
    """

    bundle: Path
    branch: str
    folder: Path
    tips: tuple[str, ...]
    kind: str

    def discard(self) -> None:
        """Removes the file. A sandbox that has mounted it keeps its contents."""
        shutil.rmtree(self.bundle.parent, ignore_errors=True)


def around(folder: Path) -> Path | None:
    """The work tree that a folder lies in, None if there is none."""
    try:
        top = own_git.git(folder, "rev-parse", "--show-toplevel")
    except (SystemFailure, OSError):
        return None
    return Path(_text(top.out)) if top.code == 0 else None


def hand_over(folder: Path, workspace: int) -> Handed:
    """Bundles the repository in which a folder lies. `workspace` is the size of /workspace in bytes.

    The file is removed when this process exits, if not before. Raises SettingsError, also if no complete clone can be made.
    """
    top, kind, branch, checkout = _examined(folder)
    place = Path(tempfile.mkdtemp(prefix="codetainer-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    bundle = place / "work.bundle"
    with bundle.open("xb") as file:
        os.fchmod(file.fileno(), 0o444)  # the agent reads it
        done = _git(
            folder, "bundle", "create", "--quiet", "-", "HEAD", "--branches", "--tags", seconds=BUNDLE_SECONDS,
            stdout=file.fileno(),
        )  # fmt: skip
    if done.code != 0:
        raise _refused(folder, why(done))
    needed = bundle.stat().st_size + checkout
    if needed > workspace:
        larger = -(-2 * needed // (512 << 20)) * 512
        raise _refused(
            folder,
            f"its clone takes {clone_errors.in_mib(needed)}, and /workspace has {clone_errors.in_mib(workspace)}\n"
            f"  Set CODETAINER_TMPFS_WORKSPACE={larger}M or more.",
        )
    return Handed(bundle, branch, top, _tips(bundle), kind)


def _tips(bundle: Path) -> tuple[str, ...]:
    """The objects that a bundle's header names (gitformat-bundle(5))."""
    tips: dict[str, None] = {}
    with bundle.open("rb") as file:
        for line in iter(file.readline, b"\n"):
            if not line.startswith((b"#", b"@", b"-")):
                tips[line.split(b" ")[0].decode()] = None
    return tuple(tips)


def _examined(folder: Path) -> tuple[Path, str, str, int]:
    """Returns a repository's work tree, object format and branch, and the size of its files in bytes.

    Raises SettingsError if it cannot be bundled.
    """
    if not folder.is_dir():
        raise _refused(folder, "no such folder")
    if processes.in_user_namespace() and folder.stat().st_uid != 0:  # there, 0 is the user who runs `up`
        raise _refused(folder, "it belongs to another user\n  Clone it, and name the clone.")
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top.code != 0:
        advice = "\n  Name a repository, or run git init there and commit." if "not a git repository" in top.err else ""
        raise _refused(folder, f"{why(top)}{advice}")
    if _git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").code != 0:
        raise _refused(folder, "it has no commit yet\n  Commit once, then start again.")
    if _git(folder, "rev-parse", "--is-shallow-repository").out.strip() != b"false":
        raise _refused(folder, "it is a shallow clone\n  Run git fetch --unshallow there first.")
    if _git(folder, "config", "--get-regexp", r"^extensions\.partialclone$|^remote\..*\.promisor$").code == 0:
        raise _refused(folder, "it is a partial clone, which lacks objects\n  Make a complete clone and name that one.")
    kind = _git(folder, "rev-parse", "--show-object-format").out.decode().strip()
    branch = _git(folder, "symbolic-ref", "--quiet", "--short", "HEAD")
    listed = _git(folder, "ls-tree", "-r", "-l", "-z", "--full-tree", "HEAD")
    if listed.code != 0 or not listed.whole:
        raise _refused(folder, why(listed))
    sizes = (entry.partition(b"\t")[0].split()[-1] for entry in listed.out.split(b"\0") if entry)
    size = sum(int(size) for size in sizes if size.isdigit())
    return Path(_text(top.out)), kind, _text(branch.out), size


def _text(output: bytes) -> str:
    return os.fsdecode(output.removesuffix(b"\n"))


def _git(folder: Path, *arguments: str, seconds: float = own_git.ASK_SECONDS, stdout: int | None = None) -> Answered:
    """Runs git in the folder, as the folder's owner. Raises SettingsError if it cannot run."""
    try:
        return own_git.git(folder, *arguments, seconds=seconds, stdout=stdout)
    except (SystemFailure, OSError) as error:
        raise _refused(folder, str(error)) from error


def _refused(folder: Path, why: str) -> settings.SettingsError:
    return settings.SettingsError([f"--work {folder}: {why}"])
