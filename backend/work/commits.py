"""Commits by their names: whether they exist, and which of them no remote has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backend.work.git import Git, last_line

MAX_ENDS = 20  # times that git is asked again after it has ended early
MAX_ALONE = 200  # tips that are asked for one by one


@dataclass(frozen=True, slots=True)
class Tip:
    """A commit that has a name: a branch, a tag, a stash. `name` as in `refs/`, without that."""

    name: str
    commit: str


@dataclass(frozen=True, slots=True)
class OnlyHere:
    """`commits` are reached by `tips`, and by none of the remotes.

    `notes`: tips whose history cannot be read. They are among `tips` with no more than their own commit.
    """

    tips: tuple[Tip, ...]
    commits: frozenset[str]
    notes: tuple[str, ...] = ()


def behind(git: Git, names: Iterable[str]) -> dict[str, str]:
    """The commit behind each object; "" for what is none, such as the tag of a file. What is missing is not in it."""
    listed = list(names)
    known = {}
    for name, line in zip(listed, _checked(git, [f"{name}^{{}}" for name in listed]), strict=True):
        commit, _, kind = line.partition(" ")
        if kind and kind != "missing":
            known[name] = commit if kind == "commit" else ""
    return known


def _checked(git: Git, names: list[str]) -> list[str]:
    """`OBJECT TYPE` of each name, or `NAME missing`; "" where git ended over it, as over an object that it may not read."""
    said: list[str] = []
    for _ in range(MAX_ENDS):
        rest = names[len(said) :]
        if not rest:
            break
        given = "".join(f"{name}\n" for name in rest).encode()
        done = git.answer("cat-file", "--batch-check=%(objectname) %(objecttype)", given=given)
        said += done.out.decode(errors="replace").splitlines()[: len(rest)]
        if len(said) < len(names):
            said.append("")
    return said + [""] * (len(names) - len(said))


def only_here(git: Git, tips: Iterable[Tip], outside: Iterable[str], begun: float, values: Mapping[str, str]) -> OnlyHere:
    """Every commit that the tips reach and `outside` does not, and the tips that have one.

    Tags come with a clone, also such as lie beside all branches: those that are older than the clone (`begun`, seconds since
    1970) are no work. `values` are the objects of all refs, by their whole names. Raises SystemFailure.
    """
    without = "".join(f"^{commit}\n" for commit in outside)
    found = _reached(git, tuple(tips), without)
    tags = [tip for tip in found.tips if tip.name.startswith("tags/") and tip.commit in found.commits]
    if tags and begun:
        made = _times(git, {tip.name: values[f"refs/{tip.name}"] for tip in tags})
        old = {tip.name for tip in tags if made.get(tip.name, begun) < begun}
        if old:
            found = _reached(git, tuple(tip for tip in found.tips if tip.name not in old), without)
    return OnlyHere(tuple(tip for tip in found.tips if tip.commit in found.commits), found.commits, found.notes)


def _reached(git: Git, tips: tuple[Tip, ...], without: str) -> OnlyHere:
    every = _listed(git, tips, without)
    if not isinstance(every, str):
        return OnlyHere(tips, every)
    reached, notes = set[str](), []
    for tip in tips[:MAX_ALONE]:
        one = _listed(git, (tip,), without)
        if isinstance(one, str):
            notes.append(f"the history of {tip.name} cannot be read: {one}")
            reached.add(tip.commit)
        else:
            reached |= one
    if len(tips) > MAX_ALONE:
        notes.append(f"the history is damaged ({every}): {len(tips) - MAX_ALONE} branches and tags are not looked into")
    return OnlyHere(tips, frozenset(reached), tuple(notes))


def _listed(git: Git, tips: tuple[Tip, ...], without: str) -> frozenset[str] | str:
    """The commits that these tips reach, or why they cannot be told."""
    if not tips:
        return frozenset()
    given = "".join(f"{tip.commit}\n" for tip in tips) + without
    done = git.answer("rev-list", "--stdin", given=given.encode())
    return frozenset(done.out.decode().split()) if done.code == 0 and done.whole else last_line(done)


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
