"""A bundle of a commit and everything reachable from it. Source: gitformat-bundle(5)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from backend.system import SystemFailure
from backend.work.git import data, last_line
from backend.work.scratch import WRITE_SECONDS, Scratch
from backend.work.wip import Wip


def needs(made: Wip, outside: Iterable[str], near: Iterable[Path]) -> tuple[str, ...]:
    """Returns the commits that a reader of the bundle must already have because this shallow clone lacks them.

    The receiving clone has the commits `outside`. If the object folders `near` contain the missing history, `made.scratch`
    reads it from there from now on, and nothing is needed. Raises SystemFailure, OSError.
    """
    scratch = made.scratch
    cut = _cut(scratch, made.commit, outside)
    if not cut:
        return ()
    before = scratch.shallow
    for objects in near:
        scratch.read_also(objects)
    scratch.be_shallow(())
    if not scratch.lacks((made.commit,), outside):
        return ()
    scratch.be_shallow(before)
    output = scratch.git.ask("cat-file", "--batch", "--buffer", stdin="".join(f"{commit}\n" for commit in cut).encode())
    parents = (line.removeprefix(b"parent ").decode() for line in output.split(b"\n") if line.startswith(b"parent "))
    return tuple(dict.fromkeys(parents))


def _cut(scratch: Scratch, commit: str, outside: Iterable[str]) -> list[str]:
    """Returns the bundle's commits whose parents are missing."""
    if not scratch.shallow:
        return []
    revisions = f"{commit}\n" + "".join(f"^{known}\n" for known in outside)
    included = set(scratch.git.ask("rev-list", "--stdin", stdin=revisions.encode()).decode().split())
    return [commit for commit in scratch.shallow if commit in included]


def write(made: Wip, outside: Sequence[str], needed: Sequence[str], out: int) -> None:
    """Writes the bundle to the descriptor `out`: the commit as `refs/wip`, its tips under their own names.

    `needed` are prerequisites in addition to those from `outside`. `git bundle create` can declare only commits that it has
    itself, so it would call the bundle of a shallow clone complete. Raises SystemFailure, OSError.
    """
    git, kind = made.scratch.git, made.scratch.kind
    names = {"refs/wip": made.commit, **{f"refs/{tip.name}": tip.commit for tip in made.tips}}
    revisions = "".join(f"{commit}\n" for commit in dict.fromkeys(names.values())) + "".join(f"^{known}\n" for known in outside)
    listed = git.ask("rev-list", "--boundary", "--stdin", stdin=revisions.encode()).decode().split()
    boundary = [commit.removeprefix("-") for commit in listed if commit.startswith("-")]
    head = ["# v2 git bundle"] if kind == "sha1" else ["# v3 git bundle", f"@object-format={kind}"]
    head += [f"-{commit}" for commit in dict.fromkeys((*boundary, *needed))]
    head += [f"{commit} {name}" for name, commit in names.items()]
    lines = data("".join(f"{line}\n" for line in head) + "\n")
    while lines:
        lines = lines[os.write(out, lines) :]
    arguments = ("--revs", "--thin", "--stdout", "--quiet", "--delta-base-offset")
    done = git.answer("pack-objects", *arguments, stdin=revisions.encode(), seconds=WRITE_SECONDS, stdout=out)
    if done.code != 0:
        raise SystemFailure(f"cannot write the bundle: {last_line(done)}")
