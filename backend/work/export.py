"""`codetainer export`: writes unsaved work to stdout, for `ssh HOST codetainer export > work.bundle`.

Runs as the agent; root drops its rights first. The output is a git bundle with all unpushed commits under the names of their
branches, and the commit of `wip.py` as `refs/wip`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from backend import commands, system
from backend.contract import shell, unsaved
from backend.contract.command_line import Parser
from backend.contract.paths import Paths
from backend.contract.verbs import BACKEND_VERBS
from backend.copying import Flow, copy
from backend.system import AGENT, SystemFailure
from backend.work import bundle, conversation, git, place, process, repository, restoring, scratch, wip
from backend.work.git import last_line
from backend.work.repository import Repository
from backend.work.restoring import Converted
from backend.work.scratch import Workshop
from backend.work.wip import Wip


class Form(StrEnum):
    BUNDLE = "bundle"
    PATCH = "patch"


WRITTEN, FAILED, USAGE, NOTHING, PARTLY, INCOMPLETE = 0, 1, 2, 3, 4, 5
LARGEST = 1 << 62
SECONDS = 3600.0
MAX_NAMED = 20
CODES = (
    "Exit code 0: written; 1: failed; 2: wrong usage; 3: no unsaved work; 4: written, without the parts that stderr names; "
    "5: written, but it needs commits that are not in this sandbox, which stderr names."
)


def main(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="codetainer export",
        usage="%(prog)s [--patch] [REPOSITORY] > FILE\n       %(prog)s --conversation [REPOSITORY] > FILE",
        epilog=CODES,
        description=BACKEND_VERBS["export"],
    )
    parser.add_argument("--patch", action="store_true", help="one patch for git apply instead of a bundle")
    parser.add_argument(
        "--conversation", action="store_true", help="instead: Claude's latest conversation in REPOSITORY, as JSON lines"
    )
    parser.add_argument("--debug", action="store_true", help="report every command that is run on stderr")
    parser.add_argument("repository", nargs="?", metavar="REPOSITORY", help="a folder of /workspace (default: repo)")
    options = parser.parse_args(argv)
    if options.debug:  # nothing to redact: neither root's process nor the agent's gets a secret
        from backend.debug_log import DebugLines
        from backend.redaction import Redaction

        commands.observe(DebugLines(Redaction(())))
    if os.isatty(1):
        tell("cannot write a bundle to a terminal", "codetainer export > work.bundle")
        return USAGE
    if not Paths().run.is_dir():
        tell(
            "no sandbox is running here",
            "For a sandbox of this machine: codetainer enter --root -- codetainer export > work.bundle",
        )
        return FAILED
    if os.geteuid() == 0:
        return _as_agent(argv)
    try:
        if options.conversation:
            tell(*conversation.export(Paths(), options.repository, 1))
            return WRITTEN
        return export(Paths().workspace, options.repository, Paths().home, 1, Form.PATCH if options.patch else Form.BUNDLE)
    except (SystemFailure, OSError, ValueError) as error:
        tell(str(error), getattr(error, "hint", ""))
        return FAILED


def tell(text: str, *hints: str) -> None:
    """Writes a message to stderr. Escapes control characters, because it may contain names that the agent chose."""
    for line in (f"codetainer: {text}", *(f"  {hint}" for hint in hints if hint)):
        sys.stderr.write(line.encode("unicode_escape").decode("ascii") if not line.isprintable() else line)
        sys.stderr.write("\n")


class _Relay:
    """Copies the output of the agent's process to our stdout, so that the agent never holds the operator's pipe.

    `writing` is the process's end. `end` returns the error if not all output was copied, else "".
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
            os.close(self._reading)  # a process that still writes gets SIGPIPE

    def end(self) -> str:
        os.eventfd_write(self._over, 1)
        self._thread.join()
        os.close(self.writing)
        os.close(self._over)
        return self._problem


def _as_agent(argv: Sequence[str]) -> int:
    """Runs the export as the agent, without any of the operator's descriptors and environment.

    setsid takes the terminal away, too: through /dev/tty the agent's processes could read what root types there later.
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


def export(workspace: Path, wanted: str | None, home: Path, out: int, form: Form) -> int:
    """Writes the export to the descriptor `out` and reports on stderr. Returns the exit code.

    `home` is the agent's. Raises SystemFailure, OSError.
    """
    with scratch.workshop(home) as workshop:
        chosen, others = _choose(workspace, wanted, workshop)
        code = _write(chosen, _near(chosen, workspace), out, form)
        for other in others:
            work, _ = process.counted(other)
            if work.anything or work.notes:
                tell(f"not exported: {unsaved.describe(work)}", unsaved.export(str(other.path), str(workspace)))
    return code


def _choose(workspace: Path, wanted: str | None, workshop: Workshop) -> tuple[Repository, list[Repository]]:
    """Returns the requested repository; without a request, the first one and the others. Raises SystemFailure."""
    places = list(place.find(workspace))
    if wanted is not None:
        folder = workspace / wanted
        if not folder.is_dir():
            names = ", ".join(shell.word(one.folder.name) for one in places) or "none"
            raise SystemFailure(
                f"cannot export {folder}: no such folder", f"Name one of the repositories of {workspace}: {names}."
            )
        chosen = next((one for one in places if one.folder == folder), None) or place.locate(folder)
        if chosen is None:
            raise SystemFailure(f"cannot export {folder}: not a repository")
        return repository.read(chosen, workshop), []
    if not places:
        raise SystemFailure(f"cannot export {workspace}: it has no repository")
    first = repository.read(places[0], workshop)
    others = []
    seen = {first.common}
    for one in places[1:]:
        try:
            other = repository.read(one, workshop)
        except (SystemFailure, OSError) as error:
            tell(f"{one.folder}: {error}")
            continue
        if other.common not in seen:
            seen.add(other.common)
            others.append(other)
    return first, others


def _near(chosen: Repository, workspace: Path) -> list[Path]:
    """Returns the object folders of other local repositories, which may have history that a shallow clone lacks."""
    folders = [chosen.path / url.removeprefix("file://") for url in chosen.near]
    nearby = [one for folder in folders if (one := place.locate(folder)) is not None]
    objects = [one.common / "objects" for one in (*nearby, *place.find(workspace)) if one.common is not None]
    return [folder for folder in dict.fromkeys(objects) if folder != chosen.common / "objects" and folder.is_dir()]


def _write(chosen: Repository, near: Sequence[Path], out: int, form: Form) -> int:
    made = _made(chosen)
    if made is None:
        if chosen.notes:
            tell(f"{chosen.path} has no unsaved work that git can read", *_unknown(chosen.notes))
        else:
            tell(f"{chosen.path} has no unsaved work")
        return PARTLY if chosen.notes else NOTHING
    if form is Form.PATCH:
        needed: tuple[str, ...] = ()
        tell(*_patch(chosen, made, out))
    else:
        needed = bundle.needs(made, chosen.outside, near)
        bundle.write(made, chosen.outside, needed, out)
        tell(f"written: {contents([tip.name for tip in made.tips])} of {chosen.path}", *_recipe(chosen, made))
    if needed:
        tell(
            f"the bundle is incomplete: {chosen.path} is a shallow clone, and its earlier history is not in this sandbox",
            f"git clone cannot read it; a clone with these commits can fetch it: {' '.join(needed[:MAX_NAMED])}",
            "without such a clone: codetainer export --patch > work.patch has all files, but no history",
        )
    for note in made.notes:
        tell(f"{unsaved.UNKNOWN}: {note}" if note in chosen.notes else note)
    for name in made.left_out:
        tell(f"left out because space ran short: {name}", "copy it separately, with scp or cat")
    if needed:
        return INCOMPLETE
    return PARTLY if made.left_out or made.notes else WRITTEN


def _unknown(notes: Sequence[str]) -> list[str]:
    return [f"{unsaved.UNKNOWN}: {note}" for note in notes]


def _made(chosen: Repository) -> Wip | None:
    """Returns a commit that is readable completely, because an export cannot be taken back once a part is written."""
    try:
        made = wip.make(chosen, LARGEST)
        damage = "" if made is None else chosen.scratch.lacks((made.commit,), chosen.outside)
    except SystemFailure as error:
        damage = str(error)
    return wip.salvage(chosen, LARGEST, damage) if damage else made


def _recipe(chosen: Repository, made: Wip) -> tuple[str, ...]:
    """Returns the instructions for a clone. They change none of the clone's files, branches and tags."""
    fetch = "git fetch --no-tags work.bundle '+refs/*:refs/codetainer/*'"
    return (
        f"in a clone: {fetch} && {made.restore('refs/codetainer/wip')}",
        restoring.differing("refs/codetainer/wip", made.converted),
        "if that clone lacks commits, git fetch gets them: they were pushed" if chosen.outside else "",
        "the work is then in ../work: read it before anything there is built, committed or opened in an editor",
        "branches are refs/codetainer/heads/..., stashes refs/codetainer/stash/0 and so on" if made.tips else "",
    )


def contents(names: Sequence[str]) -> str:
    """Describes the contents of a bundle, from ref names without `refs/`."""
    parts = ["the work tree"]
    for begin, one, many in (("heads/", "branch", "branches"), ("tags/", "tag", "tags"), ("stash/", "stash", "stashes")):
        if count := sum(name.startswith(begin) for name in names):
            parts.append(f"{count} {one if count == 1 else many}")
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _patch(chosen: Repository, made: Wip, out: int) -> tuple[str, ...]:
    """Writes a patch from HEAD's last pushed commit to the work tree. Returns messages for stderr. Raises SystemFailure."""
    excluded = b"".join(b"^%s\n" % commit.encode() for commit in chosen.outside)
    listed = (
        made.scratch.git.ask("rev-list", "--boundary", "--stdin", stdin=made.base.encode() + b"\n" + excluded).decode().split()
    )
    boundary = [commit.removeprefix("-") for commit in listed if commit.startswith("-")]
    base = boundary[0] if boundary else (made.scratch.empty_tree() if listed else made.base)
    done = made.scratch.git.answer(
        "-c", "core.bigFileThreshold=512m", "diff", "--binary", "--full-index", "--no-renames", "--no-color", "--no-ext-diff",
        "--no-textconv", base, made.commit, seconds=SECONDS, stdout=out,
    )  # fmt: skip
    if done.code != 0:
        raise SystemFailure(f"cannot write the patch: {last_line(done)}")
    add = f"in a clone: {restoring.SAFE_GIT} worktree add --detach ../work {base}"
    begin = add if boundary or not listed else "git init ../work"
    return (
        f"written: {chosen.path} as one patch, without other branches and stashes",
        f"{begin} && {restoring.SAFE_GIT} -C ../work apply < work.patch",
        _changed_by_apply(made.converted),
    )


def _changed_by_apply(converted: Converted) -> str:
    """Returns a warning about files that git apply converts as their attributes ask; "" if there are none."""
    if not converted.named and not converted.more:
        return ""
    names = " ".join(map(shell.word, converted.named)) + (f" and {converted.more} more" if converted.more else "")
    return f"git apply converts {names.removeprefix(' and ')} (.gitattributes): a bundle restores them byte for byte"
