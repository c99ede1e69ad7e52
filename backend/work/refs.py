"""Reads a repository's refs without git, so that one unreadable ref does not hide the others.

If a ref's file is empty or damaged, as after a crash of the machine, the value comes from the ref's reflog.
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
MAX_LINKS = 5  # in a chain of symbolic refs (git's SYMREF_MAXDEPTH)
OBJECT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_PACKED = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64}) (refs/\S+)\Z")
_INVALID = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|[/.]\Z|\A/|(?:\A|/)\.|\.lock(?:/|\Z)")


@dataclass(frozen=True, slots=True)
class Refs:
    """The refs of one repository.

    `values` maps full names to objects, which may not exist. `stashes` are commits, the latest first. `notes`: what could not
    be read.
    """

    values: Mapping[str, str]
    stashes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """HEAD of a work tree. `commit` is "" before the first commit, `branch` is "" if HEAD is detached.

    `note`: what could not be read.
    """

    branch: str = ""
    commit: str = ""
    note: str = ""


def read(common: Path) -> Refs:
    """Reads refs from files: the loose ones, and packed ones that have no loose file."""
    notes: list[str] = []
    values = dict(_packed(common, notes))
    links: dict[str, str] = {}
    for name, content in _loose(common, notes):
        if content.startswith("ref: "):
            links[name] = content.removeprefix("ref: ").strip()
        elif OBJECT.match(content):
            values[name] = content
        elif last := _last(common / "logs" / name):
            values[name] = last
            notes.append(f"{name} cannot be read: taken from its reflog")
        else:
            notes.append(f"{name} cannot be read" + (": using an older value" if name in values else ""))
    for name, leads_to in links.items():
        target = leads_to
        for _ in range(MAX_LINKS):
            target = links.get(target, target)
        if target in values:
            values[name] = values[target]
    return Refs(values, _entries(common / "logs/refs/stash"), tuple(notes))


def head(own: Path, refs: Refs) -> Head:
    """Reads HEAD from a work tree's git folder."""
    try:
        path = own / "HEAD"
        content = f"ref: {path.readlink()}" if path.is_symlink() else (contents(path) or b"").decode(errors="replace").strip()
    except OSError as error:
        content, why = "", f": {error.strerror}"
    else:
        why = ""
    if content.startswith("ref: refs/"):
        name = content.removeprefix("ref: ").strip()
        return Head(name.removeprefix("refs/heads/"), refs.values.get(name, ""))
    if OBJECT.match(content):
        return Head("", content)
    if last := _last(own / "logs/HEAD"):
        return Head("", last, f"HEAD cannot be read{why}: taken from its reflog")
    return Head("", "", f"HEAD cannot be read{why}")


def commit_at(folder: Path) -> str:
    """Returns the commit that is checked out in a folder; "" if the folder has no repository or HEAD is unreadable."""
    place = locate(folder)
    if place is None or place.own is None or place.common is None:
        return ""
    return head(place.own, read(place.common)).commit


def _packed(common: Path, notes: list[str]) -> Iterator[tuple[str, str]]:
    try:
        content = contents(common / "packed-refs")
    except FileNotFoundError:
        return
    except OSError as error:
        notes.append(f"packed-refs cannot be read: {error.strerror}")
        return
    if content is None:
        notes.append("packed-refs cannot be read: not a regular file, or too large")
        return
    damaged = 0
    for line in text(content).split("\n"):
        if match := _PACKED.match(line):
            if not _INVALID.search(match[2]):
                yield match[2], match[1]
        elif line and line[0] not in "#^":
            damaged += 1
    if damaged:
        notes.append(f"packed-refs is damaged: {damaged} {'line' if damaged == 1 else 'lines'} cannot be read")


def _loose(common: Path, notes: list[str]) -> Iterator[tuple[str, str]]:
    """Yields the name and contents of each file below refs/ that has a valid ref name."""
    folders, count = ["refs"], 0
    while folders:
        folder = folders.pop()
        try:
            entries = sorted(os.scandir(common / folder), key=lambda entry: entry.name)
        except OSError as error:
            notes.append(f"{folder} cannot be read: {error.strerror}")
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                folders.append(name)
                continue
            if _INVALID.search(name):
                continue  # a lock file, or a name that git rejects, too
            count += 1
            if count > MAX_REFS:
                notes.append(f"there are more than {MAX_REFS} refs: the rest are not examined")
                return
            try:
                if entry.is_symlink() and (target := str(Path(entry.path).readlink())).startswith("refs/"):
                    yield name, f"ref: {target}"  # old versions of git made symbolic refs like this
                else:
                    yield name, (contents(common / name) or b"").decode(errors="replace").strip()
            except OSError as error:
                notes.append(f"{name} cannot be read: {error.strerror}")


def _entries(log: Path) -> tuple[str, ...]:
    """Returns the commits of a reflog, the latest first. A line is `OLD NEW NAME <EMAIL> TIME ZONE<tab>REASON`."""
    try:
        content = contents(log) or b""
    except OSError:
        return ()
    commits = [line.split(" ", 2)[1] for line in content.decode(errors="replace").splitlines() if line.count(" ") > 1]
    return tuple(commit for commit in reversed(commits) if OBJECT.match(commit) and commit.strip("0"))


def _last(log: Path) -> str:
    return next(iter(_entries(log)), "")


def component(name: str, taken: Collection[str]) -> str:
    """Turns a folder's name into a valid part of a ref name that is not in `taken`."""
    short = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "tree"
    candidates = (short if number == 1 else f"{short}-{number}" for number in itertools.count(1))
    return next(candidate for candidate in candidates if candidate not in taken)


def of_tables(git: Git) -> tuple[Refs, Head]:
    """Reads refs in the reftable format through git, which supports it since 2.45. `git` is from scratch.table_view."""
    done = git.answer("for-each-ref", "--format=%(objectname) %(refname)")
    if done.code != 0 or not done.whole:
        return Refs({}, (), (f"its refs cannot be read: {last_line(done)}",)), Head()
    values = {name: commit for commit, _, name in (line.partition(" ") for line in text(done.out).splitlines())}
    name = git.maybe("symbolic-ref", "--quiet", "HEAD")
    commit = values.get(name, "") if name else git.maybe("rev-parse", "--verify", "--quiet", "HEAD")
    stashes = git.maybe("rev-list", "--walk-reflogs", "refs/stash").split() if "refs/stash" in values else []
    return Refs(values, tuple(stashes)), Head(name.removeprefix("refs/heads/"), commit)
