"""Reads a repository's refs without git, so that one unreadable ref does not hide the others.

If a ref's file is empty or damaged, as after a crash of the machine, the value comes from the ref's reflog.
If there are too many refs, the branches that are checked out and the agent's other refs come before remote-tracking ones.
Without a remote-tracking ref, more commits count as unpushed, but none is lost.
Sources: gitrepository-layout(5), git-pack-refs(1), git-check-ref-format(1), git-reflog(1).
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from backend.contract.immutable import dataclass
from backend.work import reftable
from backend.work.git import text
from backend.work.place import contents, locate, opened

MAX_LOOSE = 200_000  # files and folders below refs/; git packs refs long before
MAX_PACKED = 500_000  # remote-tracking refs in packed-refs, and as many others; the largest public repositories have fewer
MAX_PACKED_BYTES = 256 << 20
MAX_LINE = 64 << 10  # bytes of a line in packed-refs
MAX_LOG = 4 << 20  # bytes that are read at the end of a reflog
MAX_LAST = 64 << 10  # bytes at the end of a reflog that are searched for its last entry
MAX_HEADS = 100  # work trees whose branches are read first
FIRST, LAST = ("heads", "tags"), "remotes"  # folders of refs/ that are read before and after the others
MAX_LINKS = 5  # in a chain of symbolic refs (git's SYMREF_MAXDEPTH)
OBJECT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_PACKED = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64}) (refs/\S+)\Z")
INVALID = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|[/.]\Z|\A/|(?:\A|/)\.|\.lock(?:/|\Z)")


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
    """Reads refs from files: the loose ones, and packed ones that have no loose file; and from tables (reftable)."""
    notes: list[str] = []
    values = dict(_packed(common, notes))
    links: dict[str, str] = {}
    tables = _tables(common, notes)
    # Where refs are in tables, the file refs/heads keeps older versions of git from using the repository.
    loose = () if tables is not None and not (common / "refs/heads").is_dir() else _loose(common, notes)
    for name, content in (*loose, *(tables.refs.items() if tables is not None else ())):
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
    stashes, complete = _entries(common / "logs/refs/stash", MAX_LOG)
    if tables is not None:
        stashes = tuple(dict.fromkeys((*tables.stashes, *stashes)))
    if not complete:
        notes.append(f"the list of stashes is larger than {MAX_LOG >> 20} MB: only the latest {len(stashes)} are examined")
    return Refs(values, stashes, tuple(notes))


def head(own: Path, refs: Refs) -> Head:
    """Reads HEAD from a work tree's git folder."""
    try:
        path = own / "HEAD"
        content = f"ref: {path.readlink()}" if path.is_symlink() else (contents(path) or b"").decode(errors="replace").strip()
    except OSError as error:
        content, why = "", f": {error.strerror}"
    else:
        why = ""
    if content == reftable.HEAD:
        content = reftable.stack(own / "reftable").refs.get("HEAD", "")  # each work tree has a stack of its own
        why = ": its tables (reftable) do not have it"
    if content.startswith("ref: refs/"):
        name = content.removeprefix("ref: ").strip()
        return Head(name.removeprefix("refs/heads/"), refs.values.get(name, ""))
    if OBJECT.match(content):
        return Head("", content)
    if last := _last(own / "logs/HEAD"):
        return Head("", last, f"HEAD cannot be read{why}: taken from its reflog")
    return Head("", "", f"HEAD cannot be read{why}")


def _tables(common: Path, notes: list[str]) -> reftable.Stack | None:
    """Returns the refs that are in tables, None if the repository does not use that format."""
    try:
        stub = (contents(common / "HEAD") or b"").decode(errors="replace").strip() == reftable.HEAD
    except OSError:
        stub = False
    if not stub and not (common / "reftable/tables.list").exists():
        return None
    tables = reftable.stack(common / "reftable")
    notes += tables.notes
    tables.refs = {name: value for name, value in tables.refs.items() if name.startswith("refs/") and not INVALID.search(name)}
    return tables


def commit_at(folder: Path) -> str:
    """Returns the commit that is checked out in a folder; "" if the folder has no repository or HEAD is unreadable."""
    place = locate(folder)
    if place is None or place.own is None or place.common is None:
        return ""
    return head(place.own, read(place.common)).commit


def _packed(common: Path, notes: list[str]) -> Iterator[tuple[str, str]]:
    try:
        file = opened(common / "packed-refs")
    except FileNotFoundError:
        return
    except OSError as error:
        notes.append(f"packed-refs cannot be read: {error.strerror}")
        return
    if file is None:
        notes.append("packed-refs cannot be read: not a regular file")
        return
    damaged, size, remote, own = 0, 0, 0, 0
    with file:
        while line := file.readline(MAX_LINE):
            size += len(line)
            if size > MAX_PACKED_BYTES:
                notes.append(f"packed-refs is larger than {MAX_PACKED_BYTES >> 20} MB: the rest is not examined")
                break
            match = _PACKED.match(text(line.rstrip(b"\n")))
            if match is None:
                damaged += line.strip() != b"" and line[:1] not in b"#^"
                continue
            if INVALID.search(match[2]):
                continue
            if is_remote := match[2].startswith(f"refs/{LAST}/"):
                remote += 1
            else:
                own += 1
            if (remote if is_remote else own) <= MAX_PACKED:
                yield match[2], match[1]
    if damaged:
        notes.append(f"packed-refs is damaged: {damaged} {'line' if damaged == 1 else 'lines'} cannot be read")
    if own > MAX_PACKED:
        notes.append(f"packed-refs has more than {MAX_PACKED} branches and tags: {own - MAX_PACKED} are not examined")
    if remote > MAX_PACKED:
        rest = f"commits that only the other {remote - MAX_PACKED} reach count as unpushed"
        notes.append(f"packed-refs has more than {MAX_PACKED} remote branches: {rest}")


def _loose(common: Path, notes: list[str]) -> Iterator[tuple[str, str]]:
    """Yields the name and contents of each file below refs/ that has a valid ref name."""
    checked_out = _checked_out(common)
    for name in checked_out:
        yield from _file(common, name, notes)
    folders, left = ["refs"], MAX_LOOSE
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(common / folder) as listing:
                entries = sorted(itertools.islice(listing, left + 1), key=lambda entry: entry.name)
        except OSError as error:
            notes.append(f"{folder} cannot be read: {error.strerror}")
            continue
        if len(entries) > left:
            del entries[left:]
            folders.clear()
            notes.append(f"refs has more than {MAX_LOOSE} files and folders: those from {folder} on are not examined")
        left -= len(entries)
        below = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        if folder == "refs":
            below.sort(key=lambda name: (name == LAST, name not in FIRST))
        folders += (f"{folder}/{name}" for name in reversed(below))
        for entry in entries:
            name = f"{folder}/{entry.name}"
            # An invalid name belongs to a lock file, or git rejects it, too.
            if not entry.is_dir(follow_symlinks=False) and not INVALID.search(name) and name not in checked_out:
                yield from _file(common, name, notes)


def _file(common: Path, name: str, notes: list[str]) -> Iterator[tuple[str, str]]:
    """Yields the name and contents of one loose ref, if it can be read."""
    path = common / name
    try:
        if path.is_symlink() and (target := str(path.readlink())).startswith("refs/"):
            yield name, f"ref: {target}"  # old versions of git made symbolic refs like this
        else:
            yield name, (contents(path) or b"").decode(errors="replace").strip()
    except FileNotFoundError:
        pass  # packed or removed in the meantime
    except OSError as error:
        notes.append(f"{name} cannot be read: {error.strerror}")


def _checked_out(common: Path) -> tuple[str, ...]:
    """Returns the branches that the work trees are on. Some of them may have no loose ref."""
    branches: dict[str, None] = {}
    try:
        with os.scandir(common / "worktrees") as listing:
            added = [Path(entry.path) for entry in itertools.islice(listing, MAX_HEADS)]
    except OSError:
        added = []
    for own in (common, *added):
        try:
            content = (contents(own / "HEAD") or b"").decode(errors="replace").strip()
            name = content.removeprefix("ref: ").strip()
            if name.startswith("refs/heads/") and not INVALID.search(name) and not (common / name).is_dir():
                branches[name] = None
        except OSError:
            continue  # head() reports it
    return tuple(branches)


def _entries(log: Path, room: int) -> tuple[tuple[str, ...], bool]:
    """Returns the commits of a reflog, the latest first, and False if its beginning was skipped; reads at most `room` bytes.

    A line is `OLD NEW NAME <EMAIL> TIME ZONE<tab>REASON`.
    """
    try:
        file = opened(log)
        if file is None:
            return (), True
        with file:
            skipped = max(0, os.fstat(file.fileno()).st_size - room)
            file.seek(skipped)
            content = file.read(room)
    except OSError:
        return (), True
    if skipped:
        content = content.partition(b"\n")[2]
    commits = [line.split(" ", 2)[1] for line in content.decode(errors="replace").splitlines() if line.count(" ") > 1]
    return tuple(commit for commit in reversed(commits) if OBJECT.match(commit) and commit.strip("0")), not skipped


def _last(log: Path) -> str:
    return next(iter(_entries(log, MAX_LAST)[0]), "")


def component(name: str, taken: Collection[str]) -> str:
    """Turns a folder's name into a valid part of a ref name that is not in `taken`."""
    short = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "tree"
    candidates = (short if number == 1 else f"{short}-{number}" for number in itertools.count(1))
    return next(candidate for candidate in candidates if candidate not in taken)
