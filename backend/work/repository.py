"""A repository of the agent's: its work trees, and what in it nobody else has. Reads only, as the agent.

Damage is no reason to know nothing: what cannot be read is named in `notes`, and the rest counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from backend.work import refs, scratch
from backend.work.git import Git, last_line, parts
from backend.work.place import Place, contents
from backend.work.refs import OBJECT, Head, Refs
from backend.work.scratch import Scratch, Workshop

MOST_WORKTREES = 20
MOST_STASHES = 200
MOST_NAMED = 20
MOST_CONFIGURATION = 1 << 20  # bytes
MOST_ENDS = 20  # times that git is asked again after it has ended early
TRUE = ("true", "yes", "on", "1")  # git-config(1), "Values"
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
class Tip:
    """A commit that has a name: a branch, a tag, a stash. `name` as in `refs/`, without that."""

    name: str
    commit: str


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
        made.ignore(_ignored(workshop, {}, None))
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
        entries, note = configuration(workshop, common / "config")
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
        commits = self._commits(git, found, [head.commit for _, _, head in heads])
        worktrees = self._worktrees(heads, commits)
        elsewhere = {key.removeprefix("remote.").rpartition(".")[0] for key, url in self._urls if ELSEWHERE.match(url)}
        named = {name.removeprefix("refs/"): commits.get(value) for name, value in found.values.items()}
        outside = sorted({commit for name, commit in named.items() if commit and _is_outside(name, elsewhere)})
        tips = [
            *(Tip(f"detached/{path.name}", commits[head.commit]) for path, _, head in heads if self._detached(head, commits)),
            *(Tip(name, commit) for name, commit in named.items() if commit and name.startswith(("heads/", "tags/"))),
        ]
        tips, only_here = self._only_here(git, tips, outside, found)
        stashes = found.stashes[:MOST_STASHES] or ((found.values["refs/stash"],) if "refs/stash" in found.values else ())
        kept = [commits[commit] for commit in stashes if commits.get(commit)]
        return Repository(
            self._scratch, self._place.folder, self._common, worktrees, tuple(outside), len(only_here),
            tuple(tip for tip in tips if tip.commit in only_here),
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
        self._scratch.ignore(_ignored(self._workshop, self._entries, self._common))
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
            if len(heads) == MOST_WORKTREES:
                self.notes.append(f"there are more than {MOST_WORKTREES} work trees: the rest is not looked into")
                break
            heads.append((path, folder, refs.head(folder, found)))
        for path, _, head in heads:
            if head.note:
                self.notes.append(head.note if path == self._place.folder else f"{path}: {head.note}")
        return heads

    def _has_files(self, folder: Path) -> bool:
        """Whether there is a work tree beside this git folder. That `core.bare` is set does not make an index go away."""
        return self._entries.get("core.bare", "").lower() not in TRUE or (folder / "index").exists()

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
        names = list(dict.fromkeys((*found.values.values(), *found.stashes, *(commit for commit in more if commit))))
        known = {}
        for name, line in zip(names, _checked(git, [f"{name}^{{}}" for name in names]), strict=True):
            commit, _, kind = line.partition(" ")
            if kind and kind != "missing":
                known[name] = commit if kind == "commit" else ""
        lost = [ref for ref, value in found.values.items() if value not in known]
        lost += [f"stash@{{{number}}}" for number, commit in enumerate(found.stashes[:MOST_STASHES]) if commit not in known]
        self.notes += [f"{ref}: its object is missing" for ref in lost[:MOST_NAMED]]
        if len(lost) > MOST_NAMED:
            self.notes.append(f"the objects of {len(lost) - MOST_NAMED} refs more are missing")
        return known

    def _detached(self, head: Head, commits: Mapping[str, str]) -> bool:
        return bool(head.commit and not head.branch and commits.get(head.commit))

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

    def _only_here(self, git: Git, tips: list[Tip], outside: Iterable[str], found: Refs) -> tuple[list[Tip], set[str]]:
        """Every commit that the tips reach and the remotes do not, and the tips that have one.

        Tags come with a clone, also such as lie beside all branches: those that are older than the clone are no work.
        """
        tips, only_here = self._reached(git, tips, outside)
        tags = [tip for tip in tips if tip.name.startswith("tags/") and tip.commit in only_here]
        if tags and (begun := _begun(self._common)):
            made = _times(git, {tip.name: found.values[f"refs/{tip.name}"] for tip in tags})
            old = {tip.name for tip in tags if made.get(tip.name, begun) < begun}
            if old:
                tips, only_here = self._reached(git, [tip for tip in tips if tip.name not in old], outside)
        return tips, only_here

    def _reached(self, git: Git, tips: list[Tip], outside: Iterable[str]) -> tuple[list[Tip], set[str]]:
        without = "".join(f"^{commit}\n" for commit in outside)

        def ask(wanted: Iterable[Tip]) -> set[str] | str:
            given = "".join(f"{tip.commit}\n" for tip in wanted)
            if not given:
                return set()
            done = git.answer("rev-list", "--stdin", given=(given + without).encode())
            return set(done.out.decode().split()) if done.code == 0 and done.whole else last_line(done)

        if not isinstance(every := ask(tips), str):
            return tips, every
        good, reached = [], set[str]()
        for tip in tips:
            one = ask([tip])
            if isinstance(one, str):
                self.notes.append(f"{tip.name}: its history is damaged ({one})")
            else:
                good.append(tip)
                reached |= one
        return good, reached


def configuration(workshop: Workshop, file: Path) -> tuple[list[tuple[str, str]], str]:
    """Keys and values of one configuration file, and why not all of it could be read. What it includes is not read.

    Raises SystemFailure, OSError (of our own folders).
    """
    copied = workshop.new() / "config"
    try:
        said = contents(file)
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        return [], error.strerror or str(error)
    if said is None or len(said) > MOST_CONFIGURATION:
        return [], "it is no file, or too large"
    copied.write_bytes(said)
    done = workshop.git.answer("config", "--file", str(copied), "--no-includes", "-z", "--list")
    entries = []
    for entry in parts(done.out):
        key, valued, value = entry.partition("\n")
        entries.append((key, value if valued else "true"))  # git-config(1), "Values"
    return entries, "" if done.code == 0 else last_line(done).replace(str(copied), str(file))


def _ignored(workshop: Workshop, entries: Mapping[str, str], common: Path | None) -> list[bytes]:
    """The patterns by which the agent ignores files beside .gitignore; those of the repository decide.

    Source: gitignore(5). The file's name comes from the repository's configuration or the agent's own.
    """
    named = entries.get("core.excludesfile", "")
    if not named:
        own, _ = configuration(workshop, workshop.home / ".gitconfig")
        named = dict(own).get("core.excludesfile", "")
    file = workshop.home / ".config/git/ignore"
    if named:
        file = workshop.home / named.removeprefix("~/") if named.startswith("~/") else Path(named)
    found = []
    for path in (file if file.is_absolute() else None, common and common / "info/exclude"):
        try:
            found.append((contents(path) if path else None) or b"")
        except OSError:
            found.append(b"")  # then more is kept
    return found


def _checked(git: Git, names: list[str]) -> list[str]:
    """`OBJECT TYPE` of each name, or `NAME missing`; "" where git ended over it, as over an object that it may not read."""
    said: list[str] = []
    for _ in range(MOST_ENDS):
        rest = names[len(said) :]
        if not rest:
            break
        given = "".join(f"{name}\n" for name in rest).encode()
        done = git.answer("cat-file", "--batch-check=%(objectname) %(objecttype)", given=given)
        said += done.out.decode(errors="replace").splitlines()[: len(rest)]
        if len(said) < len(names):
            said.append("")
    return said + [""] * (len(names) - len(said))


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


def _times(git: Git, tags: Mapping[str, str]) -> dict[str, int]:
    """When each tag was made: its tagger's date, else its commit's. In seconds since 1970."""
    names = list(dict.fromkeys(tags.values()))
    said = git.answer("cat-file", "--batch", "--buffer", given="".join(f"{name}\n" for name in names).encode()).out
    made, at = {}, 0
    for name in names:  # git-cat-file(1), "BATCH OUTPUT": a line with object, type and size, the contents, a line feed
        about, ended, _ = said[at : at + 200].partition(b"\n")
        fields = about.split()
        if not ended or len(fields) != 3:
            break
        begin = at + len(about) + 1
        at = begin + int(fields[2]) + 1
        if found := re.search(rb"^(?:tagger|committer) .*> (\d+) ", said[begin:at].partition(b"\n\n")[0], re.MULTILINE):
            made[name] = int(found[1])
    return {name: made[value] for name, value in tags.items() if value in made}
