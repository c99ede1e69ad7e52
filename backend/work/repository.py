"""A repository of the agent's: its work trees, and what in it nobody else has. Reads only, as the agent.

Damage is no reason to know nothing: what cannot be read is named in `notes`, and the rest counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from backend.work import commits, configuration, refs, scratch
from backend.work.commits import Tip
from backend.work.git import Git
from backend.work.place import Place, contents
from backend.work.refs import OBJECT, Head, Refs
from backend.work.scratch import Scratch, Workshop

MAX_WORKTREES = 20
MAX_STASHES = 200
MAX_NAMED = 20
SAVED = "wip/"  # branches that saves go to: having been saved is not having been pushed
ELSEWHERE = re.compile(
    r"(?!(?i:file):)(?:[A-Za-z][A-Za-z0-9+.-]*:|(?![^:]*/)[^:]+:)"
)  # a URL, or scp's HOST:PATH (git-clone(1))
# What changes nothing for who reads (git's Documentation/technical/repository-version.txt, git-config(1)).
KNOWN_EXTENSIONS = frozenset(
    ("objectformat", "compatobjectformat", "refstorage", "partialclone", "worktreeconfig", "preciousobjects", "noop", "noop-v1",
     "relativeworktrees")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Worktree:
    """A work tree, and its git folder with index and HEAD (None: there is none).

    `head` is "" before the first commit and if it is not known, `branch` if HEAD is detached.
    """

    path: Path
    own: Path | None
    head: str
    branch: str


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository. `tips` are the commits that none of its remotes is known to have, `outside` what the remotes have.

    `near`: remotes that are folders of this machine, as they are configured. `notes`: what could not be read.
    """

    scratch: Scratch
    path: Path
    common: Path
    worktrees: tuple[Worktree, ...]  # the first is the one at `path`, unless that is bare
    outside: tuple[str, ...]
    commits: int
    tips: tuple[Tip, ...]
    stashes: tuple[Tip, ...]
    near: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read(place: Place, workshop: Workshop) -> Repository:
    """What a repository holds. Raises SystemFailure, OSError."""
    if place.own is None or place.common is None:
        made = Scratch.make(workshop, "sha1", None, ())
        made.ignore(configuration.ignored(workshop, {}, None))
        note = f"git cannot read this repository ({place.problem}): all its files are taken for work"
        return Repository(
            made, place.folder, place.folder, (Worktree(place.folder, None, "", ""),), (), 0, (), (), notes=(note,)
        )  # fmt: skip
    return _Reading(place, place.own, place.common, workshop).repository()


class _Reading:
    """One look at a repository that has a git folder."""

    def __init__(self, place: Place, own: Path, common: Path, workshop: Workshop) -> None:
        self._place, self._own, self._common, self._workshop = place, own, common, workshop
        self.notes: list[str] = []
        entries, note = configuration.read(workshop, common / "config")
        self._entries: Mapping[str, str] = dict(entries)  # of several values the last counts
        self._urls = [(key, value) for key, value in entries if re.match(r"remote\..*\.(push)?url\Z", key)]
        if note:
            self.notes.append(f"its configuration cannot be read ({note}): which remotes it has is not known")
        self._note_extensions()

    def _note_extensions(self) -> None:
        for key in self._entries:
            name = key.removeprefix("extensions.")
            if name != key and name not in KNOWN_EXTENSIONS:
                self.notes.append(f"it has the extension {name}, which is not known here: it may hold more than is seen")

    def repository(self) -> Repository:
        kind = self._kind()
        found, own_head = self._refs(kind)
        self.notes += found.notes
        git = self._open(kind)
        heads = self._heads(found, own_head)
        known = self._commits(git, found, [head.commit for _, _, head in heads])
        worktrees = self._worktrees(heads, known)
        elsewhere = {key.removeprefix("remote.").rpartition(".")[0] for key, url in self._urls if ELSEWHERE.match(url)}
        named = {name.removeprefix("refs/"): known.get(value) for name, value in found.values.items()}
        outside = sorted({commit for name, commit in named.items() if commit and _is_outside(name, elsewhere)})
        detached: dict[str, str] = {}
        for path, _, head in heads:
            if head.commit and not head.branch and (commit := known.get(head.commit)):
                detached[refs.component(path.name, detached)] = commit
        tips = [
            *(Tip(f"detached/{name}", commit) for name, commit in detached.items()),
            *(Tip(name, commit) for name, commit in named.items() if commit and name.startswith(("heads/", "tags/"))),
        ]
        only_here = commits.only_here(git, tips, outside, _begun(self._common), found.values)
        self.notes += only_here.notes
        stashes = found.stashes[:MAX_STASHES] or ((found.values["refs/stash"],) if "refs/stash" in found.values else ())
        kept = [known[commit] for commit in stashes if known.get(commit)]
        return Repository(
            self._scratch, self._place.folder, self._common, worktrees, tuple(outside), len(only_here.commits), only_here.tips,
            tuple(Tip(f"stash/{number}", commit) for number, commit in enumerate(kept)),
            tuple(url for _, url in self._urls if not ELSEWHERE.match(url)), tuple(self.notes),
        )  # fmt: skip

    # --- our view of it ---

    def _kind(self) -> str:
        """The hash of its object names: sha1 or sha256."""
        if (said := self._entries.get("extensions.objectformat", "")) in ("sha1", "sha256"):
            return said
        if not self._entries:  # the configuration could not be read
            known = refs.read(self._common)
            if any(len(value) == 64 for value in known.values.values()):
                return "sha256"
        return "sha1"

    def _refs(self, kind: str) -> tuple[Refs, Head | None]:
        tables = self._entries.get("extensions.refstorage") == "reftable" or (self._common / "reftable").is_dir()
        if not tables:
            return refs.read(self._common), None
        return refs.of_tables(scratch.table_view(self._workshop, self._common, self._own, kind))

    def _open(self, kind: str) -> Git:
        shallow = []
        try:
            said = contents(self._common / "shallow") or b""
        except FileNotFoundError:
            said = b""
        except OSError as error:
            said = b""
            self.notes.append(f"which commits have no parents here cannot be read: {error.strerror}")
        for line in said.decode(errors="replace").splitlines():
            if OBJECT.match(line):
                shallow.append(line)
            else:
                self.notes.append("the list of commits without parents (shallow) is damaged")
                break
        self._scratch = Scratch.make(self._workshop, kind, self._common / "objects", shallow)
        self._scratch.ignore(configuration.ignored(self._workshop, self._entries, self._common))
        with_attributes = self._common / "info/attributes"
        try:
            if (attributes := contents(with_attributes)) is not None:
                (self._scratch.place / "info/attributes").write_bytes(attributes)
        except OSError:
            pass  # they say no more than what was changed by a checkout
        return self._scratch.git

    # --- what is in it ---

    def _heads(self, found: Refs, own: Head | None) -> list[tuple[Path, Path, Head]]:
        """Path, git folder and HEAD of every work tree, the one at the repository's own path first."""
        heads: list[tuple[Path, Path, Head]] = []
        if not self._place.bare and self._has_files(self._own):
            self._note_work_tree()
            heads.append((self._place.folder, self._own, own or refs.head(self._own, found)))
        main = [(self._common.parent, self._common)] if self._common.name == ".git" and self._has_files(self._common) else []
        for path, folder in (*main, *self._added()):
            if folder == self._own or (path.is_dir() and path.samefile(self._place.folder)):
                continue
            if len(heads) == MAX_WORKTREES:
                self.notes.append(f"there are more than {MAX_WORKTREES} work trees: the rest is not looked into")
                break
            heads.append((path, folder, refs.head(folder, found)))
        for path, _, head in heads:
            if head.note:
                self.notes.append(head.note if path == self._place.folder else f"{path}: {head.note}")
        return heads

    def _has_files(self, folder: Path) -> bool:
        """Whether there is a work tree beside this git folder. That `core.bare` is set does not make an index go away."""
        return self._entries.get("core.bare", "").lower() not in configuration.TRUE or (folder / "index").exists()

    def _note_work_tree(self) -> None:
        """git takes another folder for the work tree: that one is named if the agent can have work in it."""
        said = self._entries.get("core.worktree", "")
        other = self._own / said
        if said and scratch.writable(other) and not other.samefile(self._place.folder):
            self.notes.append(f"core.worktree says {other}: what is there is not looked into")

    def _added(self) -> Iterator[tuple[Path, Path]]:
        """Work trees that `git worktree add` has made, and their git folders (gitrepository-layout(5), "worktrees")."""
        try:
            folders = sorted(folder for folder in (self._common / "worktrees").iterdir() if folder.is_dir())
        except OSError:
            return
        for folder in folders:
            try:
                said = (contents(folder / "gitdir") or b"").decode(errors="surrogateescape").rstrip("\r\n")
            except OSError as error:
                self.notes.append(f"{folder} cannot be read: {error.strerror}")
                continue
            if said:
                yield (folder / said).parent, folder

    def _commits(self, git: Git, found: Refs, more: Iterable[str]) -> dict[str, str]:
        """The commit behind each object that has a name; "" for what is none. What is missing is not in it, and named."""
        names = dict.fromkeys((*found.values.values(), *found.stashes, *(commit for commit in more if commit)))
        known = commits.behind(git, names)
        lost = [ref for ref, value in found.values.items() if value not in known]
        lost += [f"stash@{{{number}}}" for number, commit in enumerate(found.stashes[:MAX_STASHES]) if commit not in known]
        self.notes += [f"{ref}: its object is missing" for ref in lost[:MAX_NAMED]]
        if len(lost) > MAX_NAMED:
            self.notes.append(f"the objects of {len(lost) - MAX_NAMED} refs more are missing")
        return known

    def _worktrees(self, heads: Iterable[tuple[Path, Path, Head]], commits: Mapping[str, str]) -> tuple[Worktree, ...]:
        found = []
        for path, folder, head in heads:
            if not path.is_dir():
                continue  # removed without `git worktree prune`: nothing but its HEAD is left
            commit = commits.get(head.commit, "")
            if head.commit and not commit:
                self.notes.append(f"the commit that {path} is at is missing: its files are kept without it")
            found.append(Worktree(path, folder, commit, head.branch))
        return tuple(found)


def _is_outside(name: str, elsewhere: set[str]) -> bool:
    """Whether this is a remote-tracking ref of one of these remotes, and no save."""
    if not name.startswith("remotes/"):
        return False
    below = name.removeprefix("remotes/")
    return any(
        below.startswith(f"{remote}/") and not below.removeprefix(f"{remote}/").startswith(SAVED) for remote in elsewhere
    )


def _begun(common: Path) -> float:
    """When the repository was made: git writes its `description` then, and never again. 0 if that is not known."""
    try:
        return int((common / "description").lstat().st_mtime)
    except OSError:
        return 0.0
