"""Git folders of our own beside the agent's: its objects to read, and nothing of its configuration.

So the agent's index, HEAD, refs and reflogs stay as they are, no object is added to its repository, and none of its hooks,
filters, monitors, signatures or helpers run. What is damaged in its git folder is not in ours.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from backend.system import SystemFailure
from backend.work import git
from backend.work.git import Git, last_line

PREFIX = "codetainer-work-"
ROOM = 16 << 20  # bytes: with less in the usual places, others will do
WRITE_SECONDS = 3600.0  # for a pack: whoever waits for a save ends it sooner
# Every blob counts as a big one: no time is spent on looking for deltas.
CONFIGURATION = """\
[core]
\trepositoryFormatVersion = {version}
\tbare = false
\tlogAllRefUpdates = false
\tbigFileThreshold = 1
\tcompression = 1
\tfsync = none
\tautocrlf = false
\tuntrackedCache = false
\tcommitGraph = false
\tmultiPackIndex = false
\tattributesFile = /dev/null
\texcludesFile = /dev/null
[extensions]
{extensions}[gc]
\tauto = 0
[pack]
\tthreads = 1
\twindowMemory = 64m
\tuseBitmaps = false
[fastimport]
\tunpackLimit = 0
"""


@dataclass(frozen=True, slots=True)
class Workshop:
    """A folder to work in. `home` is the agent's; `git` runs in an empty repository, for what needs none."""

    below: Path
    home: Path
    environment: Mapping[str, str]

    def new(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.below))

    @property
    def git(self) -> Git:
        """For configuration files: outside of a repository git would look for one above. Raises OSError."""
        place = self.below / "nothing"
        if not place.exists():
            _make(place, "sha1", "")
        return Git({**self.environment, "GIT_DIR": str(place)}, place)


@contextlib.contextmanager
def workshop(home: Path, certificates: str = "") -> Iterator[Workshop]:
    """A folder where there is most room, removed at the end. `home` is the agent's. Raises SystemFailure."""
    below = folder(home)
    try:
        own_home = below / "home"
        own_home.mkdir()
        yield Workshop(below, home, git.environment(own_home, certificates))
    finally:
        shutil.rmtree(below, ignore_errors=True)


def folder(home: Path) -> Path:
    """A new folder where there is most room; what killed processes have left behind goes first. Raises SystemFailure."""
    usual = (home, Path("/tmp"))
    places: tuple[Path, ...] = (*usual, Path("/dev/shm"), Path("/workspace"))
    for place in places:
        for left in place.glob(f"{PREFIX}*"):
            pid = left.name.removeprefix(PREFIX).partition("-")[0]
            if not (pid.isdigit() and Path(f"/proc/{pid}").exists()):
                shutil.rmtree(left, ignore_errors=True)
    if max(map(room, usual)) >= ROOM:
        places = usual
    roomiest = max((place for place in places if os.access(place, os.W_OK)), key=room, default=None)
    if roomiest is None:
        raise SystemFailure("cannot make a folder to work in: none can be written")
    try:
        return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=roomiest))
    except OSError as error:
        raise SystemFailure(
            f"cannot make a folder to work in: {error.strerror}", "Make room in /home/claude or /tmp."
        ) from error


def room(place: Path) -> int:
    """Bytes that the agent can still write there."""
    try:
        found = os.statvfs(place)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def writable(place: Path) -> bool:
    """Whether this is a folder that the agent can write to."""
    return place.is_dir() and os.access(place, os.W_OK)


def _make(place: Path, kind: str, more: str) -> None:
    """A git folder with our configuration. `kind` is the hash of its object names, `more` further extensions."""
    place.mkdir()
    (place / "refs").mkdir()
    (place / "objects").mkdir()
    (place / "info").mkdir()
    (place / "HEAD").write_text("ref: refs/heads/none\n")
    extensions = (f"\tobjectFormat = {kind}\n" if kind != "sha1" else "") + more
    (place / "config").write_text(CONFIGURATION.format(version=int(bool(extensions)), extensions=extensions))


def table_view(workshop: Workshop, common: Path, own: Path, kind: str) -> Git:
    """Refs of the agent's in git's format reftable, to be read by git. Raises OSError."""
    place = workshop.new() / "view"
    _make(place, kind, "\trefStorage = reftable\n")
    (place / "HEAD").write_text("ref: refs/heads/.invalid\n")
    (place / "refs/heads").write_text("this repository uses the reftable format\n")
    (place / "reftable").symlink_to((own if own != common and (own / "reftable").is_dir() else common) / "reftable")
    environment = {**workshop.environment, "GIT_DIR": str(place), "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(common / "objects")}
    return Git(environment, place)


@dataclass(slots=True)
class Scratch:
    """Our own git folder for one repository: new objects go here, the agent's are read. Made by `make`.

    `git` runs where there are no files, so no attributes either. `alone` is the same without the agent's objects: what it
    writes is whole whatever state those are in.
    """

    place: Path
    kind: str
    environment: Mapping[str, str]
    shallow: tuple[str, ...] = ()  # commits whose parents the agent's repository does not have (git's shallow file)
    _theirs: list[Path] = field(default_factory=list)

    @classmethod
    def make(cls, workshop: Workshop, kind: str, objects: Path | None, shallow: Iterable[str]) -> Scratch:
        """`objects` is the agent's folder of objects. Raises OSError."""
        below = workshop.new()
        place = below / "git"
        _make(place, kind, "")
        (below / "empty").mkdir()
        made = cls(place, kind, workshop.environment)
        if objects is not None:
            made.read_also(objects)
        made.be_shallow(shallow)
        return made

    def read_also(self, objects: Path) -> None:
        """Further objects to read, by a name without characters that the variable's syntax knows."""
        link = self.place.parent / f"theirs-{len(self._theirs)}"
        link.symlink_to(objects)
        self._theirs.append(link)

    def be_shallow(self, commits: Iterable[str]) -> None:
        self.shallow = tuple(commits)
        file = self.place / "shallow"
        file.unlink(missing_ok=True)
        if self.shallow:
            file.write_text("".join(f"{commit}\n" for commit in self.shallow))

    @property
    def git(self) -> Git:
        empty = self.place.parent / "empty"
        theirs = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": ":".join(map(str, self._theirs))}
        return Git({**self.environment, "GIT_DIR": str(self.place), "GIT_WORK_TREE": str(empty), **theirs}, empty)

    @property
    def alone(self) -> Git:
        found = self.git
        kept = {name: value for name, value in found.environment.items() if name != "GIT_ALTERNATE_OBJECT_DIRECTORIES"}
        return Git(kept, found.folder)

    @property
    def elsewhere(self) -> Git:
        """`git` without the attributes that only the agent's clone has (info/attributes): as any other clone reads files.

        Raises OSError.
        """
        place = self.place.parent / "plain"
        if not place.exists():
            _make(place, self.kind, "")
        objects = ":".join(map(str, (self.place / "objects", *self._theirs)))
        environment = {**self.git.environment, "GIT_DIR": str(place), "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects}
        return Git(environment, self.git.folder)

    def ignore(self, patterns: Iterable[bytes]) -> None:
        """What counts as ignored beside .gitignore, in gitignore(5)'s form: a later line decides."""
        (self.place / "info/exclude").write_bytes(b"\n".join(patterns) + b"\n")

    def lacks(self, objects: Iterable[str], outside: Iterable[str]) -> str:
        """Why these and all that they reach cannot be packed, without what `outside` reaches; "" if they can.

        Everything is read, so damage is found as well as what is missing. Raises SystemFailure.
        """
        wanted = "".join(f"{one}\n" for one in objects) + "".join(f"^{one}\n" for one in outside)
        with Path(os.devnull).open("wb") as nowhere:
            done = self.git.answer(
                "pack-objects",
                "--revs",
                "--stdout",
                "--quiet",
                given=wanted.encode(),
                stdout=nowhere.fileno(),
                seconds=WRITE_SECONDS,
            )
        return "" if done.code == 0 else self.plain(last_line(done))

    def plain(self, said: str) -> str:
        """What git says, with the agent's names for what has names of ours: those are others each time."""
        for link in self._theirs:
            said = said.replace(str(link), str(link.readlink()))
        return said

    # --- writing ---

    def commit(self, tree: str, parents: Iterable[str], message: str, date: str = "") -> str:
        """Makes a commit; nothing points to it yet. `date` is in git's own form ("": now). Raises SystemFailure."""
        before = [argument for parent in parents for argument in ("-p", parent)]
        # The operator's GIT_USER_NAME; none if boot has not come so far.
        who = [] if self.git.maybe("var", "GIT_COMMITTER_IDENT") else _NOBODY
        dated = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date} if date else {}
        here = Git({**self.git.environment, **dated}, self.git.folder)
        return here.line(*who, "commit-tree", tree, *before, "-F", "-", given=git.data(message))

    def empty_tree(self) -> str:
        return self.alone.line("mktree")


_NOBODY = ("-c", "user.name=codetainer", "-c", "user.email=codetainer@localhost")
