"""One work tree of a repository, with a copy of its index in our own git folder: finds changed files and stores them.

git finds files that may have changed, using the attributes with which it wrote them, so a file that a checkout converted
counts as unchanged. The candidates are then compared and stored byte for byte, without attributes.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from backend.contract.immutable import dataclass
from backend.system import Answered, SystemFailure, TookTooLong
from backend.work import blobs, listings, pipes
from backend.work.blobs import GITLINK, LINK
from backend.work.git import Git, data, last_line, parts, text
from backend.work.repository import Repository, Worktree
from backend.work.scratch import room

MAX_INDEX = 512 << 20  # bytes; about 100 for each file
LOOK_SECONDS = 5.0  # for git to list files, before pipes are searched for that block it
RESERVE = 0.1  # share of the free space that is left to the agent
_CONVERSIONS = ("working-tree-encoding", "eol", "text", "ident")
_NO_VALUE = ("unspecified", "unset", "set", "")  # for an attribute whose value is a word
_LONE_LF = re.compile(rb"(?:\A|[^\r])\n")
_IDENT = re.compile(rb"\$Id")


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes of a work tree since its HEAD. `inner` are repositories in it, which are not examined."""

    files: tuple[str, ...] = ()  # tracked, staged or not
    unstaged: tuple[str, ...] = ()  # those of them that differ from the index
    untracked: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    more: bool = False  # there are more files than were counted
    notes: tuple[str, ...] = ()  # files that could not be examined


class Checkout:
    """A work tree with a copy of its index from the time of creation. `notes`: what could not be read of the index."""

    def __init__(self, repository: Repository, tree: Worktree) -> None:
        """Copies the index. Raises SystemFailure, OSError."""
        self.tree, self._scratch = tree, repository.scratch
        self.notes: tuple[str, ...] = ()
        self._pipes: dict[str, str] = {}  # see pipes.find; empty as long as git was not blocked
        self._index = self._scratch.place.parent / f"index-{repository.worktrees.index(tree)}"
        if tree.own is not None:
            self._take_index(tree.own)

    @property
    def _git(self) -> Git:
        """git in the work tree. It obeys the tree's attributes, but our configuration defines no filter that they could run."""
        variables = {**self._scratch.git.environment, "GIT_WORK_TREE": str(self.tree.path), "GIT_INDEX_FILE": str(self._index)}
        return Git(variables, self.tree.path)

    @property
    def _without_files(self) -> Git:
        """git with our index and an empty work tree. With files, writing an index would compare some, and read attributes."""
        empty = self._scratch.git
        return Git({**empty.environment, "GIT_INDEX_FILE": str(self._index)}, empty.folder)

    def _take_index(self, own: Path) -> None:
        try:
            self._copy_index(own)
        except FileNotFoundError:
            return  # nothing was added yet
        except OSError as error:
            self._without_index(error.strerror or str(error))
            return
        listing = self._git.answer("ls-files", "-v", "-z")
        if listing.code != 0 and listing.whole:
            self._without_index(last_line(listing).replace(str(self._index), str(own / "index")))
            return
        # Examine files with these flags, too: they may have changed all the same.
        hidden = [entry for entry in parts(listing.out) if entry[0].islower() or entry[0] == "S"]
        for flag, names in (
            ("--no-assume-unchanged", [entry[2:] for entry in hidden if entry[0].islower()]),
            ("--no-skip-worktree", [e[2:] for e in hidden if e[0] in "sS" and os.path.lexists(self.tree.path / e[2:])]),
        ):
            if names:
                self._mark(flag, b"".join(data(name) + b"\0" for name in names))

    def _mark(self, flag: str, names: bytes) -> None:
        arguments = ("update-index", flag, "-z", "--stdin")
        try:
            self._git.ask(*arguments, stdin=names, seconds=LOOK_SECONDS)
        except TookTooLong:
            self._pipes = pipes.find(self.tree.path)
            self._index.with_name(f"{self._index.name}.lock").unlink(missing_ok=True)
            (self._without_files if self._pipes else self._git).ask(*arguments, stdin=names)

    def _copy_index(self, own: Path) -> None:
        index = own / "index"
        left = MAX_INDEX
        for file in (index, *own.glob("sharedindex.*")):
            status = file.stat()
            if not stat.S_ISREG(status.st_mode):
                raise OSError(0, "not a regular file")
            left -= status.st_size
            if left < 0:
                raise OSError(0, f"larger than {MAX_INDEX >> 20} MB")
        with index.open("rb") as theirs, self._index.open("wb") as ours:
            shutil.copyfileobj(theirs, ours)
            ours.flush()
            # git compares a file's time with the index's to detect changes in the second in which the index was written
            # (git's Documentation/technical/racy-git.txt). A copy with a later time would miss them.
            status = os.fstat(theirs.fileno())
            os.utime(ours.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
        for shared in own.glob("sharedindex.*"):  # git-update-index(1), split index
            shutil.copyfile(
                shared, self._scratch.place / shared.name
            )  # a copy, because git updates the times of those it reads

    def _without_index(self, why: str) -> None:
        self.notes = (f"the index of {self.tree.path} cannot be read ({why}): staged changes are not saved separately",)
        self._index.unlink(missing_ok=True)
        if self.tree.head:
            self._git.ask("read-tree", self.tree.head)

    # --- finding changes ---

    def changes(self) -> Changes:
        """Finds uncommitted changes. A submodule counts only if it is at another commit. Raises SystemFailure."""
        staged = self._git.answer(
            "diff-index", "--cached", "-z", "--name-only", "--no-renames", "--ignore-submodules=dirty", self._base()
        )
        if staged.code != 0 and staged.whole:
            raise SystemFailure(f"cannot list staged files: {last_line(staged)}")
        seen = self._look("diff-files", "-z", "--raw", "--no-abbrev", "--no-renames", "--ignore-submodules=dirty")
        blocked = seen is None
        if seen is None:
            seen = self._git.answer("ls-files", "-z", "--stage")  # all files are compared, byte for byte
        if seen.code != 0 and seen.whole:
            raise SystemFailure(f"cannot list changed files: {last_line(seen)}")
        unstaged = self._really(listings.staged(seen.out) if blocked else listings.raw(seen.out))
        others = self._look("ls-files", "-z", "--others", "--exclude-standard")
        if others is None:
            others = self._others_without_pipes()
        if others.code != 0 and others.whole:
            raise SystemFailure(f"cannot list untracked files: {last_line(others)}")
        untracked = parts(others.out if others.whole else others.out.rpartition(b"\0")[0])
        return Changes(
            tuple(dict.fromkeys((*parts(staged.out), *unstaged))), tuple(unstaged),
            tuple(name for name in untracked if not name.endswith("/")),
            tuple(name[:-1] for name in untracked if name.endswith("/")),
            not (staged.whole and seen.whole and others.whole), (*listings.unseen(seen, others), *self._pipes.values()),
        )  # fmt: skip

    def _look(self, *arguments: str) -> Answered | None:
        """Runs git in the work tree; returns None if a pipe there would block it. Raises SystemFailure."""
        if not self._pipes:
            try:
                return self._git.answer(*arguments, seconds=LOOK_SECONDS)
            except TookTooLong:
                self._pipes = pipes.find(self.tree.path)
        return None if self._pipes else self._git.answer(*arguments)

    def _others_without_pipes(self) -> Answered:
        """Lists untracked files except in folders with a pipe that would block git. Raises SystemFailure."""
        if "" in self._pipes:
            return Answered(0, b"", "")
        without = [f"--exclude={listings.literally(folder)}" for folder in self._pipes]
        try:
            return self._git.answer("ls-files", "-z", "--others", "--exclude-standard", *without, seconds=4 * LOOK_SECONDS)
        except TookTooLong:  # more pipes than pipes.find searches for
            self._pipes[""] = f"all untracked files in {self.tree.path} are left out: a pipe among them blocks git"
            return Answered(0, b"", "")

    def _base(self) -> str:
        return self.tree.head or self._scratch.empty_tree()

    def _really(self, candidates: Iterable[tuple[str, int, str]]) -> list[str]:
        """Returns the candidates (name, mode and object in the index) that have really changed."""
        recorded: dict[str, tuple[int, str]] = {}
        changed = []
        for name, mode, object_name in candidates:
            if object_name.strip("0"):
                recorded[name] = (mode, object_name)
            else:  # a conflict, or a file from `git add -N`
                changed.append(name)
        queries = "".join(f"{object_name}\n" for mode, object_name in recorded.values() if mode != GITLINK)
        sizes: dict[str, int] = {}
        if queries:
            output = self._scratch.git.answer(
                "cat-file", "--batch-check=%(objectname) %(objectsize)", "--buffer", stdin=queries.encode()
            ).out.decode()  # objects that git cannot read count as changed
            sizes = {
                name: int(size) for name, _, size in (line.partition(" ") for line in output.splitlines()) if size.isdigit()
            }
        same = set(blobs.unchanged(self._scratch.kind, self.tree.path, recorded, sizes))
        return list(dict.fromkeys((*changed, *(name for name in recorded if name not in same or name in changed))))

    # --- storing ---

    def too_large(self, changes: Changes, largest: int) -> list[str]:
        """Returns the files to leave out: those larger than `largest` bytes, then the largest ones until the rest fits."""
        sizes: dict[str, int] = {}
        for name in (*changes.unstaged, *changes.untracked):
            try:
                sizes[name] = (self.tree.path / name).lstat().st_size
            except OSError:
                continue  # deleted, perhaps just now
        out = [name for name, size in sizes.items() if size > largest]
        left = room(self._scratch.place) * (1 - RESERVE) - sum(size for name, size in sizes.items() if name not in out)
        for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
            if left >= 0:
                break
            if name not in out:
                out.append(name)
                left += sizes[name]
        return out

    def staged(self) -> str:
        """Returns the tree of the index; "" if the index has conflicts, which a tree cannot represent."""
        done = self._without_files.answer("write-tree", "--missing-ok")
        return done.out.decode().strip() if done.code == 0 else ""

    def take(self, names: Iterable[str]) -> list[str]:
        """Stores these files and adds them to our index. Returns the unreadable ones with reasons. Raises SystemFailure."""
        written = blobs.write(self._scratch, self.tree.path, names)
        nothing = "0" * (64 if self._scratch.kind == "sha256" else 40)
        lines = b"".join(
            b"%s %s\t%s\0" % (b"%06o" % entry[0] if entry else b"0", (entry[1] if entry else nothing).encode(), data(name))
            for name, entry in written.entries.items()
        )
        if lines:
            self._without_files.ask("update-index", "-z", "--index-info", stdin=lines)
        return written.problems

    def converted(self, names: Iterable[str]) -> list[str]:
        """Returns those of these files whose bytes git would change when another clone checks our index out.

        Decides mostly by attributes (gitattributes(5)), so it may return files that would stay the same. Text files without
        the attribute `eol` follow the operator's own configuration and are not returned. Raises SystemFailure, OSError.
        """
        paths = b"".join(data(name) + b"\0" for name in names)
        if not paths:
            return []
        elsewhere = self._scratch.elsewhere
        git = Git({**elsewhere.environment, "GIT_INDEX_FILE": str(self._index)}, elsewhere.folder)
        answer = git.ask("check-attr", "-z", "--stdin", "--cached", *_CONVERSIONS, stdin=paths)
        fields = [text(field) for field in answer.split(b"\0")[:-1]]  # a value may be empty
        values: dict[str, dict[str, str]] = {}
        for name, attribute, value in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
            values.setdefault(name, {})[attribute] = value
        return [name for name, value in values.items() if self._changes(name, value)]

    def _changes(self, name: str, values: Mapping[str, str]) -> bool:
        """True if a checkout with these attributes can change the file's bytes."""
        path = self.tree.path / name
        if path.is_symlink() or not path.is_file():
            return False
        if values["working-tree-encoding"] not in _NO_VALUE:
            return True
        lines = values["eol"] == "crlf" and values["text"] != "unset" and blobs.matches(self.tree.path, name, _LONE_LF)
        return lines or (values["ident"] == "set" and blobs.matches(self.tree.path, name, _IDENT))

    def names(self) -> list[str]:
        """Returns all files in our index."""
        return list(dict.fromkeys(parts(self._git.ask("ls-files", "-z"))))

    def links(self) -> list[str]:
        """Returns all symbolic links in our index."""
        entries = parts(self._git.ask("ls-files", "--stage", "-z"))
        return [entry.partition("\t")[2] for entry in entries if entry.startswith(f"{LINK:o} ")]

    def forget(self) -> None:
        """Empties our index, so that it will contain only files added by `take`."""
        self._index.unlink(missing_ok=True)

    def written(self) -> str:
        """Writes our index as a tree. Raises SystemFailure."""
        return self._without_files.line("write-tree", "--missing-ok")
