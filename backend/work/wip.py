"""One commit that contains all of a repository's unsaved work, in the form of a stash.

Its tree is the work tree with all uncommitted changes, including untracked files. Its first parent is HEAD, its second the
index (git-stash(1), DISCUSSION), whose further parents are the tips of all other unpushed branches, tags and stashes. So one
name reaches everything, and `git stash apply --index` restores staged, unstaged and untracked files. If nothing was staged,
git treats the index as unset and stages the untracked files; `git reset` corrects that (git's builtin/stash.c,
do_apply_stash). Files that attributes would change on checkout are then rewritten, byte for byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from backend.contract.immutable import dataclass
from backend.system import SystemFailure
from backend.work import baseline, refs, restoring
from backend.work.checkout import Changes, Checkout
from backend.work.commits import Tip
from backend.work.repository import Repository, Worktree
from backend.work.restoring import NONE_CONVERTED, Converted
from backend.work.scratch import Scratch

MAX_TIPS = 1000
LONG_AGO = "@0 +0000"  # a fixed date, so that the same files give the same commit


@dataclass(frozen=True, slots=True)
class Wip:
    """The commit, which is in `scratch` without a ref. `tips` are the commits that it reaches besides `base`.

    `fingerprint` changes only if the work or the list of omitted files changes.
    """

    scratch: Scratch
    commit: str
    base: str
    fingerprint: str
    tips: tuple[Tip, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    staged: bool  # something was staged
    converted: Converted = NONE_CONVERTED
    marks: tuple[str, ...] = ()  # of the changed files, taken before they were read: see baseline.marks

    def restore(self, name: str) -> str:
        """Returns the command that restores it beside a clone in which it has this name; see `restoring.command`."""
        return restoring.command(name, staged=self.staged, converted=self.converted)


@dataclass(frozen=True, slots=True)
class _Trees:
    """A work tree as two git trees: the index (`staged`) and all files (`whole`)."""

    changes: Changes
    staged: str
    whole: str
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    converted: Converted = NONE_CONVERTED
    marks: tuple[str, ...] = ()


def make(repository: Repository, largest: int) -> Wip | None:
    """Creates the commit, without files larger than `largest` bytes. Returns None if there is no unsaved work.

    Raises SystemFailure, OSError, also if the repository is damaged: see `salvage`.
    """
    return _make(repository, [(tree, _trees(repository, tree, largest)) for tree in repository.worktrees])


def salvage(repository: Repository, largest: int, why: str) -> Wip | None:
    """Like `make`, for a damaged repository: leaves out and names unreadable objects, and reads all files again if necessary.

    Raises SystemFailure, OSError.
    """
    lacks = _Lacks(repository)
    notes = [*repository.notes, f"the repository cannot be saved as it is: {why}"]

    def sound(name: str, commit: str) -> str:
        """Returns the commit; one with the same files if its history is unreadable; "" if its files are unreadable, too."""
        if not commit or not (problem := lacks(commit)):
            return commit
        tree = repository.scratch.git.maybe("rev-parse", "--verify", "--quiet", f"{commit}^{{tree}}")
        if tree and not lacks(tree):
            notes.append(f"{name} is kept without its history: {problem}")
            return repository.scratch.commit(tree, (), f"The files of {commit}\n", LONG_AGO)
        notes.append(f"{name} is left out: {problem}")
        return ""

    def sound_ones(tips: Iterable[Tip]) -> Iterator[Tip]:
        for tip in tips:
            if commit := sound(tip.name, tip.commit):
                yield replace(tip, commit=commit)

    tips, stashes = tuple(sound_ones(repository.tips)), tuple(sound_ones(repository.stashes))
    worktrees = [
        replace(tree, head=sound(f"the commit checked out in {tree.path}", tree.head)) for tree in repository.worktrees
    ]
    whole = replace(repository, tips=tips, stashes=stashes, worktrees=tuple(worktrees), notes=tuple(notes))
    return _make(whole, [(tree, _salvaged(whole, tree, largest, lacks)) for tree in worktrees])


class _Lacks:
    """Returns why objects cannot be packed, "" if they can. Raises SystemFailure."""

    def __init__(self, repository: Repository) -> None:
        self._scratch = repository.scratch
        self._outside = () if self._scratch.lacks((), repository.outside) else repository.outside

    def __call__(self, *objects: str) -> str:
        return self._scratch.lacks(objects, self._outside)


def _make(repository: Repository, trees: list[tuple[Worktree, _Trees]]) -> Wip | None:
    scratch = repository.scratch
    notes = [*repository.notes, *(note for _, its in trees for note in its.notes)]
    tips = [*repository.tips, *repository.stashes]
    named: list[str] = []
    for other, its in trees[1:]:
        if its.changes.files or its.changes.untracked:
            made = _stash(scratch, its, other, other.head or _nothing(scratch), ())
            named.append(refs.component(other.path.name, named))
            tips.append(Tip(f"worktrees/{named[-1]}", made))
    if len(tips) > MAX_TIPS:
        notes.append(f"left out {len(tips) - MAX_TIPS} of {len(tips)} branches, tags and stashes (limit {MAX_TIPS})")
        tips = tips[:MAX_TIPS]
    tree = trees[0][0] if trees else None
    main = trees[0][1] if trees else _Trees(Changes(), scratch.empty_tree(), scratch.empty_tree())
    changed = main.changes.files or main.changes.untracked
    if not (changed or tips or repository.commits):
        return None
    head = tree.head if tree else ""
    base = head or _nothing(scratch)
    commit = _stash(scratch, main, tree, base, tuple(tips))
    state = "\n".join(
        (head, main.staged, main.whole, *(f"{tip.name} {tip.commit}" for tip in tips if "worktrees/" not in tip.name))
    )
    inner = [f.whole + f.staged for _, f in trees[1:]]
    left_out = [name for _, f in trees for name in f.left_out]
    lacking = [ascii((left_out, notes))] if left_out or notes else []  # omissions must be reported, too
    fingerprint = hashlib.sha256("\n".join((state, *inner, *lacking)).encode(errors="surrogateescape")).hexdigest()
    return Wip(
        scratch, commit, base, fingerprint, tuple(tips), tuple(left_out), tuple(notes), _is_staged(scratch, main, base),
        main.converted, tuple(mark for _, its in trees for mark in its.marks),
    )  # fmt: skip


def _trees(repository: Repository, tree: Worktree, largest: int) -> _Trees:
    checkout = Checkout(repository, tree)
    changes = checkout.changes()
    marks = baseline.marks(tree.path, (*changes.files, *changes.untracked))
    if changes.more:
        raise SystemFailure("there are too many changed or untracked files")
    left_out = checkout.too_large(changes, largest)
    staged = checkout.staged()
    notes = [*_notes(repository, tree, checkout, changes)]
    taken = [name for name in (*changes.unstaged, *changes.untracked) if name not in set(left_out)]
    notes += checkout.take(taken)
    whole = checkout.written()
    if not staged:
        notes.append(f"there are conflicts: {_NOT_APART}")
    return _Trees(changes, staged or whole, whole, tuple(left_out), tuple(notes), _converted(checkout, taken), tuple(marks))


def _salvaged(repository: Repository, tree: Worktree, largest: int, lacks: _Lacks) -> _Trees:
    """Like `_trees`, but stores all files from the work tree if an object that `_trees` needs is unreadable."""
    try:
        trees = _trees(repository, tree, largest)
        if not lacks(trees.whole):
            if not lacks(trees.staged):
                return trees
            return replace(trees, staged=trees.whole, notes=(*trees.notes, _NOT_APART))
    except SystemFailure:
        pass  # caused by the damage, which is already noted
    checkout = Checkout(repository, tree)
    changes = checkout.changes()
    names = list(dict.fromkeys((*checkout.names(), *changes.untracked)))
    every = replace(changes, files=tuple(names), unstaged=tuple(names), untracked=())
    marks = baseline.marks(tree.path, names)
    left_out = checkout.too_large(every, largest)
    checkout.forget()
    notes = [*_notes(repository, tree, checkout, changes), _NOT_APART]
    taken = [name for name in names if name not in set(left_out)]
    notes += checkout.take(taken)
    whole = checkout.written()
    return _Trees(every, whole, whole, tuple(left_out), tuple(notes), _converted(checkout, taken), tuple(marks))


def _converted(checkout: Checkout, names: Iterable[str]) -> Converted:
    """Returns no files if git fails, because they are saved in any case."""
    try:
        return Converted.of(files, checkout.links()) if (files := checkout.converted(names)) else NONE_CONVERTED
    except (SystemFailure, OSError):
        return NONE_CONVERTED


_NOT_APART = "staged changes are not saved separately"


def _notes(repository: Repository, tree: Worktree, checkout: Checkout, changes: Changes) -> Iterable[str]:
    trees = [other.path for other in repository.worktrees]
    inner = [tree.path / name for name in changes.inner]
    yield from checkout.notes
    yield from changes.notes
    yield from (f"{path} is a separate repository: not included" for path in inner if not same_as_any(path, trees))


def same_as_any(path: Path, others: Iterable[Path]) -> bool:
    return any(other.exists() and path.samefile(other) for other in others)


def _nothing(scratch: Scratch) -> str:
    """Creates an empty commit to use as the base of a repository without commits."""
    return scratch.commit(scratch.empty_tree(), (), "Nothing was committed yet\n")


def _is_staged(scratch: Scratch, trees: _Trees, base: str) -> bool:
    return trees.staged != scratch.git.line("rev-parse", f"{base}^{{tree}}")


def _stash(scratch: Scratch, trees: _Trees, tree: Worktree | None, base: str, tips: tuple[Tip, ...]) -> str:
    on = _branch(tree)
    listed = "".join(f"{tip.commit} {tip.name}\n" for tip in tips)
    before = dict.fromkeys((base, *(tip.commit for tip in tips)))
    index = scratch.commit(trees.staged, before, f"index on {on}\n" + (f"\nNot pushed:\n{listed}" if listed else ""))
    restored = restoring.command("C", staged=_is_staged(scratch, trees, base), converted=trees.converted)
    return scratch.commit(trees.whole, (base, index), _about(tree, restored, restoring.differing("C", trees.converted), tips))


def _branch(tree: Worktree | None) -> str:
    if tree is None:
        return "no work tree"
    return tree.branch or "a detached HEAD"


def _about(tree: Worktree | None, restored: str, differs: str, tips: tuple[Tip, ...]) -> str:
    message = f"""\
WIP on {_branch(tree)}

Made by Codetainer, separate from the agent's branches. The tree is the work tree with all uncommitted changes, including
untracked files; the first parent is HEAD, the second the index. [skip ci] In a clone, with C for this commit:

    {restored}

This restores the work in ../work and overwrites no file of the clone.
"""
    if differs:
        message += f"\n{differs[0].upper()}{differs[1:]}\n"
    if tips:
        message += "\nThe second parent reaches the unpushed branches, tags and stashes:\n\n"
        message += "".join(f"    {tip.commit} {tip.name}\n" for tip in tips)
    return message
