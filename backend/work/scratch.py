"""A git folder of our own beside the agent's: a copy of its index, its objects to read, and nothing of its configuration.

So its index, HEAD, refs and reflogs stay as they are, no object is added to it, and none of its hooks, filters, monitors,
signatures or helpers run. Without filters a file is kept as it lies in the work tree: with hooks off, nobody would upload
what Git LFS had put aside.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from backend.system import SystemFailure
from backend.work.git import Git, data, last_line, parts
from backend.work.repository import Repository, Worktree

PREFIX = "codetainer-work-"
ROOM = 16 << 20  # bytes: with less in the usual places, others will do
RESERVE = 0.1  # of the free space, which stays the agent's
# Every blob counts as a big one: it goes into one pack as it is read, and no time is spent on looking for deltas.
CONFIGURATION = """\
[core]
\trepositoryFormatVersion = {version}
\tbare = false
\tlogAllRefUpdates = false
\tbigFileThreshold = 1
\tcompression = 1
\tuntrackedCache = false
[extensions]
{extensions}[gc]
\tauto = 0
[pack]
\tthreads = 1
\twindowMemory = 64m
[advice]
\taddEmbeddedRepo = false
"""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a work tree has that its HEAD has not. `inner` are repositories in it, which are not looked into."""

    files: tuple[str, ...] = ()  # tracked, staged or not
    untracked: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    more: bool = False  # there are more than were counted


def folder(environment: dict[str, str]) -> Path:
    """A new folder where there is most room; what killed processes have left behind goes first. Raises SystemFailure."""
    usual = (Path(environment.get("HOME", "/")), Path("/tmp"))
    places: tuple[Path, ...] = (*usual, Path("/dev/shm"), Path("/workspace"))
    for place in places:
        for left in place.glob(f"{PREFIX}*"):
            pid = left.name.removeprefix(PREFIX).partition("-")[0]
            if not (pid.isdigit() and Path(f"/proc/{pid}").exists()):
                shutil.rmtree(left, ignore_errors=True)
    if max(map(room, usual)) >= ROOM:
        places = usual
    roomiest = max((place for place in places if os.access(place, os.W_OK)), key=room, default=None)
    if roomiest is None:
        raise SystemFailure("cannot make a folder to work in: none can be written")
    try:
        return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=roomiest))
    except OSError as error:
        raise SystemFailure(
            f"cannot make a folder to work in: {error.strerror}", "make room in /home/claude or /tmp"
        ) from error


def room(place: Path) -> int:
    """Bytes that the agent can still write there."""
    try:
        found = os.statvfs(place)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


class Scratch:
    """Our own view of one work tree, in a folder that nobody else uses; `__init__` makes it. Raises SystemFailure, OSError."""

    def __init__(self, repository: Repository, tree: Worktree | None, below: Path) -> None:
        """`below` is the folder of one repository: new objects of all its work trees go into one place there."""
        self.place = Path(tempfile.mkdtemp(dir=below))
        objects = below / "objects"
        if not objects.exists():
            (below / "theirs").symlink_to(repository.common / "objects")  # by a name without strange characters
            (objects / "info").mkdir(parents=True)
            (objects / "info/alternates").write_text(f"{below}/theirs\n")
        (self.place / "refs").mkdir()
        (self.place / "info").symlink_to(repository.common / "info")  # its exclude and attributes
        if (repository.common / "shallow").is_file():
            shutil.copyfile(repository.common / "shallow", self.place / "shallow")
        self.tree = tree
        environment = {
            **repository.git.environment, "GIT_DIR": str(self.place), "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_CONFIG_GLOBAL": os.devnull, "GIT_WORK_TREE": str(tree.path if tree else self.place),
        }  # fmt: skip
        self.git = Git(environment, tree.path if tree else self.place)
        other = repository.hash != "sha1"
        extensions = f"\tobjectFormat = {repository.hash}\n" if other else ""
        (self.place / "config").write_text(CONFIGURATION.format(version=int(other), extensions=extensions))
        (self.place / "HEAD").write_text(f"{tree.head}\n" if tree and tree.head else "ref: refs/heads/none\n")
        if tree is not None:
            self._take_index(tree, repository)

    def _take_index(self, tree: Worktree, repository: Repository) -> None:
        if tree.index.is_file():
            with tree.index.open("rb") as theirs, (self.place / "index").open("wb") as ours:
                shutil.copyfileobj(theirs, ours)
                ours.flush()
                # A file that changed in the second in which the index was written is told by the index's own time
                # (git's Documentation/technical/racy-git.txt): a copy with a later time would miss it.
                written = os.fstat(theirs.fileno())
                os.utime(ours.fileno(), ns=(written.st_atime_ns, written.st_mtime_ns))
            for shared in tree.index.parent.glob("sharedindex.*"):  # git-update-index(1), split index
                (self.place / shared.name).symlink_to(shared)
        ignored = repository.git.maybe("config", "--type=path", "--get", "core.excludesFile")
        if ignored and "\n" not in ignored:
            self.git.ask("config", "core.excludesFile", ignored)
        # What the index says need not be looked at is looked at: it may have been changed all the same.
        hidden = [entry for entry in parts(self.git.ask("ls-files", "-v", "-z")) if entry[0].islower() or entry[0] == "S"]
        for flag, names in (
            ("--no-assume-unchanged", [entry[2:] for entry in hidden if entry[0].islower()]),
            ("--no-skip-worktree", [e[2:] for e in hidden if e[0] in "sS" and os.path.lexists(tree.path / e[2:])]),
        ):
            if names:
                self.git.ask("update-index", flag, "-z", "--stdin", given=b"".join(data(name) + b"\0" for name in names))

    # --- looking ---

    def changes(self) -> Changes:
        """What is not committed in the work tree. Submodules: whether they are at another commit, no more."""
        if self.tree is None:
            return Changes()
        done = self.git.answer(
            "status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=dirty"
        )
        if done.whole and done.code != 0:
            raise SystemFailure(f"cannot ask git status: {last_line(done)}")
        files, untracked, inner = [], [], []
        for entry in parts(done.out if done.whole else done.out.rpartition(b"\0")[0]):
            kind = entry[0]
            if kind == "?" and entry.endswith("/"):
                inner.append(entry[2:-1])
            elif kind == "?":
                untracked.append(entry[2:])
            elif kind in "1u":  # git-status(1), "Porcelain Format Version 2": the path is the last of 9 or 11 fields
                files.append(entry.split(" ", 8 if kind == "1" else 10)[-1])
        return Changes(tuple(files), tuple(untracked), tuple(inner), not done.whole)

    # --- committing ---

    def too_large(self, changes: Changes, largest: int) -> list[str]:
        """Files that are left out: larger than `largest` bytes, or, the largest first, for want of room."""
        assert self.tree is not None
        sizes: dict[str, int] = {}
        for name in (*changes.files, *changes.untracked):
            try:
                sizes[name] = (self.tree.path / name).lstat().st_size
            except OSError:
                continue  # deleted, or the agent is quicker
        out = [name for name, size in sizes.items() if size > largest]
        left = room(self.place) * (1 - RESERVE) - sum(size for name, size in sizes.items() if name not in out)
        for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
            if left >= 0:
                break
            if name not in out:
                out.append(name)
                left += sizes[name]
        return out

    def staged(self) -> str:
        """The tree of the index; "" where it has conflicts, which no tree can hold."""
        done = self.git.answer("write-tree", "--missing-ok")
        return done.out.decode().strip() if done.code == 0 else ""

    def take(self, without: Iterable[str]) -> list[str]:
        """Puts the work tree into our index, but for these paths; returns what could not be read. Raises SystemFailure."""
        patterns = [".", *(f":(top,exclude,literal){name}" for name in without)]
        done = self.git.answer(
            "add", "--all", "--ignore-errors", "--pathspec-from-file=-", "--pathspec-file-nul",
            given=b"".join(data(pattern) + b"\0" for pattern in patterns),
        )  # fmt: skip
        problems = [line for line in done.err.splitlines() if line.startswith("error:")]
        if done.code not in (0, 1) or (done.code == 1 and not problems):
            raise SystemFailure(f"cannot put the work tree into a commit: {last_line(done)}")
        return [problem.removeprefix("error: ") for problem in problems]

    def commit(self, tree: str, parents: Iterable[str], message: str) -> str:
        """Makes a commit; nothing points to it yet."""
        before = [argument for parent in parents for argument in ("-p", parent)]
        known = self.git.maybe(
            "var", "GIT_COMMITTER_IDENT"
        )  # the operator's GIT_USER_NAME; none where boot has not come so far
        who = [] if known else ["-c", "user.name=codetainer", "-c", "user.email=codetainer@localhost"]
        return self.git.line(*who, "commit-tree", tree, *before, "-F", "-", given=data(message))

    def written(self) -> str:
        """The tree of our index. Raises SystemFailure."""
        return self.git.line("write-tree", "--missing-ok")

    def empty_tree(self) -> str:
        return self.git.line("mktree")
