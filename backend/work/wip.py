"""One commit that holds all of a repository's work that is nowhere else, in the form of a stash.

Its tree is the work tree with everything not committed, untracked files too. Its first parent is HEAD, its second the index
(git-stash(1), DISCUSSION), whose further parents are the tips of every other branch, tag and stash that is not pushed. So one
name keeps all of it, and `git stash apply --index` gives back what was staged, what was not, and untracked files. Where nothing
was staged git takes the index for unset and stages the untracked files; `git reset` puts that right (git's builtin/stash.c,
do_apply_stash). Files that attributes would change on checkout are then written again, byte for byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from backend.system import SystemFailure
from backend.work import refs, restoring
from backend.work.checkout import Changes, Checkout
from backend.work.commits import Tip
from backend.work.repository import Repository, Worktree
from backend.work.scratch import Scratch

MAX_TIPS = 1000
LONG_AGO = "@0 +0000"  # what is made of the same files is the same commit each time


@dataclass(frozen=True, slots=True)
class Wip:
    """`commit` in `scratch`, where it has no name yet. `tips` is what it reaches.

    `fingerprint` changes with the work alone, and with what of it is left out.
    """

    scratch: Scratch
    commit: str
    base: str
    fingerprint: str
    tips: tuple[Tip, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    staged: bool  # something was staged
    converted: tuple[str, ...] = ()  # files that git would change on checkout, see Checkout.converted

    def restore(self, name: str) -> str:
        """The command that restores it beside a clone in which it has this name; see `restoring.command`."""
        return restoring.command(name, staged=self.staged, converted=self.converted)


@dataclass(frozen=True, slots=True)
class _Trees:
    """A work tree as two trees."""

    changes: Changes
    staged: str
    whole: str
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()


def make(repository: Repository, largest: int) -> Wip | None:
    """Writes the commit; files larger than `largest` bytes are left out.

    None if there is nothing that is only here. Raises SystemFailure, OSError, also if the repository is damaged: see `salvage`.
    """
    return _make(repository, [(tree, _trees(repository, tree, largest)) for tree in repository.worktrees])


def salvage(repository: Repository, largest: int, why: str) -> Wip | None:
    """As `make`, from a repository that is damaged: what cannot be read is left out and named, files are all read anew.

    Raises SystemFailure, OSError.
    """
    lacks = _Lacks(repository)
    notes = [*repository.notes, f"the repository is damaged: {why}"]

    def sound(name: str, commit: str) -> str:
        """The commit; if its history cannot be read another one with its files; "" if those cannot be read either."""
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
    worktrees = [replace(tree, head=sound(f"the commit that {tree.path} is at", tree.head)) for tree in repository.worktrees]
    whole = replace(repository, tips=tips, stashes=stashes, worktrees=tuple(worktrees), notes=tuple(notes))
    return _make(whole, [(tree, _salvaged(whole, tree, largest, lacks)) for tree in worktrees])


class _Lacks:
    """Why an object cannot be handed on, "" if it can. Raises SystemFailure."""

    def __init__(self, repository: Repository) -> None:
        self._scratch = repository.scratch
        self._outside = () if self._scratch.lacks((), repository.outside) else repository.outside

    def __call__(self, *objects: str) -> str:
        return self._scratch.lacks(objects, self._outside)


def _make(repository: Repository, trees: list[tuple[Worktree, _Trees]]) -> Wip | None:
    scratch = repository.scratch
    notes = [*repository.notes, *(note for _, found in trees for note in found.notes)]
    tips = [*repository.tips, *repository.stashes]
    named: list[str] = []
    for other, its in trees[1:]:
        if its.changes.files or its.changes.untracked:
            made = _stash(scratch, its, other, other.head or _nothing(scratch), ())
            named.append(refs.component(other.path.name, named))
            tips.append(Tip(f"worktrees/{named[-1]}", made))
    if len(tips) > MAX_TIPS:
        notes.append(f"{len(tips) - MAX_TIPS} branches more than {MAX_TIPS} are left out")
        tips = tips[:MAX_TIPS]
    tree = trees[0][0] if trees else None
    found = trees[0][1] if trees else _Trees(Changes(), scratch.empty_tree(), scratch.empty_tree())
    changed = found.changes.files or found.changes.untracked
    if not (changed or tips or repository.commits):
        return None
    head = tree.head if tree else ""
    base = head or _nothing(scratch)
    commit = _stash(scratch, found, tree, base, tuple(tips))
    said = "\n".join(
        (head, found.staged, found.whole, *(f"{tip.name} {tip.commit}" for tip in tips if "worktrees/" not in tip.name))
    )
    inner = [f.whole + f.staged for _, f in trees[1:]]
    left_out = [name for _, f in trees for name in f.left_out]
    lacking = [ascii((left_out, notes))] if left_out or notes else []  # what cannot be saved has to be said, too
    fingerprint = hashlib.sha256("\n".join((said, *inner, *lacking)).encode(errors="surrogateescape")).hexdigest()
    return Wip(
        scratch, commit, base, fingerprint, tuple(tips), tuple(left_out), tuple(notes), _is_staged(scratch, found, base),
        found.converted,
    )  # fmt: skip


def _trees(repository: Repository, tree: Worktree, largest: int) -> _Trees:
    checkout = Checkout(repository, tree)
    changes = checkout.changes()
    if changes.more:
        raise SystemFailure("cannot commit the work tree: there are too many files that git does not know")
    left_out = checkout.too_large(changes, largest)
    staged = checkout.staged()
    notes = [*_notes(repository, tree, checkout, changes)]
    taken = [name for name in (*changes.unstaged, *changes.untracked) if name not in set(left_out)]
    notes += checkout.take(taken)
    whole = checkout.written()
    if not staged:
        notes.append("there are conflicts: what was staged is not kept apart")
    return _Trees(changes, staged or whole, whole, tuple(left_out), tuple(notes), _converted(checkout, taken))


def _salvaged(repository: Repository, tree: Worktree, largest: int, lacks: _Lacks) -> _Trees:
    """As `_trees`; where that would need an object that cannot be read, all files are taken as they are."""
    try:
        found = _trees(repository, tree, largest)
        if not lacks(found.whole):
            if not lacks(found.staged):
                return found
            return replace(found, staged=found.whole, notes=(*found.notes, _NOT_APART))
    except SystemFailure:
        pass  # of the same damage, which is named
    checkout = Checkout(repository, tree)
    changes = checkout.changes()
    names = list(dict.fromkeys((*checkout.names(), *changes.untracked)))
    every = replace(changes, files=tuple(names), unstaged=tuple(names), untracked=())
    left_out = checkout.too_large(every, largest)
    checkout.forget()
    notes = [*_notes(repository, tree, checkout, changes), _NOT_APART]
    taken = [name for name in names if name not in set(left_out)]
    notes += checkout.take(taken)
    whole = checkout.written()
    return _Trees(every, whole, whole, tuple(left_out), tuple(notes), _converted(checkout, taken))


def _converted(checkout: Checkout, names: Iterable[str]) -> tuple[str, ...]:
    """As Checkout.converted; none if git cannot tell, since the files themselves are saved all the same."""
    try:
        return tuple(checkout.converted(names))
    except (SystemFailure, OSError):
        return ()


_NOT_APART = "what was staged is not kept apart"


def _notes(repository: Repository, tree: Worktree, checkout: Checkout, changes: Changes) -> Iterable[str]:
    trees = [other.path for other in repository.worktrees]
    inner = [tree.path / name for name in changes.inner]
    yield from checkout.notes
    yield from changes.notes
    yield from (f"{path} is a repository of its own: it is not in here" for path in inner if not same_as_any(path, trees))


def same_as_any(path: Path, others: Iterable[Path]) -> bool:
    return any(other.exists() and path.samefile(other) for other in others)


def _nothing(scratch: Scratch) -> str:
    """A commit to stand on where there is none."""
    return scratch.commit(scratch.empty_tree(), (), "Nothing was committed yet\n")


def _is_staged(scratch: Scratch, found: _Trees, base: str) -> bool:
    return found.staged != scratch.git.line("rev-parse", f"{base}^{{tree}}")


def _stash(scratch: Scratch, found: _Trees, tree: Worktree | None, base: str, tips: tuple[Tip, ...]) -> str:
    on = _branch(tree)
    listed = "".join(f"{tip.commit} {tip.name}\n" for tip in tips)
    before = dict.fromkeys((base, *(tip.commit for tip in tips)))
    index = scratch.commit(found.staged, before, f"index on {on}\n" + (f"\nNot pushed:\n{listed}" if listed else ""))
    restored = restoring.command("C", staged=_is_staged(scratch, found, base), converted=found.converted)
    return scratch.commit(found.whole, (base, index), _about(tree, restored, restoring.differing("C", found.converted), tips))


def _branch(tree: Worktree | None) -> str:
    if tree is None:
        return "no work tree"
    return tree.branch or "a detached HEAD"


def _about(tree: Worktree | None, restored: str, differs: str, tips: tuple[Tip, ...]) -> str:
    message = f"""\
WIP on {_branch(tree)}

Made by Codetainer beside the agent's branches. The tree is the work tree with all that is not committed, untracked
files too; the first parent is HEAD, the second the index. [skip ci] In a clone, with C for this commit:

    {restored}

It is laid out in ../work, so that no file of the clone's is overwritten.
"""
    if differs:
        message += f"\n{differs[0].upper()}{differs[1:]}\n"
    if tips:
        message += "\nBranches, tags and stashes that were not pushed are reached from the second parent:\n\n"
        message += "".join(f"    {tip.commit} {tip.name}\n" for tip in tips)
    return message
