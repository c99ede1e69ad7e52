"""A bundle of a commit and all that it reaches. Source: gitformat-bundle(5)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from backend.system import SystemFailure
from backend.work.git import data, last_line
from backend.work.scratch import WRITE_SECONDS, Scratch
from backend.work.wip import Wip


def needs(made: Wip, outside: Iterable[str], near: Iterable[Path]) -> tuple[str, ...]:
    """Commits without which the bundle cannot be read, and which cannot be put into it: a shallow clone does not have them.

    `outside` is in the clone that the bundle goes to. Where the folders of objects `near` have what is missing, it is read from
    there from now on. Raises SystemFailure, OSError.
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
    said = scratch.git.ask("cat-file", "--batch", "--buffer", given="".join(f"{commit}\n" for commit in cut).encode())
    found = (line.removeprefix(b"parent ").decode() for line in said.split(b"\n") if line.startswith(b"parent "))
    return tuple(dict.fromkeys(found))


def _cut(scratch: Scratch, commit: str, outside: Iterable[str]) -> list[str]:
    """The commits among those of the bundle whose parents are not there."""
    if not scratch.shallow:
        return []
    given = f"{commit}\n" + "".join(f"^{one}\n" for one in outside)
    every = set(scratch.git.ask("rev-list", "--stdin", given=given.encode()).decode().split())
    return [one for one in scratch.shallow if one in every]


def write(made: Wip, outside: Sequence[str], needed: Sequence[str], out: int) -> None:
    """Writes it to a descriptor: the commit as `refs/wip`, and what it reaches under its own names.

    `needed` are commits that are declared as needed beside those of `outside`. `git bundle create` can only declare what it has
    itself, and calls the bundle of a shallow clone complete. Raises SystemFailure, OSError.
    """
    git, kind = made.scratch.git, made.scratch.kind
    named = {"refs/wip": made.commit, **{f"refs/{tip.name}": tip.commit for tip in made.tips}}
    wanted = "".join(f"{commit}\n" for commit in dict.fromkeys(named.values())) + "".join(f"^{one}\n" for one in outside)
    listed = git.ask("rev-list", "--boundary", "--stdin", given=wanted.encode()).decode().split()
    known = [commit.removeprefix("-") for commit in listed if commit.startswith("-")]
    head = ["# v2 git bundle"] if kind == "sha1" else ["# v3 git bundle", f"@object-format={kind}"]
    head += [f"-{commit}" for commit in dict.fromkeys((*known, *needed))]
    head += [f"{commit} {name}" for name, commit in named.items()]
    lines = data("".join(f"{line}\n" for line in head) + "\n")
    while lines:
        lines = lines[os.write(out, lines) :]
    arguments = ("--revs", "--thin", "--stdout", "--quiet", "--delta-base-offset")
    done = git.answer("pack-objects", *arguments, given=wanted.encode(), seconds=WRITE_SECONDS, stdout=out)
    if done.code != 0:
        raise SystemFailure(f"cannot write the bundle: {last_line(done)}")
