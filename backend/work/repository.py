"""The agent's repositories: where they are, what in them nobody else has. Reads only, as the agent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from backend.system import SystemFailure
from backend.work.git import Git, parts

MOST_REPOSITORIES = 20
MOST_WORKTREES = 20
MOST_STASHES = 200
SAVED = "wip/"  # branches that saves go to: having been saved is not having been pushed
ELSEWHERE = re.compile(
    r"(?!(?i:file):)(?:[A-Za-z][A-Za-z0-9+.-]*:|(?![^:]*/)[^:]+:)"
)  # a URL, or scp's HOST:PATH (git-clone(1))


@dataclass(frozen=True, slots=True)
class Tip:
    """A commit that has a name: a branch, a tag, a stash. `name` as in `refs/`, without that."""

    name: str
    commit: str


@dataclass(frozen=True, slots=True)
class Worktree:
    """A work tree with its own index and HEAD. `head` is "" before the first commit, `branch` where HEAD is detached."""

    path: Path
    index: Path
    head: str
    branch: str


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository. `tips` are the commits that none of its remotes is known to have, `outside` what the remotes have."""

    git: Git
    path: Path
    common: Path
    hash: str
    worktrees: tuple[Worktree, ...]  # the first is the one at `path`, but where that is bare
    outside: tuple[str, ...]
    commits: int
    tips: tuple[Tip, ...]
    stashes: tuple[Tip, ...]
    notes: tuple[str, ...] = field(default=())


def find(workspace: Path, environment: dict[str, str]) -> Iterator[Git]:
    """The repositories in a folder and directly below it; links are not followed."""
    try:
        below = sorted(child for child in workspace.iterdir() if child.is_dir() and not child.is_symlink())
    except OSError as error:
        raise SystemFailure(f"cannot look into {workspace}: {error.strerror}") from error
    below.sort(key=lambda child: child.name != "repo")
    found = 0
    for folder in (*below, workspace):
        bare = (folder / "HEAD").is_file() and (folder / "objects").is_dir()
        if bare or (folder / ".git").exists():
            yield Git({**environment, "GIT_CEILING_DIRECTORIES": str(folder.parent)}, folder)
            found += 1
            if found == MOST_REPOSITORIES:
                return


def read(git: Git) -> Repository:
    """What a repository holds. Raises SystemFailure where git cannot make sense of it."""
    bare, kind, common = git.line(
        "rev-parse", "--path-format=absolute", "--is-bare-repository", "--show-object-format", "--git-common-dir"
    ).split("\n", 2)
    refs = _refs(git)
    elsewhere = _elsewhere(git)
    outside = sorted({commit for name, commit, _ in refs if _is_outside(name, elsewhere)})
    worktrees, notes = _worktrees(git, () if bare == "true" else (_worktree(git),))
    begun = _begun(Path(common))
    tips = [Tip(f"detached/{tree.path.name}", tree.head) for tree in worktrees if tree.head and not tree.branch]
    for name, commit, made in refs:
        # Tags come with a clone, also such as lie beside all branches: those that are older than the clone are no work.
        if name.startswith("heads/") or (name.startswith("tags/") and made >= begun):
            tips.append(Tip(name, commit))
    only_here = _only_here(git, tips, outside)
    return Repository(
        git, git.folder, Path(common), kind, worktrees, tuple(outside), len(only_here),
        tuple(tip for tip in tips if tip.commit in only_here), _stashes(git, refs), notes,
    )  # fmt: skip


def _refs(git: Git) -> list[tuple[str, str, int]]:
    """Every ref that names a commit: its name below `refs/`, the commit, when it was made (tagger's or committer's date)."""
    form = "%(refname)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)%00%(creatordate:unix)"
    found = []
    for line in git.ask("for-each-ref", f"--format={form}").decode(errors="surrogateescape").split("\n"):
        if not line:
            continue
        name, kind, commit, tagged, tagged_commit, made = line.split("\0")
        if "commit" in (kind, tagged):
            found.append((name.removeprefix("refs/"), commit if kind == "commit" else tagged_commit, int(made or 0)))
    return found


def _elsewhere(git: Git) -> set[str]:
    """Remotes that are not on this machine: what was pushed to a folder of the sandbox's has not left it."""
    found = set()
    for entry in parts(git.answer("config", "-z", "--get-regexp", r"^remote\..*\.(push)?url$").out):
        key, _, url = entry.partition("\n")
        if ELSEWHERE.match(url):
            found.add(key.removeprefix("remote.").rpartition(".")[0])
    return found


def _is_outside(name: str, elsewhere: set[str]) -> bool:
    """Whether this is a remote-tracking ref of one of these remotes, and no save."""
    if not name.startswith("remotes/"):
        return False
    below = name.removeprefix("remotes/")
    return any(
        below.startswith(f"{remote}/") and not below.removeprefix(f"{remote}/").startswith(SAVED) for remote in elsewhere
    )


def _begun(common: Path) -> float:
    """When the repository was made: git writes its `description` then, and never again."""
    try:
        return int((common / "description").lstat().st_mtime)
    except OSError:
        return 0.0


def _only_here(git: Git, tips: Iterable[Tip], outside: Iterable[str]) -> set[str]:
    """Every commit that the tips reach and the remotes do not."""
    wanted = "".join(f"{tip.commit}\n" for tip in tips)
    if not wanted:
        return set()
    return set(git.ask("rev-list", "--stdin", given=(wanted + "".join(f"^{o}\n" for o in outside)).encode()).decode().split())


def _stashes(git: Git, refs: Iterable[tuple[str, str, int]]) -> tuple[Tip, ...]:
    """The stash's entries, which are its reflog; where that is gone, the last one."""
    last = next((commit for name, commit, _ in refs if name == "stash"), "")
    if not last:
        return ()
    found = git.maybe("rev-list", "--walk-reflogs", f"--max-count={MOST_STASHES}", "refs/stash").split() or [last]
    return tuple(Tip(f"stash/{number}", commit) for number, commit in enumerate(found))


def _worktrees(git: Git, own: tuple[Worktree, ...]) -> tuple[tuple[Worktree, ...], tuple[str, ...]]:
    """The one at the repository's own path first, then those that `git worktree add` made; and what could not be read."""
    found, notes = list(own), []
    for block in git.ask("worktree", "list", "--porcelain", "-z").split(b"\0\0"):
        path = Path(next((part.removeprefix("worktree ") for part in parts(block) if part.startswith("worktree ")), ""))
        if b"\0bare" in block or not path.is_absolute() or not path.is_dir() or path.samefile(git.folder):
            continue
        if len(found) == MOST_WORKTREES:
            notes.append(f"more than {MOST_WORKTREES} work trees: the rest is not looked into")
            break
        environment = {**git.environment, "GIT_CEILING_DIRECTORIES": str(path.parent)}
        try:
            found.append(_worktree(Git(environment, path)))
        except SystemFailure as error:
            notes.append(f"{path}: {error}")
    return tuple(found), tuple(notes)


def _worktree(git: Git) -> Worktree:
    index = git.line("rev-parse", "--path-format=absolute", "--git-path", "index")
    head = git.maybe("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    return Worktree(git.folder, Path(index), head, git.maybe("symbolic-ref", "--quiet", "--short", "HEAD"))
