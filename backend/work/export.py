"""`codetainer export`: the work that is only here, on stdout, for `ssh HOST codetainer export > work.bundle`.

As the agent; root drops to it first. One file: a git bundle with every commit that is not pushed, under the names of its
branches, and the commit of `wip.py` as `refs/wip`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from backend import settings, system
from backend.contract.command_line import Parser
from backend.contract.paths import Paths
from backend.sandbox.copying import Flow, copy
from backend.system import AGENT, SystemFailure
from backend.work import git, repository, scratch, wip
from backend.work.git import Git, data, last_line
from backend.work.repository import Repository
from backend.work.wip import Wip


class Form(StrEnum):
    BUNDLE = "bundle"
    PATCH = "patch"


WRITTEN, FAILED, USAGE, NOTHING, PARTLY = 0, 1, 2, 3, 4
LARGEST = 1 << 62
SECONDS = 3600.0
DESCRIPTION = "Write what is only in this sandbox to stdout: commits not pushed, files not committed, stashes."
CODES = (
    "Exit code 0: written; 1: it could not be; 2: wrongly asked; 3: there is nothing; 4: written, but for what stderr names."
)


def main(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="codetainer export", usage="%(prog)s [--patch] [REPOSITORY] > FILE", epilog=CODES, description=DESCRIPTION
    )
    parser.add_argument("--patch", action="store_true", help="one patch for git apply instead of a bundle")
    parser.add_argument("repository", nargs="?", metavar="REPOSITORY", help="a folder of /workspace (default: repo)")
    options = parser.parse_args(argv)
    if os.isatty(1):
        tell("a bundle is nothing for a terminal", "codetainer export > work.bundle")
        return USAGE
    if not Paths().run.is_dir():
        tell(
            "no sandbox is running here",
            "codetainer enter --root -- codetainer export > work.bundle asks one of this machine's",
        )
        return FAILED
    if os.geteuid() == 0:
        return _as_agent(argv)
    environment = git.environment(settings.environment())
    try:
        return export(Paths().workspace, options.repository, environment, 1, Form.PATCH if options.patch else Form.BUNDLE)
    except (SystemFailure, OSError, ValueError) as error:
        tell(str(error), getattr(error, "hint", ""))
        return FAILED


def tell(text: str, *hints: str) -> None:
    """Says something on stderr. Names in it are the agent's: what a terminal would obey is spelled out."""
    for line in (f"codetainer: {text}", *(f"  {hint}" for hint in hints if hint)):
        sys.stderr.write(line.encode("unicode_escape").decode("ascii") if not line.isprintable() else line)
        sys.stderr.write("\n")


class _Relay:
    """Carries what the agent's process writes on to our stdout: so the agent never holds what the operator reads from.

    `writing` is the process's end. `end` returns why not all of it was carried, "" where it was.
    """

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        self._over = os.eventfd(0)
        self._problem = ""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            copy([Flow(self._reading, 1, inward=False)], self._over)
        except OSError as error:
            self._problem = f"cannot write: {error.strerror}"
        finally:
            os.close(self._reading)  # whoever still writes has nobody to write to

    def end(self) -> str:
        os.eventfd_write(self._over, 1)
        self._thread.join()
        os.close(self.writing)
        os.close(self._over)
        return self._problem


def _as_agent(argv: Sequence[str]) -> int:
    """The same, as the agent, which gets nothing of the operator's.

    Not the terminal either, in a session of its own: through /dev/tty others of its uid would read what root types there later.
    """
    relay = _Relay()
    environment = {"HOME": str(Paths().home), "USER": "claude", "LOGNAME": "claude", "LANG": "C.UTF-8", "PATH": git.PATH}
    try:
        done = system.ask(
            ["setsid", "--wait", *AGENT.wrap([sys.executable, "-I", "-m", "backend", "export", *argv])],
            environment=environment, cwd="/", timeout=SECONDS, most=0, stdout=relay.writing,
        )  # fmt: skip
    except SystemFailure as error:
        tell(str(error))
        return FAILED
    finally:
        problem = relay.end()
    if problem:
        tell(problem)
        return FAILED
    for line in done.err.splitlines():
        sys.stderr.write((line if line.isprintable() else ascii(line)) + "\n")
    return FAILED if done.code < 0 else done.code


def export(workspace: Path, wanted: str | None, environment: dict[str, str], out: int, form: Form) -> int:
    """Writes to the descriptor `out`, says what it was on stderr, returns the exit code. Raises SystemFailure, OSError."""
    below = scratch.folder(environment)
    try:
        chosen, others = _choose(workspace, wanted, environment)
        code = _write(chosen, _place(below), out, form)
        for other in others:
            if _has_work(other, _place(below)):
                tell(f"{other.path} has work of its own", f"codetainer export {other.path.name} > {other.path.name}.bundle")
    finally:
        shutil.rmtree(below, ignore_errors=True)
    return code


def _place(below: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=below))


def _choose(workspace: Path, wanted: str | None, environment: dict[str, str]) -> tuple[Repository, list[Repository]]:
    """The repository that is asked for; where none is, the first and the others. Raises SystemFailure."""
    places = list(repository.find(workspace, environment))
    if wanted is not None:
        folder = workspace / wanted
        if not folder.is_dir():
            known = ", ".join(place.folder.name for place in places) or "none"
            raise SystemFailure(f"there is no folder {folder}", f"repositories of {workspace}: {known}")
        place = next((place for place in places if place.folder == folder), Git(environment, folder))
        return repository.read(place), []
    if not places:
        raise SystemFailure(f"there is no repository in {workspace}")
    first = repository.read(places[0])
    others = []
    seen = {first.common}
    for place in places[1:]:
        try:
            other = repository.read(place)
        except SystemFailure as error:
            tell(f"{place.folder}: {error}")
            continue
        if other.common not in seen:
            seen.add(other.common)
            others.append(other)
    return first, others


def _has_work(read: Repository, below: Path) -> bool:
    """Raises SystemFailure."""
    return bool(read.commits or read.stashes) or any(
        (changes := scratch.Scratch(read, tree, below).changes()).files or changes.untracked for tree in read.worktrees
    )


def _write(chosen: Repository, below: Path, out: int, form: Form) -> int:
    made = wip.make(chosen, below, LARGEST)
    if made is None:
        tell(f"there is nothing in {chosen.path} that is only here")
        return NOTHING
    tell(*(_patch(chosen, made, out) if form is Form.PATCH else _bundle(chosen, made, out)))
    for note in made.notes:
        tell(note)
    for name in made.left_out:
        tell(f"left out for want of room: {name}", "fetch it by itself, with scp or cat")
    return PARTLY if made.left_out or made.notes else WRITTEN


def _bundle(chosen: Repository, made: Wip, out: int) -> tuple[str, ...]:
    """A bundle of all of it. Raises SystemFailure."""
    named = {"refs/wip": made.commit, **{f"refs/{tip.name}": tip.commit for tip in made.tips}}
    done = made.scratch.git
    done.ask(
        "update-ref", "--stdin", "-z", given=b"".join(b"create %s\0%s\0" % (data(n), c.encode()) for n, c in named.items())
    )
    wanted = b"".join(data(name) + b"\n" for name in named) + b"".join(b"^%s\n" % commit.encode() for commit in chosen.outside)
    written = done.answer("bundle", "create", "--quiet", "-", "--stdin", given=wanted, seconds=SECONDS, stdout=out)
    if written.code != 0:
        raise SystemFailure(f"cannot write the bundle: {last_line(written)}")
    # At any other commit than the one it was made at, git would merge, and conflict where the agent has committed.
    apply = f"git switch --detach refs/codetainer/wip^1 && {made.apply.format('refs/codetainer/wip')}"
    return (
        f"written: {contents([tip.name for tip in made.tips])} of {chosen.path}",
        f"in a clone: git fetch work.bundle '+refs/*:refs/codetainer/*' && {apply}",
        "there, branches are refs/codetainer/heads/..., stashes refs/codetainer/stash/0 and so on" if made.tips else "",
    )


def contents(names: Sequence[str]) -> str:
    """What a bundle holds, in words, by names as in `refs/`."""
    found = ["the work tree"]
    for begin, one, many in (("heads/", "branch", "branches"), ("tags/", "tag", "tags"), ("stash/", "stash", "stashes")):
        if count := sum(name.startswith(begin) for name in names):
            found.append(f"{count} {one if count == 1 else many}")
    return " and ".join(filter(None, (", ".join(found[:-1]), found[-1])))


def _patch(chosen: Repository, made: Wip, out: int) -> tuple[str, str]:
    """A patch from the last pushed commit of HEAD to the work tree. Raises SystemFailure."""
    excluded = b"".join(b"^%s\n" % commit.encode() for commit in chosen.outside)
    listed = (
        made.scratch.git.ask("rev-list", "--boundary", "--stdin", given=made.base.encode() + b"\n" + excluded).decode().split()
    )
    boundary = [commit.removeprefix("-") for commit in listed if commit.startswith("-")]
    base = boundary[0] if boundary else (made.scratch.empty_tree() if listed else made.base)
    done = made.scratch.git.answer(
        "-c", "core.bigFileThreshold=512m", "diff", "--binary", "--full-index", "--no-renames", "--no-color", "--no-ext-diff",
        "--no-textconv", base, made.commit, seconds=SECONDS, stdout=out,
    )  # fmt: skip
    if done.code != 0:
        raise SystemFailure(f"cannot write the patch: {last_line(done)}")
    on = f"git switch --detach {base[:12]} && " if boundary or not listed else ""
    return f"written: {chosen.path} as one patch, without other branches and stashes", f"{on}git apply work.patch"
