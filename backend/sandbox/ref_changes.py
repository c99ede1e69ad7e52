"""The refs that commits from a sandbox of `codetainer up --work` get in the operator's repository.

Runs as the owner of the repository. Source: git-update-ref(1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from backend.contract.immutable import dataclass
from backend.sandbox import own_git, own_refs
from backend.sandbox.own_git import why
from backend.sandbox.own_refs import Taken
from backend.sandbox.way_back import DETACHED, HEADS, MAX_BRANCHES, MAX_NOTES, Refused, Result, Returned, Target

Update = tuple[str, str, str]  # a ref, its new commit, and the old one, which is compared; "": the ref must not exist


@dataclass(frozen=True, slots=True)
class _Existing:
    commit: str
    fixed: bool  # checked out in a work tree, or a symbolic ref: not to be changed


@dataclass(frozen=True, slots=True)
class _Change:
    """The new value of one branch's ref. `spare` keeps a commit that the agent has replaced ("": none)."""

    ref: str
    updates: Sequence[Update]
    spare: str = ""


def write(target: Target, fresh: Mapping[str, str], before: Mapping[str, Returned], created: int) -> Result:
    """Sets a ref for each branch: all at once, or, if one of them cannot be set, each of the others."""
    existing = _existing(target.folder)
    taken, chosen = Taken(existing), set[str]()
    changes: dict[str, _Change] = {}
    problems: list[str] = []
    begun = created
    for name, commit in fresh.items():
        change = _change(target, taken, existing, _branch(name), commit, before.get(name))
        if change.ref in chosen:  # two names that become the same one
            change = _new(target, taken, _branch(name), commit)
        new = sum(not old for _, _, old in change.updates)
        if created + new > MAX_BRANCHES:
            problems.append(f"{_branch(name)}: left out, because {MAX_BRANCHES} branches have come back already")
            continue
        created += new
        changes[name] = change
        chosen.add(change.ref)
    if _set(target.folder, [update for change in changes.values() for update in change.updates]):
        for name, change in list(changes.items()):
            if problem := _set(target.folder, change.updates):
                problems.append(f"{_branch(name)}: cannot set {change.ref}: {problem}")
                created -= sum(not old for _, _, old in changes.pop(name).updates)
    returned = {name: Returned(change.ref, fresh[name]) for name, change in changes.items()}
    refused = {name: commit for name, commit in fresh.items() if name not in changes}
    return Result(
        returned,
        refused=refused,
        kept=[change.spare for change in changes.values() if change.spare],
        notes=problems[:MAX_NOTES],
        created=created - begun,
    )


def _branch(name: str) -> str:
    return "detached" if name == DETACHED else name.removeprefix(HEADS)


def _set(folder: Path, updates: Sequence[Update]) -> str:
    """Sets refs, all or none of them. Returns git's error, "" if they are set."""
    text = "".join(
        f"update {ref}\0{commit}\0{old}\0" if old else f"create {ref}\0{commit}\0" for ref, commit, old in updates
    ).encode(errors="surrogateescape")  # fmt: skip
    done = own_git.git(folder, "update-ref", "--stdin", "-z", "--no-deref", stdin=text)
    return "" if done.code == 0 else why(done)


def _existing(folder: Path) -> dict[str, _Existing]:
    """The branches of the operator's repository. Raises Refused."""
    fixed = "%(if)%(symref)%(then)1%(end)%(if)%(worktreepath)%(then)1%(end)"
    done = own_git.git(folder, "for-each-ref", f"--format=%(objectname) -{fixed} %(refname)", "refs/heads")
    if done.code != 0 or not done.whole:
        raise Refused(f"cannot list the repository's branches: {why(done)}")
    found = {}
    for line in done.out.decode(errors="surrogateescape").splitlines():
        commit, state, name = line.split(" ", 2)
        found[name] = _Existing(commit, state != "-")
    return found


def _change(
    target: Target, taken: Taken, existing: Mapping[str, _Existing], branch: str, commit: str, last: Returned | None
) -> _Change:
    """The change for one branch. A ref is replaced only by a descendant of its commit, or if that commit gets another ref.

    A ref that the operator has changed or checked out, or that is left from an earlier sandbox, stays as it is.
    """
    if last is not None:
        now = existing.get(last.ref)
        if now is not None and not now.fixed and now.commit == last.commit:
            if _descends(target.folder, commit, now.commit):
                return _Change(last.ref, [(last.ref, commit, now.commit)])
            spare = taken.free(target.sandbox, branch)
            return _Change(last.ref, [(spare, now.commit, ""), (last.ref, commit, now.commit)], spare)
    plain = own_refs.plain(target.sandbox, branch)
    now = existing.get(plain)
    if now is not None and not now.fixed and _descends(target.folder, commit, now.commit):
        return _Change(plain, [(plain, commit, now.commit)])
    return _new(target, taken, branch, commit)


def _new(target: Target, taken: Taken, branch: str, commit: str) -> _Change:
    ref = taken.free(target.sandbox, branch)
    return _Change(ref, [(ref, commit, "")])


def _descends(folder: Path, commit: str, from_: str) -> bool:
    return own_git.git(folder, "merge-base", "--is-ancestor", from_, commit).code == 0
