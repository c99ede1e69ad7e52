"""Remembers the contents of a save, and tells later which work it does not contain.

The commit of a save is not in the agent's repository, so its files are remembered by their metadata: a file is the same if its
path, mode, size, times and inode are. A file that was written again counts as changed even if its contents are the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from backend.contract.events import SinceSave
from backend.contract.immutable import dataclass
from backend.work.checkout import Changes
from backend.work.git import data
from backend.work.refs import OBJECT
from backend.work.repository import Repository

MAX_COMMITS = 2000
MAX_FILES = 20_000
MARK = 16  # hexadecimal digits


@dataclass(frozen=True, slots=True)
class Baseline:
    """`commits` are the tips that the save of `commit` reaches, `files` the marks of its changed files."""

    commit: str
    commits: tuple[str, ...]
    files: frozenset[str]

    @staticmethod
    def read(file: Path) -> Baseline | None:
        """Returns the contents of a file that the supervisor wrote from `kept`; None if there is none."""
        try:
            body = json.loads(file.read_text())
        except (OSError, ValueError):
            return None
        whole = body["files"]
        return Baseline(
            body["commit"], tuple(body["commits"]), frozenset(whole[at : at + MARK] for at in range(0, len(whole), MARK))
        )

    def since(self, read: Repository, trees: Iterable[tuple[Path, Changes]]) -> SinceSave | None:
        """Returns the unsaved work of a repository that the save does not contain; None if git cannot tell."""
        revisions = [*(tip.commit for tip in read.tips), *(f"^{commit}" for commit in (*read.outside, *self.commits))]
        commits = 0
        if read.tips:
            # A saved commit may have been pruned since then.
            done = read.scratch.git.answer(
                "rev-list", "--count", "--ignore-missing", "--stdin", stdin="".join(f"{one}\n" for one in revisions).encode()
            )
            if done.code != 0 or not done.out.strip().isdigit():
                return None
            commits = int(done.out)
        files = untracked = 0
        more = False
        for path, changes in trees:
            files += self._changed(path, changes.files)
            untracked += self._changed(path, changes.untracked)
            more = more or changes.more
        stashes = sum(stash.commit not in self.commits for stash in read.stashes)
        return SinceSave(self.commit, commits, files, untracked, stashes, more)

    def _changed(self, tree: Path, names: Iterable[str]) -> int:
        return sum(mark not in self.files for mark in marks(tree, names))


def marks(tree: Path, names: Iterable[str]) -> list[str]:
    """Returns a mark for each of these files of a work tree, which changes if the file is written, replaced or removed."""
    found = []
    for name in names:
        seen: tuple[int, ...] = ()
        try:
            status = (tree / name).lstat()
            seen = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        except OSError:
            pass  # removed
        about = data(f"{tree}\0{name}\0{seen}")
        found.append(hashlib.blake2b(about, digest_size=MARK // 2).hexdigest())
    return found


def kept(commits: Iterable[str], files: Iterable[str]) -> dict[str, Any] | None:
    """Returns what is to be remembered of a save, as JSON values; None if it is too much."""
    tips, whole = list(dict.fromkeys(commits)), "".join(dict.fromkeys(files))
    return None if len(tips) > MAX_COMMITS or len(whole) > MAX_FILES * MARK else {"commits": tips, "files": whole}


def checked(commit: str, reported: object) -> str:
    """Returns the file for `Baseline.read` from `kept`, as a process of the agent's reported it. Raises ValueError."""
    match reported:
        case {"commits": list(commits), "files": str(files)} if len(files) <= MAX_FILES * MARK and len(commits) <= MAX_COMMITS:
            if all(isinstance(one, str) and OBJECT.match(one) for one in (*commits, commit)) and files.isalnum() | (not files):
                body: Mapping[str, Any] = {"commit": commit, "commits": commits, "files": files}
                return json.dumps(body)
    raise ValueError("the contents of the save are not known")


def keep(file: Path, commit: str, reported: object) -> None:
    """Writes the file for `Baseline.read`, or removes it if the contents of the save are not known."""
    try:
        new = file.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.write_text(checked(commit, reported))
        new.chmod(0o644)
        new.rename(file)
    except (OSError, ValueError):
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
