"""Finds the agent's repositories without git, which rejects a damaged repository and obeys its settings.

Nothing here can block: a pipe in the place of a file is not read. Source: gitrepository-layout(5).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from backend.contract.immutable import dataclass
from backend.system import SystemFailure

MAX_REPOSITORIES = 20
MAX_BYTES = 64 << 20  # of a file that is read into memory
CLONE = "repo"  # the folder of the workspace that boot clones into


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with a repository.

    `own` is its git folder ($GIT_DIR: HEAD and index), `common` the folder that its work trees share ($GIT_COMMON_DIR: refs,
    objects, configuration). Both are None if no git folder can be read; `problem` then says why.
    """

    folder: Path
    own: Path | None = None
    common: Path | None = None
    bare: bool = False  # the folder is the git folder itself
    problem: str = ""


def find(workspace: Path) -> Iterator[Place]:
    """Finds the repositories in a folder and directly below it, without following links. Raises SystemFailure.

    Includes the clone even if its git folder is gone, because its files are still there.
    """
    try:
        folders = [Path(entry.path) for entry in os.scandir(workspace) if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        raise SystemFailure(f"cannot look into {workspace}: {error.strerror}") from error
    folders.sort(key=lambda child: (child.name != CLONE, child))
    count = 0
    for folder in (*(child for child in folders if child.name != ".git"), workspace):
        place = locate(folder)
        if place is not None or (folder == workspace / CLONE and any(folder.iterdir())):
            yield place or Place(folder, problem="it has no .git")
            count += 1
            if count == MAX_REPOSITORIES:
                return


def locate(folder: Path) -> Place | None:
    """Returns the repository at exactly this folder, or None. Unlike git, never looks in the folders above."""
    dot = folder / ".git"
    try:
        mode = dot.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if not dot.is_symlink():
            bare = (folder / "HEAD").is_file() and (folder / "objects").is_dir()
            return Place(folder, folder, folder, bare=True) if bare else None
        return Place(folder, problem=".git is a dangling link")
    except OSError as error:
        return Place(folder, problem=f".git cannot be read: {error.strerror}")
    if stat.S_ISDIR(mode):
        own = dot
    else:
        try:
            content = (contents(dot) or b"").decode(errors="surrogateescape")
        except OSError as error:
            return Place(folder, problem=f".git cannot be read: {error.strerror}")
        if not content.startswith("gitdir: "):
            return Place(folder, problem=".git does not name the git folder")
        own = folder / content.removeprefix("gitdir: ").rstrip("\r\n")
    if not os.access(own, os.R_OK | os.X_OK):
        return Place(folder, problem=f"the git folder {own} {'cannot be read' if own.exists() else 'does not exist'}")
    own = own.resolve()
    return Place(folder, own, _common(own))


def _common(own: Path) -> Path:
    """Returns the git folder that this work tree shares with the others ($GIT_COMMON_DIR)."""
    try:
        content = contents(own / "commondir")
    except OSError:
        return own
    return (own / content.decode(errors="surrogateescape").rstrip("\r\n")).resolve() if content else own


def contents(path: Path) -> bytes | None:
    """Returns the contents of a regular file; None if it is not one or larger than MAX_BYTES. Raises OSError."""
    file = opened(path)
    if file is None:
        return None
    with file:
        return file.read(MAX_BYTES) if os.fstat(file.fileno()).st_size <= MAX_BYTES else None


def opened(path: Path) -> BinaryIO | None:
    """Opens a regular file for reading; returns None if it is not one. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")
