"""`python3 -I -m backend work return`: the agent's side of the way back of `codetainer up --work`. Runs as the agent.

Reads a request from stdin, waits until a branch of the clone has a commit that the operator lacks, and writes to stdout one
line of JSON, the branches, and then a pack with the missing objects. The operator's side (backend/sandbox/intake.py) trusts
nothing of it: the agent can write anything in this process's place.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from backend.contract.immutable import dataclass
from backend.system import SystemFailure
from backend.work import commits, git, place, refs, scratch
from backend.work.git import Git, last_line
from backend.work.place import CLONE, Place
from backend.work.scratch import Scratch

POLL_SECONDS = 0.5
PACK_SECONDS = 3600.0  # the operator's side ends it sooner
MARK_SECONDS = 20.0
MAX_REQUEST = 64 << 20  # bytes
MAX_SCANNED = 20_000  # files and folders below refs/heads that are watched
MAX_SINGLE = 50  # branches that are tried one by one if the history of one is damaged
MAX_MARKED = 100  # branches that are marked as returned at a time
DETACHED = "HEAD"


@dataclass(frozen=True, slots=True)
class Request:
    """What the operator's side asks for.

    `known`: commits that the operator has. `returned`: by branch, the commit that has come back; `fresh`: those of the last
    time. `wait`: until there is something. `most`: number of branches. `kind`: object format.
    """

    known: tuple[str, ...]
    returned: Mapping[str, str]
    fresh: Mapping[str, str]
    wait: bool
    most: int
    kind: str

    @classmethod
    def read(cls, file: BinaryIO) -> Request:
        """Raises ValueError, KeyError."""
        fields: Any = json.loads(file.read(MAX_REQUEST))
        return cls(tuple(fields["known"]), fields["returned"], fields["fresh"], fields["wait"], fields["most"], fields["kind"])


def main(workspace: Path, home: Path, request: Request, out: int) -> None:
    """Answers one request. Raises SystemFailure, OSError."""
    folder, before = workspace / CLONE, ""
    _mark(folder, home, request.fresh)
    while True:
        now = signature(place.locate(folder))
        if now != before or not request.wait:
            before = now
            found = _changed(place.locate(folder), request)
            if (found or not request.wait) and _send(folder, home, request, found, out):
                return
        time.sleep(POLL_SECONDS)


def signature(located: Place | None) -> str:
    """Changes whenever a branch or HEAD does. Reads names and times only, so that it can be asked often."""
    if located is None or located.own is None or located.common is None:
        return ""
    files = (located.own / "HEAD", located.common / "packed-refs", located.common / "reftable/tables.list")
    entries = [*map(_stamp, files), *itertools.islice(_below(located.common / "refs/heads"), MAX_SCANNED)]
    return hashlib.sha256("\n".join(entries).encode(errors="surrogateescape")).hexdigest()


def _below(folder: Path) -> Iterator[str]:
    folders = [folder]
    while folders:
        here = folders.pop()
        yield _stamp(here)
        try:
            with os.scandir(here) as listing:
                for entry in listing:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    else:
                        yield _stamp(Path(entry.path))
        except OSError:
            continue


def _stamp(path: Path) -> str:
    try:
        status = path.lstat()
    except OSError:
        return f"{path} -"
    return f"{path} {status.st_ino} {status.st_mtime_ns} {status.st_size}"


def _changed(located: Place | None, request: Request) -> dict[str, str]:
    """Returns the branches whose commits the operator does not have yet; a detached HEAD as DETACHED. The current one first."""
    if located is None or located.own is None or located.common is None:
        return {}
    all_refs = refs.read(located.common)
    head = refs.head(located.own, all_refs)
    found: dict[str, str] = {}
    if head.branch:
        found[f"refs/heads/{head.branch}"] = head.commit
    elif head.commit and not any((located.own / name).exists() for name in ("rebase-merge", "rebase-apply")):
        found[DETACHED] = head.commit
    found |= {name: value for name, value in all_refs.values.items() if name.startswith("refs/heads/") and name not in found}
    known = set(request.known)
    return {
        name: value
        for name, value in found.items()
        if value
        and value not in known
        and value != request.returned.get(name)
        # a branch of the same commit would come back under a second name
        and not (name == DETACHED and value in request.returned.values())
    }


def _send(folder: Path, home: Path, request: Request, found: Mapping[str, str], out: int) -> bool:
    """Writes the branches and their pack. False if nothing was written, because their objects are missing."""
    located = place.locate(folder)
    if located is None or located.common is None or not found:
        _write_header(out, {}, 0, ())
        return True
    with scratch.workshop(home) as workshop:
        made = Scratch.make(workshop, request.kind, located.common / "objects", ())
        listed = dict(itertools.islice(found.items(), request.most))
        existing, _ = commits.behind(made.git, dict.fromkeys((*listed.values(), *request.known)))
        known = [commit for commit in request.known if existing.get(commit)]
        whole = {name: commit for name, commit in listed.items() if existing.get(commit) == commit}
        notes = [f"{name}: its commit is missing" for name in listed if name not in whole]
        if whole and (damage := made.lacks(whole.values(), known)):
            for name in list(whole):
                if len(notes) >= MAX_SINGLE or (problem := made.lacks((whole[name],), known)):
                    notes.append(f"{name}: {problem if len(notes) < MAX_SINGLE else damage}")
                    del whole[name]
        if not whole and request.wait:
            return False
        _write_header(out, whole, len(found) - len(listed), notes[:MAX_SINGLE])
        if whole:
            _write_pack(made.git, whole.values(), known, out)
    return True


def _write_header(out: int, branches: Mapping[str, str], more: int, notes: object) -> None:
    line = json.dumps({"refs": list(branches.items()), "more": more, "notes": notes}).encode() + b"\n"
    while line:
        line = line[os.write(out, line) :]


def _write_pack(made: Git, tips: Any, known: list[str], out: int) -> None:
    """Writes a pack that contains every object that the known commits lack, whole or as a delta of another one in it."""
    wanted = "".join(f"{commit}\n" for commit in tips) + "".join(f"^{commit}\n" for commit in known)
    done = made.answer(
        "pack-objects", "--revs", "--stdout", "--quiet", "--delta-base-offset", stdin=wanted.encode(), stdout=out,
        seconds=PACK_SECONDS,
    )  # fmt: skip
    if done.code != 0:
        raise SystemFailure(f"cannot write the pack: {last_line(done)}")


def _mark(folder: Path, home: Path, fresh: Mapping[str, str]) -> None:
    """Sets the remote-tracking branches of `operator` to what has come back, so that it does not count as unsaved work."""
    located = place.locate(folder)
    if not fresh or located is None or located.common is None:
        return
    with scratch.workshop(home) as workshop:
        own = Git({**git.environment(workshop.below), "GIT_DIR": str(located.common)}, workshop.below)
        for name, commit in itertools.islice(fresh.items(), MAX_MARKED):
            branch = name.removeprefix("refs/heads/") if name != DETACHED else "detached"
            # Without it, the commits only count as unsaved.
            own.answer(
                "-c", f"core.hooksPath={os.devnull}", "-c", "core.logAllRefUpdates=false", "update-ref",
                f"refs/remotes/operator/{branch}", commit, seconds=MARK_SECONDS,
            )  # fmt: skip
