"""`python3 -I -m backend work count | save | return`: runs as the agent.

The supervisor starts `count` and `save`, which print their result as one JSON object, `codetainer up` starts `return`
(returning.py).
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backend import settings
from backend.contract.events import RepositoryWork, SinceSave
from backend.system import SystemFailure
from backend.work import baseline, place, repository, returning, scratch, wip
from backend.work.baseline import Baseline
from backend.work.checkout import Changes, Checkout
from backend.work.git import last_line
from backend.work.place import CLONE, Place
from backend.work.repository import Repository
from backend.work.wip import Wip

LARGEST = 95 << 20  # GitHub refuses a push with a file of 100 MB
MAX_NAMED = 20


def main(argv: Sequence[str]) -> int:
    variables = settings.environment()
    home, certificates = Path(variables.get("HOME", "/")), variables.get("GIT_SSL_CAINFO", "")
    result: Mapping[str, Any]
    try:
        match argv:
            case ["count", workspace, saved]:
                result = count(Path(workspace), home, Baseline.read(Path(saved)))
            case ["save", folder, url, branch, unless]:
                result = save(Path(folder), url, branch, unless, home, certificates)
            case ["return", workspace]:
                returning.main(Path(workspace), home, returning.Request.read(sys.stdin.buffer), 1)
                return 0
            case _:
                usage = "count WORKSPACE SAVED | save FOLDER URL BRANCH FINGERPRINT | return WORKSPACE"
                sys.stderr.write(f"usage: python3 -I -m backend work {usage}\n")
                return 2
    except (SystemFailure, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


# --- counting ---


def count(workspace: Path, home: Path, saved: Baseline | None = None) -> dict[str, Any]:
    """Returns the unsaved work of every repository in the workspace, with the fields of a WorkCounted event.

    `saved` is the last save of the cloned repository.
    """
    by_folder: dict[Path, RepositoryWork] = {}
    since: SinceSave | None = None
    with scratch.workshop(home) as workshop:
        for candidate in place.find(workspace):
            try:
                if candidate.common not in by_folder:  # else another work tree of a repository already counted
                    read = repository.read(candidate, workshop)
                    work, trees = counted(read)
                    by_folder[read.common] = work
                    if saved is not None and read.path == workspace / CLONE and len(trees) == len(read.worktrees):
                        since = saved.since(read, trees)
            except (SystemFailure, OSError, ValueError) as error:
                by_folder[candidate.common or candidate.folder] = RepositoryWork(
                    str(candidate.folder), notes=(f"cannot be counted: {error}",)
                )
    return {
        "repositories": [dataclasses.asdict(work) for work in by_folder.values()],
        "since": dataclasses.asdict(since) if since else None,
    }


def counted(read: Repository) -> tuple[RepositoryWork, list[tuple[Path, Changes]]]:
    """Counts the unsaved work of one repository. Returns the changes of its work trees, too. Raises OSError."""
    trees: list[tuple[Path, Changes]] = []
    notes = [*read.notes]
    paths = [tree.path for tree in read.worktrees]
    for tree in read.worktrees:
        try:
            checkout = Checkout(read, tree)
            changes = checkout.changes()
        except (SystemFailure, OSError) as error:
            notes.append(f"{tree.path} cannot be counted: {error}")
            continue
        trees.append((tree.path, changes))
        inner = [tree.path / name for name in changes.inner]
        notes += [*checkout.notes, *changes.notes]
        notes += [f"{path} is a separate repository: not examined" for path in inner if not wip.same_as_any(path, paths)]
    changed = [changes for _, changes in trees]
    work = RepositoryWork(
        str(read.path), read.worktrees[0].branch if read.worktrees else "", read.commits,
        sum(len(changes.files) for changes in changed), sum(len(changes.untracked) for changes in changed), len(read.stashes),
        any(changes.more for changes in changed), tuple(notes[:MAX_NAMED]),
    )  # fmt: skip
    return work, trees


# --- saving ---


def save(folder: Path, url: str, branch: str, unless: str, home: Path, certificates: str = "") -> Mapping[str, Any]:
    """Pushes a commit with all unsaved work to `branch` of `url`, unless the work's fingerprint equals `unless`."""
    if not folder.is_dir():
        raise SystemFailure(f"cannot save {folder}: no such folder")
    located = place.locate(folder) or Place(folder, problem="it has no .git")
    with scratch.workshop(home, certificates) as workshop:
        read = repository.read(located, workshop)
        try:
            made = wip.make(read, LARGEST)
            problem = _push(made, url, branch) if made is not None and made.fingerprint != unless else ""
            damage = read.scratch.lacks((made.commit,), read.outside) if made is not None and problem else ""
        except SystemFailure as error:
            problem = damage = str(error)
        if damage:
            made = wip.salvage(read, LARGEST, damage)
            problem = _push(made, url, branch) if made is not None and made.fingerprint != unless else ""
        if problem:
            raise SystemFailure(f"cannot push to {branch}: {problem}")
        if made is None or made.fingerprint == unless:
            return {"fingerprint": made.fingerprint if made else "", "commit": ""}
        return {
            "fingerprint": made.fingerprint, "commit": made.commit, "left_out": [*made.left_out, *made.notes][:MAX_NAMED],
            "kept": baseline.kept((made.base, *(tip.commit for tip in made.tips)), made.marks),
        }  # fmt: skip


def _push(made: Wip, url: str, branch: str) -> str:
    """Pushes the commit. Returns git's error, or "" on success. Raises SystemFailure."""
    done = made.scratch.git.answer("push", "--quiet", "--no-verify", "--force", url, f"{made.commit}:refs/heads/{branch}")
    return last_line(done) if done.code != 0 else ""
