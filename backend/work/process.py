"""`python3 -I -m backend work count | save`: as the agent, by the supervisor. Says what came of it as one JSON object."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backend import settings
from backend.contract.events import RepositoryWork
from backend.system import SystemFailure
from backend.work import git, repository, scratch, wip
from backend.work.git import Git, last_line
from backend.work.repository import Repository
from backend.work.scratch import Scratch

LARGEST = 95 << 20  # GitHub refuses a push with a file of 100 MB
MOST_NAMED = 20


def main(argv: Sequence[str]) -> int:
    environment = git.environment(settings.environment())
    said: Mapping[str, Any]
    try:
        match argv:
            case ["count", workspace]:
                said = count(Path(workspace), environment)
            case ["save", folder, url, branch, unless]:
                said = save(Git(environment, Path(folder)), url, branch, unless)
            case _:
                sys.stderr.write("usage: python3 -I -m backend work count WORKSPACE | save FOLDER URL BRANCH FINGERPRINT\n")
                return 2
    except (SystemFailure, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(said) + "\n")
    return 0


# --- counting ---


def count(workspace: Path, environment: dict[str, str]) -> dict[str, Any]:
    """What every repository of the workspace has that is nowhere else, as a WorkCounted event has it."""
    below = scratch.folder(environment)
    try:
        found: dict[Path, RepositoryWork] = {}
        for place in repository.find(workspace, environment):
            try:
                read = repository.read(place)
                if read.common not in found:  # else another work tree of one that is counted
                    found[read.common] = counted(read, below / str(len(found)))
            except (SystemFailure, OSError, ValueError) as error:
                found[place.folder] = RepositoryWork(str(place.folder), notes=(f"cannot be counted: {error}",))
    finally:
        shutil.rmtree(below, ignore_errors=True)
    return {"repositories": [dataclasses.asdict(work) for work in found.values()]}


def counted(read: Repository, below: Path) -> RepositoryWork:
    """Raises SystemFailure, OSError."""
    below.mkdir()
    changes = [Scratch(read, tree, below).changes() for tree in read.worktrees]
    trees = [tree.path for tree in read.worktrees]
    inner = [tree.path / name for tree, found in zip(read.worktrees, changes, strict=True) for name in found.inner]
    notes = [f"{path} is a repository of its own: not looked into" for path in inner if not wip.same_as_any(path, trees)]
    return RepositoryWork(
        str(read.path), read.worktrees[0].branch if read.worktrees else "", read.commits,
        sum(len(found.files) for found in changes), sum(len(found.untracked) for found in changes), len(read.stashes),
        any(found.more for found in changes), (*read.notes, *notes[:MOST_NAMED]),
    )  # fmt: skip


# --- saving ---


def save(place: Git, url: str, branch: str, unless: str) -> Mapping[str, Any]:
    """Pushes a commit with all of it to `branch` of `url`, unless the work is what it was at `unless`, a fingerprint."""
    below = scratch.folder(dict(place.environment))
    try:
        made = wip.make(repository.read(place), below, LARGEST)
        if made is None or made.fingerprint == unless:
            return {"fingerprint": made.fingerprint if made else "", "commit": ""}
        done = made.scratch.git.answer("push", "--quiet", "--no-verify", "--force", url, f"{made.commit}:refs/heads/{branch}")
        if done.code != 0:
            raise SystemFailure(f"cannot push to {branch}: {last_line(done)}")
        return {
            "fingerprint": made.fingerprint, "commit": made.commit, "left_out": [*made.left_out, *made.notes][:MOST_NAMED],
        }  # fmt: skip
    finally:
        shutil.rmtree(below, ignore_errors=True)
