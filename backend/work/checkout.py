"""One work tree of a repository, with a copy of its index in a git folder of ours: what has changed, and how it is kept.

git says which files may have changed, with the attributes by which it wrote them: so a file that a checkout has converted
counts as unchanged. What may have changed is compared and kept byte for byte, without attributes.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from backend.system import Answered, SystemFailure
from backend.work import blobs
from backend.work.blobs import GITLINK
from backend.work.git import Git, data, last_line, parts, text
from backend.work.repository import Repository, Worktree
from backend.work.scratch import room

RESERVE = 0.1  # of the free space, which stays the agent's
MAX_NAMED = 20
_CONVERSIONS = ("working-tree-encoding", "eol", "text", "ident")
_NO_VALUE = ("unspecified", "unset", "set", "")  # for an attribute whose value is a word
_LONE_LF = re.compile(rb"(?:\A|[^\r])\n")
_IDENT = re.compile(rb"\$Id")
_CLOSED = re.compile(r"warning: could not open directory '(.*)/': (.*)")
_UNSEEN = re.compile(r"(.*): (Permission denied|Input/output error)\Z")


@dataclass(frozen=True, slots=True)
class Changes:
    """What a work tree has that its HEAD has not. `inner` are repositories in it, which are not looked into."""

    files: tuple[str, ...] = ()  # tracked, staged or not
    unstaged: tuple[str, ...] = ()  # those of them that differ from the index
    untracked: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    more: bool = False  # there are more than were counted
    notes: tuple[str, ...] = ()  # what could not be looked at


class Checkout:
    """`tree` as it is when this is made. `notes`: what of its index could not be read."""

    def __init__(self, repository: Repository, tree: Worktree) -> None:
        """Raises SystemFailure, OSError."""
        self.tree, self._scratch = tree, repository.scratch
        self.notes: tuple[str, ...] = ()
        self._index = self._scratch.place.parent / f"index-{repository.worktrees.index(tree)}"
        if tree.own is not None:
            self._take_index(tree.own)

    @property
    def _git(self) -> Git:
        """git in the work tree. Its attributes count here; of filters that they name there is none in our configuration."""
        given = {**self._scratch.git.environment, "GIT_WORK_TREE": str(self.tree.path), "GIT_INDEX_FILE": str(self._index)}
        return Git(given, self.tree.path)

    def _take_index(self, own: Path) -> None:
        try:
            self._copy_index(own)
        except FileNotFoundError:
            return  # nothing was added yet
        except OSError as error:
            self._without_index(error.strerror or str(error))
            return
        listed = self._git.answer("ls-files", "-v", "-z")
        if listed.code != 0 and listed.whole:
            self._without_index(last_line(listed).replace(str(self._index), str(own / "index")))
            return
        # What the index says need not be looked at is looked at: it may have been changed all the same.
        hidden = [entry for entry in parts(listed.out) if entry[0].islower() or entry[0] == "S"]
        for flag, names in (
            ("--no-assume-unchanged", [entry[2:] for entry in hidden if entry[0].islower()]),
            ("--no-skip-worktree", [e[2:] for e in hidden if e[0] in "sS" and os.path.lexists(self.tree.path / e[2:])]),
        ):
            if names:
                self._git.ask("update-index", flag, "-z", "--stdin", given=b"".join(data(name) + b"\0" for name in names))

    def _copy_index(self, own: Path) -> None:
        index = own / "index"
        if not stat.S_ISREG(index.stat().st_mode):
            raise OSError(0, "it is no file")
        with index.open("rb") as theirs, self._index.open("wb") as ours:
            shutil.copyfileobj(theirs, ours)
            ours.flush()
            # A file that changed in the second in which the index was written is told by the index's own time
            # (git's Documentation/technical/racy-git.txt): a copy with a later time would miss it.
            written = os.fstat(theirs.fileno())
            os.utime(ours.fileno(), ns=(written.st_atime_ns, written.st_mtime_ns))
        for shared in own.glob("sharedindex.*"):  # git-update-index(1), split index
            shutil.copyfile(shared, self._scratch.place / shared.name)  # a copy: git renews the times of those it reads

    def _without_index(self, why: str) -> None:
        self.notes = (f"the index of {self.tree.path} cannot be read ({why}): what was staged is not kept apart",)
        self._index.unlink(missing_ok=True)
        if self.tree.head:
            self._git.ask("read-tree", self.tree.head)

    # --- looking ---

    def changes(self) -> Changes:
        """What is not committed. Of submodules whether they are at another commit, no more. Raises SystemFailure."""
        staged = self._git.answer(
            "diff-index", "--cached", "-z", "--name-only", "--no-renames", "--ignore-submodules=dirty", self._base()
        )
        if staged.code != 0 and staged.whole:
            raise SystemFailure(f"cannot ask git what is staged: {last_line(staged)}")
        seen = self._git.answer("diff-files", "-z", "--raw", "--no-abbrev", "--no-renames", "--ignore-submodules=dirty")
        if seen.code != 0 and seen.whole:
            raise SystemFailure(f"cannot ask git what has changed: {last_line(seen)}")
        unstaged = self._really(_raw(seen.out))
        others = self._git.answer("ls-files", "-z", "--others", "--exclude-standard")
        if others.code != 0 and others.whole:
            raise SystemFailure(f"cannot ask git what it does not know: {last_line(others)}")
        listed = parts(others.out if others.whole else others.out.rpartition(b"\0")[0])
        return Changes(
            tuple(dict.fromkeys((*parts(staged.out), *unstaged))), tuple(unstaged),
            tuple(name for name in listed if not name.endswith("/")),
            tuple(name[:-1] for name in listed if name.endswith("/")),
            not (staged.whole and seen.whole and others.whole), _unseen(seen, others),
        )  # fmt: skip

    def _base(self) -> str:
        return self.tree.head or self._scratch.empty_tree()

    def _really(self, seen: Iterable[tuple[str, int, str]]) -> list[str]:
        """Of what may have changed, what has: by name, mode and object in the index."""
        was: dict[str, tuple[int, str]] = {}
        changed = []
        for name, mode, object_name in seen:
            if object_name.strip("0"):
                was[name] = (mode, object_name)
            else:  # a conflict, or announced with `git add -N`
                changed.append(name)
        wanted = "".join(f"{object_name}\n" for mode, object_name in was.values() if mode != GITLINK)
        sizes: dict[str, int] = {}
        if wanted:
            said = self._scratch.git.answer(
                "cat-file", "--batch-check=%(objectname) %(objectsize)", "--buffer", given=wanted.encode()
            ).out.decode()  # what git cannot read counts as changed
            sizes = {name: int(size) for name, _, size in (line.partition(" ") for line in said.splitlines()) if size.isdigit()}
        same = set(blobs.unchanged(self._scratch.kind, self.tree.path, was, sizes))
        return list(dict.fromkeys((*changed, *(name for name in was if name not in same or name in changed))))

    # --- keeping ---

    def too_large(self, changes: Changes, largest: int) -> list[str]:
        """Files that are left out: larger than `largest` bytes, or, the largest first, for want of room."""
        sizes: dict[str, int] = {}
        for name in (*changes.unstaged, *changes.untracked):
            try:
                sizes[name] = (self.tree.path / name).lstat().st_size
            except OSError:
                continue  # deleted, or the agent is quicker
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
        """The tree of the index; "" if it has conflicts, which no tree can hold."""
        done = self._git.answer("write-tree", "--missing-ok")
        return done.out.decode().strip() if done.code == 0 else ""

    def take(self, names: Iterable[str]) -> list[str]:
        """Puts these files into our index as they are now; returns what could not be read. Raises SystemFailure."""
        found = blobs.write(self._scratch, self.tree.path, names)
        nothing = "0" * (64 if self._scratch.kind == "sha256" else 40)
        lines = b"".join(
            b"%s %s\t%s\0" % (b"%06o" % entry[0] if entry else b"0", (entry[1] if entry else nothing).encode(), data(name))
            for name, entry in found.entries.items()
        )
        if lines:
            self._git.ask("update-index", "-z", "--index-info", given=lines)
        return found.problems

    def converted(self, names: Iterable[str]) -> list[str]:
        """Returns those of these files whose bytes git would change when another clone checks our index out.

        Attributes alone are asked (gitattributes(5)), so a file may be returned that would stay the same. Text files without
        an attribute `eol` follow the operator's own configuration and are not returned. Raises SystemFailure, OSError.
        """
        wanted = b"".join(data(name) + b"\0" for name in names)
        if not wanted:
            return []
        elsewhere = self._scratch.elsewhere
        git = Git({**elsewhere.environment, "GIT_INDEX_FILE": str(self._index)}, elsewhere.folder)
        answer = git.ask("check-attr", "-z", "--stdin", "--cached", *_CONVERSIONS, given=wanted)
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
        """Every file that git knows here."""
        return list(dict.fromkeys(parts(self._git.ask("ls-files", "-z"))))

    def forget(self) -> None:
        """From now on our index is empty: what is taken is all there is in it."""
        self._index.unlink(missing_ok=True)

    def written(self) -> str:
        """The tree of our index. Raises SystemFailure."""
        return self._git.line("write-tree", "--missing-ok")


def _raw(said: bytes) -> Iterable[tuple[str, int, str]]:
    """Name, mode and object in the index, of `git diff-files --raw -z` (git-diff-files(1), "RAW OUTPUT FORMAT")."""
    found = iter(parts(said))
    for about in found:
        name = next(found, None)
        if name is not None:
            mode, _, object_name, _, _ = about.removeprefix(":").split(" ")
            yield name, int(mode, 8), object_name


def _unseen(*done: Answered) -> tuple[str, ...]:
    """What git could not look at, as its warnings say."""
    found = []
    for line in (line for answer in done for line in answer.err.splitlines()):
        if closed := _CLOSED.match(line):
            found.append(f"{closed[1]}: cannot be looked into: {closed[2]}")
        elif unseen := _UNSEEN.match(line):
            found.append(f"{unseen[1]}: cannot be looked at: {unseen[2]}")
    more = [f"{len(found) - MAX_NAMED} files or folders more cannot be looked at"] if len(found) > MAX_NAMED else []
    return (*found[:MAX_NAMED], *more)
