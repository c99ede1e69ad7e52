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

    `needed` are commits that are declared as needed. Raises SystemFailure, OSError.
    """
    named = {"refs/wip": made.commit, **{f"refs/{tip.name}": tip.commit for tip in made.tips}}
    without = b"".join(b"^%s\n" % commit.encode() for commit in outside)
    if needed:
        _by_hand(made.scratch, named, without, needed, out)
        return
    git = made.scratch.git
    git.ask("update-ref", "--stdin", "-z", given=b"".join(b"create %s\0%s\0" % (data(n), c.encode()) for n, c in named.items()))
    wanted = b"".join(data(name) + b"\n" for name in named) + without
    done = git.answer("bundle", "create", "--quiet", "-", "--stdin", given=wanted, seconds=WRITE_SECONDS, stdout=out)
    if done.code != 0:
        raise SystemFailure(f"cannot write the bundle: {last_line(done)}")


def _by_hand(scratch: Scratch, named: dict[str, str], without: bytes, needed: Sequence[str], out: int) -> None:
    """As `git bundle create`, which cannot declare what it does not have itself: `git bundle verify` would call it complete."""
    wanted = b"".join(b"%s\n" % commit.encode() for commit in dict.fromkeys(named.values())) + without
    listed = scratch.git.ask("rev-list", "--boundary", "--stdin", given=wanted).decode().split()
    known = [commit.removeprefix("-") for commit in listed if commit.startswith("-")]
    head = ["# v2 git bundle"] if scratch.kind == "sha1" else ["# v3 git bundle", f"@object-format={scratch.kind}"]
    head += [f"-{commit}" for commit in dict.fromkeys((*known, *needed))]
    lines = b"".join(line.encode() + b"\n" for line in head)
    lines += b"".join(b"%s %s\n" % (commit.encode(), data(name)) for name, commit in named.items()) + b"\n"
    while lines:
        lines = lines[os.write(out, lines) :]
    done = scratch.git.answer(
        "pack-objects", "--revs", "--stdout", "--quiet", "--delta-base-offset", given=wanted, seconds=WRITE_SECONDS, stdout=out
    )
    if done.code != 0:
        raise SystemFailure(f"cannot write the bundle: {last_line(done)}")
