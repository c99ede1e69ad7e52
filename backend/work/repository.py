"""Reads one of the agent's repositories: its work trees, and the commits and stashes that no remote has. Runs as the agent.

A damaged repository is read as far as possible; `notes` names the unreadable parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from backend.contract.immutable import dataclass
from backend.work import commits, configuration, refs, scratch
from backend.work.commits import Tip
from backend.work.git import Git
from backend.work.place import Place, contents
from backend.work.refs import OBJECT, Head, Refs
from backend.work.scratch import Scratch, Workshop

MAX_WORKTREES = 20
MAX_STASHES = 200
MAX_SHALLOW = 200_000  # lines; a clone with --depth has one for each branch
MAX_NAMED = 20
SAVED = "wip/"  # prefix of the branches that saves go to: saved commits still count as unpushed
ELSEWHERE = re.compile(
    r"(?!(?i:file):)(?:[A-Za-z][A-Za-z0-9+.-]*:|(?![^:]*/)[^:]+:)"
)  # a URL, or scp's HOST:PATH (git-clone(1))
# Extensions that do not affect reading (git's Documentation/technical/repository-version.txt, git-config(1)).
KNOWN_EXTENSIONS = frozenset(
    ("objectformat", "compatobjectformat", "refstorage", "partialclone", "worktreeconfig", "preciousobjects", "noop", "noop-v1",
     "relativeworktrees")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Worktree:
    """A work tree. `own` is its git folder with index and HEAD, None if it has none.

    `head` is "" before the first commit and if it is unknown. `branch` is "" if HEAD is detached.
    """

    path: Path
    own: Path | None
    head: str
    branch: str


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository. `tips` are refs with commits that no remote is known to have, `outside` the commits that remotes have.

    `commits` counts the unpushed commits. `near`: the configured URLs of remotes that are folders of this machine. `notes`:
    what could not be read.
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
    """Reads a repository. Raises SystemFailure, OSError."""
    if place.own is None or place.common is None:
        made = Scratch.make(workshop, "sha1", None, ())
        patterns, unreadable = configuration.ignored(workshop, {}, None)
        made.ignore(patterns)
        note = f"git cannot read this repository ({place.problem}): all its files count as work"
        return Repository(
            made, place.folder, place.folder, (Worktree(place.folder, None, "", ""),), (), 0, (), (),
            notes=(note, *unreadable),
        )  # fmt: skip
    return _Reading(place, place.own, place.common, workshop).repository()


class _Reading:
    """Reads a repository that has a git folder, once."""

    def __init__(self, place: Place, own: Path, common: Path, workshop: Workshop) -> None:
        self._place, self._own, self._common, self._workshop = place, own, common, workshop
        self.notes: list[str] = []
        entries, note = configuration.read(workshop, common / "config")
        self._entries: Mapping[str, str] = dict(entries)  # the last of several values counts
        self._urls = [(key, value) for key, value in entries if re.match(r"remote\..*\.(push)?url\Z", key)]
        if note:
            self.notes.append(f"its configuration cannot be read ({note}): its remotes are not known")
        self._note_extensions()

    def _note_extensions(self) -> None:
        for key in self._entries:
            name = key.removeprefix("extensions.")
            if name != key and name not in KNOWN_EXTENSIONS:
                self.notes.append(f"unknown git extension {name}: the repository may contain more work than is counted")

    def repository(self) -> Repository:
        kind = self._kind()
        all_refs = refs.read(self._common)
        self.notes += all_refs.notes
        git = self._open(kind)
        heads = self._heads(all_refs)
        existing = self._commits(git, all_refs, [head.commit for _, _, head in heads])
        worktrees = self._worktrees(heads, existing)
        elsewhere = {key.removeprefix("remote.").rpartition(".")[0] for key, url in self._urls if ELSEWHERE.match(url)}
        named = {name.removeprefix("refs/"): existing.get(value) for name, value in all_refs.values.items()}
        outside = sorted({commit for name, commit in named.items() if commit and _is_outside(name, elsewhere)})
        detached: dict[str, str] = {}
        for path, _, head in heads:
            if head.commit and not head.branch and (commit := existing.get(head.commit)):
                detached[refs.component(path.name, detached)] = commit
        tips = [
            *(Tip(f"detached/{name}", commit) for name, commit in detached.items()),
            *(Tip(name, commit) for name, commit in named.items() if commit and name.startswith(("heads/", "tags/"))),
        ]
        only_here = commits.only_here(git, tips, outside, _begun(self._common), all_refs.values)
        self.notes += only_here.notes
        latest = all_refs.values.get("refs/stash")  # all that is left of the stashes if their reflog is gone
        if (more := len(all_refs.stashes) - MAX_STASHES) > 0:
            self.notes.append(f"there are more than {MAX_STASHES} stashes: the oldest {more} are left out")
        stashes = all_refs.stashes[:MAX_STASHES] or ((latest,) if latest is not None else ())
        kept = [existing[commit] for commit in stashes if existing.get(commit)]
        return Repository(
            self._scratch, self._place.folder, self._common, worktrees, tuple(outside), len(only_here.commits), only_here.tips,
            tuple(Tip(f"stash/{number}", commit) for number, commit in enumerate(kept)),
            tuple(url for _, url in self._urls if not ELSEWHERE.match(url)), tuple(self.notes),
        )  # fmt: skip

    # --- our scratch folder for it ---

    def _kind(self) -> str:
        """Returns the hash of its object names: sha1 or sha256."""
        if (kind := self._entries.get("extensions.objectformat", "")) in ("sha1", "sha256"):
            return kind
        if not self._entries:  # the configuration could not be read
            all_refs = refs.read(self._common)
            if any(len(value) == 64 for value in all_refs.values.values()):
                return "sha256"
        return "sha1"

    def _open(self, kind: str) -> Git:
        self._scratch = Scratch.make(self._workshop, kind, self._common / "objects", ())
        self._scratch.be_shallow(self._shallow(self._scratch.git))
        patterns, unreadable = configuration.ignored(self._workshop, self._entries, self._common)
        self._scratch.ignore(patterns)
        self.notes += unreadable
        file = self._common / "info/attributes"
        try:
            if (attributes := contents(file)) is not None:
                (self._scratch.place / "info/attributes").write_bytes(attributes)
        except OSError:
            pass  # without them, files that a checkout converted look changed
        return self._scratch.git

    def _shallow(self, git: Git) -> list[str]:
        """Reads the list of commits without parents, and drops those that do not exist: each of them slows git down."""
        try:
            content = contents(self._common / "shallow")
        except FileNotFoundError:
            return []
        except OSError as error:
            self.notes.append(f"the list of commits without parents (shallow) cannot be read: {error.strerror}")
            return []
        lines = content.decode(errors="replace").splitlines() if content is not None else []
        listed = [line for line in lines[:MAX_SHALLOW] if OBJECT.match(line)]
        if content is None or len(lines) > MAX_SHALLOW:
            self.notes.append("the list of commits without parents (shallow) is not a regular file, or too large")
        elif len(listed) < len(lines):
            self.notes.append("the list of commits without parents (shallow) is damaged")
        existing, _ = commits.behind(git, listed)
        return [commit for commit in listed if existing.get(commit) == commit]

    # --- its contents ---

    def _heads(self, all_refs: Refs) -> list[tuple[Path, Path, Head]]:
        """Returns the path, git folder and HEAD of every work tree, the one at the repository's own path first."""
        heads: list[tuple[Path, Path, Head]] = []
        if not self._place.bare and self._has_files(self._own):
            self._note_work_tree()
            heads.append((self._place.folder, self._own, refs.head(self._own, all_refs)))
        main = [(self._common.parent, self._common)] if self._common.name == ".git" and self._has_files(self._common) else []
        for path, folder in (*main, *self._added()):
            if folder == self._own or (path.is_dir() and path.samefile(self._place.folder)):
                continue
            if len(heads) == MAX_WORKTREES:
                self.notes.append(f"there are more than {MAX_WORKTREES} work trees: the rest are not examined")
                break
            heads.append((path, folder, refs.head(folder, all_refs)))
        for path, _, head in heads:
            if head.note:
                self.notes.append(head.note if path == self._place.folder else f"{path}: {head.note}")
        return heads

    def _has_files(self, folder: Path) -> bool:
        """True if a work tree belongs to this git folder. An index proves it, even if the agent has set `core.bare`."""
        return self._entries.get("core.bare", "").lower() not in configuration.TRUE or (folder / "index").exists()

    def _note_work_tree(self) -> None:
        """Notes the work tree that `core.worktree` names instead of this folder, if the agent can have work there."""
        value = self._entries.get("core.worktree", "")
        other = self._own / value
        if value and scratch.writable(other) and not other.samefile(self._place.folder):
            self.notes.append(f"core.worktree is {other}: files there are not examined")

    def _added(self) -> Iterator[tuple[Path, Path]]:
        """Yields the work trees made by `git worktree add`, with their git folders (gitrepository-layout(5), "worktrees")."""
        try:
            folders = sorted(folder for folder in (self._common / "worktrees").iterdir() if folder.is_dir())
        except OSError:
            return
        for folder in folders:
            try:
                content = (contents(folder / "gitdir") or b"").decode(errors="surrogateescape").rstrip("\r\n")
            except OSError as error:
                self.notes.append(f"{folder} cannot be read: {error.strerror}")
                continue
            if content:
                yield (folder / content).parent, folder

    def _commits(self, git: Git, all_refs: Refs, more: Iterable[str]) -> dict[str, str]:
        """Peels the objects of all refs and of `more` to commits; "" if they have none. Notes missing ones, leaves them out."""
        remote = {name: value for name, value in all_refs.values.items() if name.startswith("refs/remotes/")}
        own = (value for name, value in all_refs.values.items() if name not in remote)
        names = dict.fromkeys((*(commit for commit in more if commit), *all_refs.stashes, *own, *remote.values()))
        existing, skipped = commits.behind(git, names)
        if skipped:
            count = sum(value in skipped for value in all_refs.values.values())
            self.notes.append(f"branches and tags that are not examined, because git takes too long to find them: {count}")
        missing = [ref for ref, value in all_refs.values.items() if value not in existing and value not in skipped]
        stashes = enumerate(all_refs.stashes[:MAX_STASHES])
        missing += [f"stash@{{{n}}}" for n, commit in stashes if commit not in existing and commit not in skipped]
        self.notes += [f"{ref}: its object is missing" for ref in missing[:MAX_NAMED]]
        if len(missing) > MAX_NAMED:
            self.notes.append(f"more refs whose objects are missing: {len(missing) - MAX_NAMED}")
        return existing

    def _worktrees(self, heads: Iterable[tuple[Path, Path, Head]], commits: Mapping[str, str]) -> tuple[Worktree, ...]:
        worktrees = []
        for path, folder, head in heads:
            if not path.is_dir():
                continue  # removed without `git worktree prune`: only its HEAD is left
            commit = commits.get(head.commit, "")
            if head.commit and not commit:
                self.notes.append(f"the commit checked out in {path} is missing: its files are kept without it")
            worktrees.append(Worktree(path, folder, commit, head.branch))
        return tuple(worktrees)


def _is_outside(name: str, elsewhere: set[str]) -> bool:
    """True if this is a remote-tracking ref of one of these remotes, other than a branch of saves."""
    if not name.startswith("remotes/"):
        return False
    below = name.removeprefix("remotes/")
    return any(
        below.startswith(f"{remote}/") and not below.removeprefix(f"{remote}/").startswith(SAVED) for remote in elsewhere
    )


def _begun(common: Path) -> float:
    """Returns when the repository was created, in seconds since 1970; 0 if unknown. git writes `description` only then."""
    try:
        return int((common / "description").lstat().st_mtime)
    except OSError:
        return 0.0
