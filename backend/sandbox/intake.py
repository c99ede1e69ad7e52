"""Takes the agent's commits into the operator's repository (`codetainer up --work`). Runs as the owner of the repository.

The stream is hostile: the agent may have written every byte of it. Its objects go to a git folder of our own beside the
repository's objects, where git checks each object and that nothing is missing. Then the pack moves into the repository, and
refs below refs/heads/codetainer are set. Nothing else in the repository changes. No configuration of the agent's exists here.
Sources: git-index-pack(1), git-update-ref(1), gitrepository-layout(5).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import resource
import select
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend import system
from backend.contract.immutable import dataclass
from backend.sandbox import own_git, ref_changes
from backend.sandbox.own_git import why
from backend.sandbox.way_back import DETACHED, HEADS, MAX_BRANCHES, MAX_NOTES, Refused, Result, Returned, Target
from backend.system import GIT, Answered, SystemFailure

MAX_HEADER = 1 << 20  # bytes
MAX_NOTE = 300  # characters
MAX_OBJECTS_LISTED = 64 << 20  # bytes of a list of commits: about 1.5 million
MEMORY = 2 << 30  # bytes of data for git: a small delta may claim a result of terabytes
PIECE = 1 << 16
OBJECT = re.compile(r"[0-9a-f]{40}\Z|[0-9a-f]{64}\Z")
PACK = re.compile(r"pack-[0-9a-f]{40,64}\.(?:pack|idx|rev)\Z")
# git removes leftovers of this name (git-prune(1)): the prefix of its own quarantine (git-receive-pack(1)).
QUARANTINE = "tmp_objdir-codetainer-"
CONFIGURATION = """\
[core]
\trepositoryFormatVersion = {version}
\tbare = true
\tlogAllRefUpdates = false
\thooksPath = /dev/null
\tattributesFile = /dev/null
\tpackedGitWindowSize = 32m
\tpackedGitLimit = 512m
{shared}[extensions]
{extensions}[pack]
\tthreads = 1
\twriteReverseIndex = false
[gc]
\tauto = 0
"""


def take(target: Target, stream: int, before: Mapping[str, Returned], created: int = 0) -> Result:
    """Reads one answer of the agent's side from a pipe. `before`: what has come back so far. `created`: refs made for it.

    Raises Refused, SystemFailure, OSError.
    """
    deadline = time.monotonic() + target.seconds
    branches, more, notes, rest = _header(stream, deadline)
    wanted = {name: commit for name, commit in branches.items() if name not in before or before[name].commit != commit}
    if not wanted:
        return Result(seen=branches, more=more, notes=notes)
    try:
        with _quarantine(target) as ours:
            size = ours.index(_pieces(stream, rest, target.most, deadline), target.most, deadline)
            fresh = _fresh(target, ours, wanted, deadline)
            written = Result()
            if fresh:
                with ours.moved():
                    written = ref_changes.write(target, fresh, before, created)
    except SystemFailure as error:
        problem = Refused(str(error))
        problem.branches = wanted
        raise problem from error
    except Refused as problem:
        problem.branches = wanted
        raise
    seen = {name: commit for name, commit in branches.items() if name not in written.refused}
    return replace(written, seen=seen, more=more, notes=[*notes, *written.notes], size=size)


def limit_memory() -> None:
    """Limits this process and its children: a delta of some bytes may claim a result of terabytes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


# --- the stream ---


def _header(stream: int, deadline: float) -> tuple[dict[str, str], int, list[str], bytes]:
    """Reads the line of JSON before the pack. Returns branches, the number left out, notes, and what follows the line."""
    data = b""
    while b"\n" not in data:
        if len(data) > MAX_HEADER:
            raise Refused("the sandbox sent a list of branches that is too long")
        piece = _read(stream, deadline)
        if not piece:
            raise Refused("the sandbox sent no complete list of branches")
        data += piece
    line, _, rest = data.partition(b"\n")
    try:
        fields: Any = json.loads(line)
        pairs = [(name, commit) for name, commit in fields["refs"]]
        more = fields["more"] if isinstance(fields["more"], int) else 0
        notes = [str(note)[:MAX_NOTE] for note in list(fields["notes"])[:MAX_NOTES]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Refused("the sandbox sent an invalid list of branches") from error
    branches: dict[str, str] = {}
    for name, commit in pairs:
        if not (isinstance(name, str) and isinstance(commit, str) and OBJECT.match(commit) and len(name) < 4096):
            raise Refused("the sandbox sent an invalid list of branches")
        if name == DETACHED or (name.startswith(HEADS) and name != HEADS):
            branches[name] = commit
    accepted = dict(itertools.islice(branches.items(), MAX_BRANCHES))
    return accepted, max(0, min(more, 1 << 40)) + len(branches) - len(accepted), notes, rest


def _read(stream: int, deadline: float) -> bytes:
    """Reads what there is, b"" at the end. Raises Refused after the deadline."""
    left = deadline - time.monotonic()
    if left <= 0 or not select.select([stream], [], [], left)[0]:
        raise Refused("the sandbox took too long to send its commits")
    return os.read(stream, PIECE)


def _pieces(stream: int, rest: bytes, most: int, deadline: float) -> Iterator[bytes]:
    """Yields the pack. Ends early if it is larger than `most` bytes, so that git reports it as too large, or too short."""
    if rest:
        yield rest
    size = len(rest)
    while size <= most and (piece := _read(stream, deadline)):
        size += len(piece)
        yield piece


# --- git's own checks ---


@dataclass(frozen=True, slots=True)
class _Quarantine:
    """Our git folder. It reads the operator's objects (`theirs`) through info/alternates, and writes to its own folder only."""

    place: Path
    theirs: Path
    environment: Mapping[str, str]

    def git(self, *arguments: str, deadline: float, stdin: bytes = b"") -> Answered:
        """Raises SystemFailure."""
        return system.ask(
            [GIT, *arguments], environment=self.environment, cwd=self.place, input=stdin, most=MAX_OBJECTS_LISTED,
            timeout=max(deadline - time.monotonic(), 0.1),
        )  # fmt: skip

    def index(self, pieces: Iterator[bytes], most: int, deadline: float) -> int:
        """Stores a pack, after git has checked every object in it. Returns its size in bytes. Raises Refused."""
        done = system.feed(
            [GIT, "index-pack", "--stdin", "--strict", f"--max-input-size={most}"], environment=self.environment,
            cwd=self.place, pieces=pieces, timeout=max(deadline - time.monotonic(), 0.1),
        )  # fmt: skip
        if done.code != 0:
            raise Refused(f"git does not accept the sandbox's objects: {why(done)}")
        return sum(file.stat().st_size for file in (self.place / "objects/pack").glob("*.pack"))

    @contextlib.contextmanager
    def moved(self) -> Iterator[None]:
        """Moves the packs into the repository. Until the block ends, a file keeps git gc from removing them (.keep)."""
        folder = self.theirs / "pack"
        folder.mkdir(exist_ok=True)
        keeps = []
        try:
            for pack in (self.place / "objects/pack").glob("*.pack"):
                if not (folder / pack.name).exists():
                    keep = (folder / pack.name).with_suffix(".keep")
                    keep.write_text("codetainer\n")
                    keeps.append(keep)
                    for suffix in (".pack", ".rev", ".idx"):  # git finds a pack by its index: that comes last
                        if pack.with_suffix(suffix).exists() and PACK.match(pack.with_suffix(suffix).name):
                            pack.with_suffix(suffix).rename(folder / pack.with_suffix(suffix).name)
            yield
        finally:
            for keep in keeps:
                keep.unlink(missing_ok=True)


@contextlib.contextmanager
def _quarantine(target: Target) -> Iterator[_Quarantine]:
    objects = _objects(target.folder)
    place = Path(tempfile.mkdtemp(prefix=QUARANTINE, dir=objects))
    try:
        for folder in ("refs", "objects/info", "objects/pack", "home"):
            (place / folder).mkdir(parents=True)
        (place / "HEAD").write_text("ref: refs/heads/none\n")
        # Relative to our own objects folder, so that no character of the operator's path has a meaning.
        (place / "objects/info/alternates").write_text("../../\n")
        extensions = f"\tobjectFormat = {target.kind}\n" if target.kind != "sha1" else ""
        shared = own_git.git(target.folder, "config", "core.sharedRepository").out.decode(errors="replace").strip()
        (place / "config").write_text(
            CONFIGURATION.format(
                version=int(bool(extensions)), extensions=extensions,
                shared=f"\tsharedRepository = {shared}\n" if re.fullmatch("[A-Za-z0-9]+", shared) else "",
            )
        )  # fmt: skip
        yield _Quarantine(place, objects, {**own_git.ENVIRONMENT, "HOME": str(place / "home"), "GIT_DIR": str(place)})
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _objects(folder: Path) -> Path:
    """The folder with the objects of the operator's repository, which its work trees share. Raises Refused."""
    done = own_git.git(folder, "rev-parse", "--path-format=absolute", "--git-path", "objects")
    if done.code != 0:
        raise Refused(why(done))
    return Path(os.fsdecode(done.out.removesuffix(b"\n")))


def _fresh(target: Target, ours: _Quarantine, wanted: Mapping[str, str], deadline: float) -> dict[str, str]:
    """Returns the branches with commits that were not handed to the sandbox. Raises Refused if any object is missing."""
    tips = list(dict.fromkeys(wanted.values()))
    checked = ours.git("cat-file", "--batch-check=%(objecttype)", deadline=deadline, stdin=_lines(tips))
    kinds = checked.out.decode(errors="replace").splitlines()
    if checked.code != 0 or kinds != ["commit"] * len(tips):
        raise Refused("a branch of the sandbox is no commit, or its commit is missing")
    theirs = own_git.git(target.folder, "for-each-ref", "--format=%(objectname)")
    if theirs.code != 0 or not theirs.whole:
        raise Refused(f"cannot list the repository's own refs: {why(theirs)}")
    trusted = list(dict.fromkeys(theirs.out.decode().split()))
    complete = ours.git(
        "rev-list", "--objects", "--quiet", "--ignore-missing", "--stdin", deadline=deadline,
        stdin=_lines(tips) + _lines(f"^{commit}" for commit in trusted),
    )  # fmt: skip
    if complete.code != 0:
        raise Refused(f"objects are missing: {why(complete)}")
    # A handed commit may have been pruned in the meantime; its descendants count as new then.
    listed = ours.git(
        "rev-list", "--ignore-missing", "--stdin", deadline=deadline,
        stdin=_lines(tips) + _lines(f"^{commit}" for commit in target.handed),
    )  # fmt: skip
    if listed.code != 0 or not listed.whole:
        raise Refused("the sandbox sent too many commits" if not listed.whole else why(listed))
    new = set(listed.out.decode().split())
    return {name: commit for name, commit in wanted.items() if commit in new}


def _lines(items: Any) -> bytes:
    return "".join(f"{item}\n" for item in items).encode()
