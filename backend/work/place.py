"""Where a repository of the agent's keeps what, found without git, which refuses a damaged repository and obeys its settings.

Nothing in here waits: a pipe in a file's place is no file. Source: gitrepository-layout(5).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backend.system import SystemFailure

MAX_REPOSITORIES = 20
MAX_BYTES = 64 << 20  # of a file that is read whole
CLONE = "repo"  # the folder of the workspace that boot clones into


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with a repository.

    `own` is its git folder ($GIT_DIR: HEAD and index), `common` what its work trees share (refs, objects, configuration).
    Both are None if there is no git folder that can be read; `problem` then says why.
    """

    folder: Path
    own: Path | None = None
    common: Path | None = None
    bare: bool = False  # the folder is the git folder itself
    problem: str = ""


def find(workspace: Path) -> Iterator[Place]:
    """The repositories in a folder and directly below it; links are not followed. Raises SystemFailure.

    The clone counts also when its git folder is gone: its files are there.
    """
    try:
        below = [Path(entry.path) for entry in os.scandir(workspace) if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        raise SystemFailure(f"cannot look into {workspace}: {error.strerror}") from error
    below.sort(key=lambda child: (child.name != CLONE, child))
    found = 0
    for folder in (*(child for child in below if child.name != ".git"), workspace):
        place = locate(folder)
        if place is not None or (folder == workspace / CLONE and any(folder.iterdir())):
            yield place or Place(folder, problem="there is no .git")
            found += 1
            if found == MAX_REPOSITORIES:
                return


def locate(folder: Path) -> Place | None:
    """The repository whose files are in this folder; None if there is none. Never the one of a folder above."""
    dot = folder / ".git"
    try:
        mode = dot.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if not dot.is_symlink():
            bare = (folder / "HEAD").is_file() and (folder / "objects").is_dir()
            return Place(folder, folder, folder, bare=True) if bare else None
        return Place(folder, problem=".git is a link that leads nowhere")
    except OSError as error:
        return Place(folder, problem=f".git cannot be read: {error.strerror}")
    if stat.S_ISDIR(mode):
        own = dot
    else:
        try:
            said = (contents(dot) or b"").decode(errors="surrogateescape")
        except OSError as error:
            return Place(folder, problem=f".git cannot be read: {error.strerror}")
        if not said.startswith("gitdir: "):
            return Place(folder, problem=".git does not say where the git folder is")
        own = folder / said.removeprefix("gitdir: ").rstrip("\r\n")
    if not os.access(own, os.R_OK | os.X_OK):
        return Place(folder, problem=f"the git folder {own} {'cannot be read' if own.exists() else 'does not exist'}")
    own = own.resolve()
    return Place(folder, own, _common(own))


def _common(own: Path) -> Path:
    """What the git folder of one work tree shares with the others."""
    try:
        said = contents(own / "commondir")
    except OSError:
        return own
    return (own / said.decode(errors="surrogateescape").rstrip("\r\n")).resolve() if said else own


def contents(path: Path) -> bytes | None:
    """What a regular file holds; None if it is no regular file, or larger than MAX_BYTES. Raises OSError."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
            return None
        with os.fdopen(os.dup(file), "rb") as opened:
            return opened.read(MAX_BYTES)
    finally:
        os.close(file)
