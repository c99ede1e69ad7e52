"""One commit that holds all of a repository's work that is nowhere else, in the form of a stash.

Its tree is the work tree with everything not committed, untracked files too. Its first parent is HEAD, its second the index
(git-stash(1), DISCUSSION), whose further parents are the tips of every other branch, tag and stash that is not pushed. So one
name keeps all of it, and `git stash apply --index` gives back what was staged, what was not, and untracked files. Where nothing
was staged git takes the index for unset and stages the untracked files; `git reset` puts that right (git's builtin/stash.c,
do_apply_stash).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from backend.system import SystemFailure
from backend.work.repository import Repository, Tip, Worktree
from backend.work.scratch import Changes, Scratch

MOST_TIPS = 1000


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
    apply: str  # the command that gives it back, with "{}" for the commit


@dataclass(frozen=True, slots=True)
class _Trees:
    """A work tree as two trees."""

    scratch: Scratch
    changes: Changes
    staged: str
    whole: str
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def make(repository: Repository, below: Path, largest: int) -> Wip | None:
    """Writes the commit below a folder of our own; files larger than `largest` bytes are left out.

    None where there is nothing that is only here. Raises SystemFailure, OSError.
    """
    trees = [(tree, _trees(repository, tree, below, largest)) for tree in repository.worktrees]
    notes = [*repository.notes, *(note for _, found in trees for note in found.notes)]
    tips = [*repository.tips, *repository.stashes]
    for other, its in trees[1:]:
        if its.changes.files or its.changes.untracked:
            made = _stash(its, other, other.head or _nothing(its.scratch), ())
            tips.append(Tip(f"worktrees/{other.path.name}", made))
    if len(tips) > MOST_TIPS:
        notes.append(f"{len(tips) - MOST_TIPS} branches more than {MOST_TIPS} are left out")
        tips = tips[:MOST_TIPS]
    tree = repository.worktrees[0] if trees else None
    found = trees[0][1] if trees else _bare(repository, below)
    changed = found.changes.files or found.changes.untracked
    if not (changed or tips or repository.commits):
        return None
    base = tree.head if tree and tree.head else _nothing(found.scratch)
    commit = _stash(found, tree, base, tuple(tips))
    said = "\n".join(
        (base, found.staged, found.whole, *(f"{tip.name} {tip.commit}" for tip in tips if "worktrees/" not in tip.name))
    )
    inner = [f.whole + f.staged for _, f in trees[1:]]
    left_out = [name for _, f in trees for name in f.left_out]
    lacking = [ascii((left_out, notes))] if left_out or notes else []  # what cannot be saved has to be said, too
    fingerprint = hashlib.sha256("\n".join((said, *inner, *lacking)).encode(errors="surrogateescape")).hexdigest()
    return Wip(found.scratch, commit, base, fingerprint, tuple(tips), tuple(left_out), tuple(notes), _apply(found, base))


def _trees(repository: Repository, tree: Worktree, below: Path, largest: int) -> _Trees:
    scratch = Scratch(repository, tree, below)
    changes = scratch.changes()
    if changes.more:
        raise SystemFailure("cannot commit the work tree: there are too many files that git does not know")
    left_out = scratch.too_large(changes, largest)
    staged = scratch.staged()
    trees = [other.path for other in repository.worktrees]
    inner = [tree.path / name for name in changes.inner]
    notes = [f"{path} is a repository of its own: it is not in here" for path in inner if not same_as_any(path, trees)]
    notes += scratch.take([*left_out, *changes.inner])
    whole = scratch.written()
    if not staged:
        notes.append("there are conflicts: what was staged is not kept apart")
    return _Trees(scratch, changes, staged or whole, whole, tuple(left_out), tuple(notes))


def same_as_any(path: Path, others: Iterable[Path]) -> bool:
    return any(other.exists() and path.samefile(other) for other in others)


def _bare(repository: Repository, below: Path) -> _Trees:
    scratch = Scratch(repository, None, below)
    nothing = scratch.empty_tree()
    return _Trees(scratch, Changes(), nothing, nothing, (), ())


def _nothing(scratch: Scratch) -> str:
    """A commit to stand on where there is none yet."""
    return scratch.commit(scratch.empty_tree(), (), "Nothing was committed yet\n")


def _apply(found: _Trees, base: str) -> str:
    staged = found.staged != found.scratch.git.line("rev-parse", f"{base}^{{tree}}")
    return "git stash apply --index {}" if staged else "git stash apply {} && git reset --quiet"


def _stash(found: _Trees, tree: Worktree | None, base: str, tips: tuple[Tip, ...]) -> str:
    on = _branch(tree)
    listed = "".join(f"{tip.commit} {tip.name}\n" for tip in tips)
    before = dict.fromkeys((base, *(tip.commit for tip in tips)))
    index = found.scratch.commit(found.staged, before, f"index on {on}\n" + (f"\nNot pushed:\n{listed}" if listed else ""))
    return found.scratch.commit(found.whole, (base, index), _about(tree, _apply(found, base), tips))


def _branch(tree: Worktree | None) -> str:
    if tree is None:
        return "no work tree"
    return tree.branch or "a detached HEAD"


def _about(tree: Worktree | None, apply: str, tips: tuple[Tip, ...]) -> str:
    said = f"""\
WIP on {_branch(tree)}

Made by Codetainer beside the agent's branches. The tree is the work tree with all that is not committed, untracked
files too; the first parent is HEAD, the second the index. [skip ci] In a clone at the first parent, with C for this commit:

    {apply.format("C")}
"""
    if tips:
        said += "\nBranches, tags and stashes that were not pushed are reached from the second parent:\n\n"
        said += "".join(f"    {tip.commit} {tip.name}\n" for tip in tips)
    return said
