"""Commits and the refs that name them: which objects exist, and which commits no remote has."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping

from backend.contract.immutable import dataclass
from backend.system import TookTooLong
from backend.work.git import Git, last_line

BATCH = 20_000  # names for one run of git cat-file
BEHIND_SECONDS = 20.0  # for all runs: a third of the time for a count
MIN_SECONDS = 5.0  # for one run
MAX_RUNS = 20  # of git cat-file, which exits early at an unreadable object
MAX_SINGLE_TIPS = 200  # tips that are tried one by one if the history is damaged


@dataclass(frozen=True, slots=True)
class Tip:
    """A named commit: a branch, a tag or a stash. `name` is the ref without `refs/`."""

    name: str
    commit: str


@dataclass(frozen=True, slots=True)
class OnlyHere:
    """Commits that `tips` reach and no remote does.

    `notes` names the tips whose history cannot be read; `commits` has only the tip itself for them.
    """

    tips: tuple[Tip, ...]
    commits: frozenset[str]
    notes: tuple[str, ...] = ()


def behind(git: Git, names: Iterable[str]) -> tuple[dict[str, str], frozenset[str]]:
    """Peels each object to its commit; "" if it has none, such as a tag of a file. Leaves missing objects out.

    Also returns the names that there was no time for: those at the end. Raises SystemFailure.
    """
    listed, deadline = list(names), time.monotonic() + BEHIND_SECONDS
    commits: dict[str, str] = {}
    for begin in range(0, len(listed), BATCH):
        batch = listed[begin : begin + BATCH]
        left = deadline - time.monotonic()
        if left <= 0 and begin:
            return commits, frozenset(listed[begin:])
        try:
            lines = _checked(git, [f"{name}^{{}}" for name in batch], max(left, MIN_SECONDS))
        except TookTooLong:
            return commits, frozenset(listed[begin:])
        for name, line in zip(batch, lines, strict=True):
            commit, _, kind = line.partition(" ")
            if kind and kind != "missing":
                commits[name] = commit if kind == "commit" else ""
    return commits, frozenset()


def _checked(git: Git, names: list[str], seconds: float) -> list[str]:
    """Returns `OBJECT TYPE` or `NAME missing` for each name; "" if git exited at it, as it does at an unreadable object.

    Raises TookTooLong, SystemFailure.
    """
    output: list[str] = []
    for _ in range(MAX_RUNS):
        rest = names[len(output) :]
        if not rest:
            break
        lines = "".join(f"{name}\n" for name in rest).encode()
        done = git.answer("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=lines, seconds=seconds)
        output += done.out.decode(errors="replace").splitlines()[: len(rest)]
        if len(output) < len(names):
            output.append("")
    return output + [""] * (len(names) - len(output))


def only_here(git: Git, tips: Iterable[Tip], outside: Iterable[str], begun: float, values: Mapping[str, str]) -> OnlyHere:
    """Finds the commits that the tips reach and `outside` does not, and drops tips that `outside` reaches.

    A clone also brings tags that are on no branch: tags older than the clone (`begun`, seconds since 1970) are not unsaved
    work. `values` maps full ref names to their objects. Raises SystemFailure.
    """
    without = "".join(f"^{commit}\n" for commit in outside)
    reached = _reached(git, tuple(tips), without)
    tags = [tip for tip in reached.tips if tip.name.startswith("tags/") and tip.commit in reached.commits]
    if tags and begun:
        dates = _times(git, {tip.name: values[f"refs/{tip.name}"] for tip in tags})
        old = {tip.name for tip in tags if dates.get(tip.name, begun) < begun}
        if old:
            reached = _reached(git, tuple(tip for tip in reached.tips if tip.name not in old), without)
    return OnlyHere(tuple(tip for tip in reached.tips if tip.commit in reached.commits), reached.commits, reached.notes)


def _reached(git: Git, tips: tuple[Tip, ...], without: str) -> OnlyHere:
    every = _listed(git, tips, without)
    if not isinstance(every, str):
        return OnlyHere(tips, every)
    reached, notes = set[str](), []
    for tip in tips[:MAX_SINGLE_TIPS]:
        history = _listed(git, (tip,), without)
        if isinstance(history, str):
            notes.append(f"the history of {tip.name} cannot be read: {history}")
            reached.add(tip.commit)
        else:
            reached |= history
    if len(tips) > MAX_SINGLE_TIPS:
        notes.append(f"the history is damaged ({every}): {len(tips) - MAX_SINGLE_TIPS} branches and tags are not examined")
    return OnlyHere(tips, frozenset(reached), tuple(notes))


def _listed(git: Git, tips: tuple[Tip, ...], without: str) -> frozenset[str] | str:
    """Returns the commits that these tips reach; if git fails, its error instead."""
    if not tips:
        return frozenset()
    lines = "".join(f"{tip.commit}\n" for tip in tips) + without
    done = git.answer("rev-list", "--stdin", stdin=lines.encode())
    return frozenset(done.out.decode().split()) if done.code == 0 and done.whole else last_line(done)


def _times(git: Git, tags: Mapping[str, str]) -> dict[str, int]:
    """Returns when each tag was made, in seconds since 1970: the tagger's date, or the commit's if the tag is lightweight."""
    names = list(dict.fromkeys(tags.values()))
    output = git.answer("cat-file", "--batch", "--buffer", stdin="".join(f"{name}\n" for name in names).encode()).out
    dates, at = {}, 0
    for name in names:  # git-cat-file(1), "BATCH OUTPUT": a line with object, type and size, the contents, a line feed
        header, newline, _ = output[at : at + 200].partition(b"\n")
        fields = header.split()
        if not newline or len(fields) != 3:
            break
        begin = at + len(header) + 1
        at = begin + int(fields[2]) + 1
        if date := re.search(rb"^(?:tagger|committer) .*> (\d+) ", output[begin:at].partition(b"\n\n")[0], re.MULTILINE):
            dates[name] = int(date[1])
    return {name: dates[value] for name, value in tags.items() if value in dates}
