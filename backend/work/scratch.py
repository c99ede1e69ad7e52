"""Our own git folders, which read the agent's objects and ignore its configuration.

This leaves the agent's index, HEAD, refs and reflogs unchanged, adds no object to its repository, and runs none of its hooks,
filters, fsmonitors, signing programs or credential helpers. Damage in its git folder does not affect ours.
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
MIN_FREE = 16 << 20  # bytes: if the usual places have less, others are tried
WRITE_SECONDS = 3600.0  # for a pack; callers that save have shorter timeouts
# bigFileThreshold = 1: every blob counts as big, which skips the search for deltas.
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
    """A temporary folder for git. `home` is the agent's home."""

    below: Path
    home: Path
    environment: Mapping[str, str]

    def new(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.below))

    @property
    def git(self) -> Git:
        """git in an empty repository, so that it does not look for one in the folders above. Raises OSError."""
        place = self.below / "nothing"
        if not place.exists():
            _make(place, "sha1")
        return Git({**self.environment, "GIT_DIR": str(place)}, place)


@contextlib.contextmanager
def workshop(home: Path, certificates: str = "") -> Iterator[Workshop]:
    """Creates a workshop in the place with the most free space and removes it at the end. Raises SystemFailure."""
    below = folder(home)
    try:
        own_home = below / "home"
        own_home.mkdir()
        yield Workshop(below, home, git.environment(own_home, certificates))
    finally:
        shutil.rmtree(below, ignore_errors=True)


def folder(home: Path) -> Path:
    """Creates a folder in the place with the most free space, after removing those of dead processes. Raises SystemFailure."""
    usual = (home, Path("/tmp"))
    places: tuple[Path, ...] = (*usual, Path("/dev/shm"), Path("/workspace"))
    for place in places:
        for leftover in place.glob(f"{PREFIX}*"):
            pid = leftover.name.removeprefix(PREFIX).partition("-")[0]
            if not (pid.isdigit() and Path(f"/proc/{pid}").exists()):
                shutil.rmtree(leftover, ignore_errors=True)
    if max(map(room, usual)) >= MIN_FREE:
        places = usual
    roomiest = max((place for place in places if os.access(place, os.W_OK)), key=room, default=None)
    if roomiest is None:
        raise SystemFailure("cannot make a temporary folder: no place is writable")
    try:
        return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=roomiest))
    except OSError as error:
        raise SystemFailure(
            f"cannot make a temporary folder: {error.strerror}", "Make room in /home/claude or /tmp."
        ) from error


def room(place: Path) -> int:
    """Returns how many bytes the agent can still write in a place; 0 if that is unknown, or no more files fit."""
    try:
        status = os.statvfs(place)
    except OSError:
        return 0
    if status.f_files and not status.f_favail:
        return 0
    return status.f_bavail * status.f_frsize


def writable(place: Path) -> bool:
    """True if this is a folder that the agent can write to."""
    return place.is_dir() and os.access(place, os.W_OK)


def _make(place: Path, kind: str) -> None:
    """Creates a git folder with our configuration. `kind` is its object format."""
    place.mkdir()
    (place / "refs").mkdir()
    (place / "objects").mkdir()
    (place / "info").mkdir()
    (place / "HEAD").write_text("ref: refs/heads/none\n")
    extensions = f"\tobjectFormat = {kind}\n" if kind != "sha1" else ""
    (place / "config").write_text(CONFIGURATION.format(version=int(bool(extensions)), extensions=extensions))


@dataclass(slots=True)
class Scratch:
    """Our own git folder for one repository: new objects go here, the agent's are read. Created by `make`.

    `git` runs in an empty folder, so it reads no .gitattributes. `alone` is the same without the agent's objects: objects that
    it writes are complete even if the agent's are damaged.
    """

    place: Path
    kind: str
    environment: Mapping[str, str]
    shallow: tuple[str, ...] = ()  # commits whose parents the agent's repository does not have (git's shallow file)
    _theirs: list[Path] = field(default_factory=list)

    @classmethod
    def make(cls, workshop: Workshop, kind: str, objects: Path | None, shallow: Iterable[str]) -> Scratch:
        """Creates the git folder. `objects` is the agent's object folder. Raises OSError."""
        below = workshop.new()
        place = below / "git"
        _make(place, kind)
        (below / "empty").mkdir()
        made = cls(place, kind, workshop.environment)
        if objects is not None:
            made.read_also(objects)
        made.be_shallow(shallow)
        return made

    def read_also(self, objects: Path) -> None:
        """Adds an object folder to read, through a link whose name has no colon: the variable's list is split at colons."""
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
        full = self.git
        variables = {name: value for name, value in full.environment.items() if name != "GIT_ALTERNATE_OBJECT_DIRECTORIES"}
        return Git(variables, full.folder)

    @property
    def elsewhere(self) -> Git:
        """`git` without the attributes that only the agent's clone has (info/attributes): as any other clone reads files.

        Raises OSError.
        """
        place = self.place.parent / "plain"
        if not place.exists():
            _make(place, self.kind)
        objects = ":".join(map(str, (self.place / "objects", *self._theirs)))
        environment = {**self.git.environment, "GIT_DIR": str(place), "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects}
        return Git(environment, self.git.folder)

    def ignore(self, patterns: Iterable[bytes]) -> None:
        """Sets ignore patterns besides .gitignore, in gitignore(5)'s format: the last match decides."""
        (self.place / "info/exclude").write_bytes(b"\n".join(patterns) + b"\n")

    def lacks(self, objects: Iterable[str], outside: Iterable[str]) -> str:
        """Returns why `objects` and everything they reach, except what `outside` reaches, cannot be packed; "" if they can.

        git reads each object, so this detects damaged objects as well as missing ones. Raises SystemFailure.
        """
        wanted = "".join(f"{one}\n" for one in objects) + "".join(f"^{one}\n" for one in outside)
        with Path(os.devnull).open("wb") as null:
            done = self.git.answer(
                "pack-objects",
                "--revs",
                "--stdout",
                "--quiet",
                stdin=wanted.encode(),
                stdout=null.fileno(),
                seconds=WRITE_SECONDS,
            )
        return "" if done.code == 0 else self.plain(last_line(done))

    def plain(self, text: str) -> str:
        """Replaces our links with the agent's paths in git's output, because our names differ each time."""
        for link in self._theirs:
            text = text.replace(str(link), str(link.readlink()))
        return text

    # --- writing ---

    def commit(self, tree: str, parents: Iterable[str], message: str, date: str = "") -> str:
        """Creates a commit without a ref. `date` is in git's internal format ("": now). Raises SystemFailure."""
        before = [argument for parent in parents for argument in ("-p", parent)]
        # GIT_USER_NAME from /etc/gitconfig, which does not exist before boot has written it.
        identity = [] if self.git.maybe("var", "GIT_COMMITTER_IDENT") else _NOBODY
        dated = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date} if date else {}
        here = Git({**self.git.environment, **dated}, self.git.folder)
        return here.line(*identity, "commit-tree", tree, *before, "-F", "-", stdin=git.data(message))

    def empty_tree(self) -> str:
        return self.alone.line("mktree")


_NOBODY = ("-c", "user.name=codetainer", "-c", "user.email=codetainer@localhost")
