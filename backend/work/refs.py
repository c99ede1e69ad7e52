"""The refs of a repository, read without git: one that cannot be read does not hide the others.

What is not in a file's own place is taken from its reflog: a machine or a file system that stops leaves empty files behind.
Sources: gitrepository-layout(5), git-pack-refs(1), git-check-ref-format(1), git-reflog(1).
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from backend.work.git import Git, last_line, text
from backend.work.place import contents, locate

MAX_REFS = 100_000
MAX_LINKS = 5  # symbolic refs that name each other (git's SYMREF_MAXDEPTH)
OBJECT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_PACKED = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64}) (refs/\S+)\Z")
_INVALID = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|[/.]\Z|\A/|(?:\A|/)\.|\.lock(?:/|\Z)")


@dataclass(frozen=True, slots=True)
class Refs:
    """`values`: the object of each ref by its whole name; whether that exists is not known yet. `stashes`: the latest first."""

    values: Mapping[str, str]
    stashes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """`commit` is "" before the first one, `branch` if HEAD is detached. `note`: what could not be read."""

    branch: str = ""
    commit: str = ""
    note: str = ""


def read(common: Path) -> Refs:
    """Refs as files: loose ones, and packed ones where there is no loose one."""
    notes: list[str] = []
    values = dict(_packed(common, notes))
    links: dict[str, str] = {}
    for name, said in _loose(common, notes):
        if said.startswith("ref: "):
            links[name] = said.removeprefix("ref: ").strip()
        elif OBJECT.match(said):
            values[name] = said
        elif last := _last(common / "logs" / name):
            values[name] = last
            notes.append(f"{name} cannot be read: taken from its reflog")
        else:
            notes.append(f"{name} cannot be read" + (": an older value of it is kept" if name in values else ""))
    for name, leads_to in links.items():
        target = leads_to
        for _ in range(MAX_LINKS):
            target = links.get(target, target)
        if target in values:
            values[name] = values[target]
    return Refs(values, _entries(common / "logs/refs/stash"), tuple(notes))


def head(own: Path, refs: Refs) -> Head:
    """Where HEAD of a work tree is, by the git folder of that work tree."""
    try:
        path = own / "HEAD"
        said = f"ref: {path.readlink()}" if path.is_symlink() else (contents(path) or b"").decode(errors="replace").strip()
    except OSError as error:
        said, why = "", f": {error.strerror}"
    else:
        why = ""
    if said.startswith("ref: refs/"):
        name = said.removeprefix("ref: ").strip()
        return Head(name.removeprefix("refs/heads/"), refs.values.get(name, ""))
    if OBJECT.match(said):
        return Head("", said)
    if last := _last(own / "logs/HEAD"):
        return Head("", last, f"HEAD cannot be read{why}: taken from its reflog")
    return Head("", "", f"HEAD cannot be read{why}")


def commit_at(folder: Path) -> str:
    """The commit that a repository's work tree is at; "" if the folder holds none, or it cannot be told."""
    place = locate(folder)
    if place is None or place.own is None or place.common is None:
        return ""
    return head(place.own, read(place.common)).commit


def _packed(common: Path, notes: list[str]) -> Iterator[tuple[str, str]]:
    try:
        said = contents(common / "packed-refs")
    except FileNotFoundError:
        return
    except OSError as error:
        notes.append(f"packed-refs cannot be read: {error.strerror}")
        return
    if said is None:
        notes.append("packed-refs cannot be read: it is no file, or too large")
        return
    odd = 0
    for line in text(said).split("\n"):
        if found := _PACKED.match(line):
            if not _INVALID.search(found[2]):
                yield found[2], found[1]
        elif line and line[0] not in "#^":
            odd += 1
    if odd:
        notes.append(f"packed-refs is damaged: {odd} lines of it cannot be read")


def _loose(common: Path, notes: list[str]) -> Iterator[tuple[str, str]]:
    """Each file below refs/ whose name is one of a ref, and what it holds."""
    waiting, found = ["refs"], 0
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(os.scandir(common / folder), key=lambda entry: entry.name)
        except OSError as error:
            notes.append(f"{folder} cannot be read: {error.strerror}")
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                waiting.append(name)
                continue
            if _INVALID.search(name):
                continue  # a lock, or what no git takes for a ref either
            found += 1
            if found > MAX_REFS:
                notes.append(f"there are more than {MAX_REFS} refs: the rest is not looked into")
                return
            try:
                if entry.is_symlink() and (target := str(Path(entry.path).readlink())).startswith("refs/"):
                    yield name, f"ref: {target}"  # as old versions of git made symbolic refs
                else:
                    yield name, (contents(common / name) or b"").decode(errors="replace").strip()
            except OSError as error:
                notes.append(f"{name} cannot be read: {error.strerror}")


def _entries(log: Path) -> tuple[str, ...]:
    """The commits of a reflog, the latest first. A line is `OLD NEW NAME <EMAIL> TIME ZONE<tab>WHY`."""
    try:
        said = contents(log) or b""
    except OSError:
        return ()
    found = [line.split(" ", 2)[1] for line in said.decode(errors="replace").splitlines() if line.count(" ") > 1]
    return tuple(commit for commit in reversed(found) if OBJECT.match(commit) and commit.strip("0"))


def _last(log: Path) -> str:
    return next(iter(_entries(log)), "")


def component(name: str, taken: Collection[str]) -> str:
    """What stands for a folder's name in a ref: git does not allow every character there. None of those that are taken."""
    short = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "tree"
    return next(found for number in itertools.count(1) if (found := short if number == 1 else f"{short}-{number}") not in taken)


def of_tables(git: Git) -> tuple[Refs, Head]:
    """Refs in git's other format, reftable, by git itself: from 2.45 on it knows it. `git` runs in a view of them."""
    done = git.answer("for-each-ref", "--format=%(objectname) %(refname)")
    if done.code != 0 or not done.whole:
        return Refs({}, (), (f"its refs cannot be read: {last_line(done)}",)), Head()
    values = {name: commit for commit, _, name in (line.partition(" ") for line in text(done.out).splitlines())}
    name = git.maybe("symbolic-ref", "--quiet", "HEAD")
    commit = values.get(name, "") if name else git.maybe("rev-parse", "--verify", "--quiet", "HEAD")
    stashes = git.maybe("rev-list", "--walk-reflogs", "refs/stash").split() if "refs/stash" in values else []
    return Refs(values, tuple(stashes)), Head(name.removeprefix("refs/heads/"), commit)
