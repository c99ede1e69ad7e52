"""Kinds of git repositories: each is counted, exported and restored with plain git. Without a sandbox, with real git."""

from __future__ import annotations

import os

import pytest

from backend.contract.events import RepositoryWork
from backend.system import SystemFailure
from backend.work.export import NOTHING, WRITTEN, Form
from backend.work.git import Git
from tests.netns.work_room import AHEAD, Room

pytestmark = pytest.mark.netns

OLD_TAG = """
cd ../../seed; git switch -q --detach
GIT_COMMITTER_DATE="2001-01-01T00:00:00Z" git commit -q --allow-empty -m old; git tag old; git push -q ../remote old
cd ../workspace/repo; git fetch -q ../../remote refs/tags/old:refs/tags/old
"""
CASES = {
    "nothing": ("", RepositoryWork("", "main")),
    "ahead": (AHEAD, RepositoryWork("", "main", commits=1)),
    "detached": (f"git switch -q --detach; {AHEAD}", RepositoryWork("", "", commits=1)),
    "another branch": (f"git switch -qc x; {AHEAD}; git switch -q main", RepositoryWork("", "main", commits=1)),
    "staged": ("echo 1 >> one; git add one", RepositoryWork("", "main", files=1)),
    "deleted": ("rm one; git rm -q --cached two", RepositoryWork("", "main", files=2, untracked=1)),
    "two stashes": (
        "echo 1 >> one; git stash -q; echo 2 >> two; git stash -q -u", RepositoryWork("", "main", stashes=2)),
    "a tag that came with the clone": (OLD_TAG, RepositoryWork("", "main")),
    "a tag of a file": ("git tag blob $(git hash-object -w one)", RepositoryWork("", "main")),
    "a stash whose log has gone": (
        "echo 1 >> one; git stash -q; rm .git/logs/refs/stash", RepositoryWork("", "main", stashes=1)),
    "a tag of its own": (
        f"sleep 1; {AHEAD}; git tag kept; git reset -q --hard HEAD^", RepositoryWork("", "main", commits=1)),
    "assumed unchanged": ("git update-index --assume-unchanged one; echo 1 >> one", RepositoryWork("", "main", files=1)),
    "skip-worktree": ("git update-index --skip-worktree one; echo 1 >> one", RepositoryWork("", "main", files=1)),
    "a split index": ("git update-index --split-index; echo 1 >> one; git add one; echo 2 > new",
        RepositoryWork("", "main", files=1, untracked=1)),
    "changed in the second of its commit": (
        "echo old > f; git add f; git commit -qm f; echo new > f; sleep 1.1", RepositoryWork("", "main", commits=1, files=1)),
    "intent to add": ("echo n > new; git add -N new", RepositoryWork("", "main", files=1)),
    "pushed to a folder": (
        f"{AHEAD}; git init -q --bare ../../backup; git remote add backup ../../backup; git push -q backup main",
        RepositoryWork("", "main", commits=1)),
    "saved before": (f"{AHEAD}; git update-ref refs/remotes/origin/wip/x HEAD", RepositoryWork("", "main", commits=1)),
    "ignored elsewhere": (
        "echo k > .git/info/exclude; git config core.excludesFile ~/ignore; echo a > ~/ignore; echo k > k; echo a > a",
        RepositoryWork("", "main")),
    "a work tree": (
        f"git worktree add -q ../other -b other; cd ../other; {AHEAD}; echo u > u",
        RepositoryWork("", "main", commits=1, untracked=1)),
    "a work tree inside": (
        f"git worktree add -q .claude/tree -b other; cd .claude/tree; {AHEAD}; echo u > u",
        RepositoryWork("", "main", commits=1, untracked=1)),
    "a nested repository": (
        "git init -q inner; echo i > inner/i",
        RepositoryWork("", "main", notes=("{repo}/inner is a separate repository: not examined",))),
    "a conflict": (
        "git switch -qc x; echo x > one; git commit -qam x; git switch -q -; echo m > one; git commit -qam m; git merge x || :",
        RepositoryWork("", "main", commits=2, files=1)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_counted_work_is_restored(room: Room, case: str) -> None:
    script, expected = CASES[case]
    room.clone()
    room.shell(script or "true")
    before = room.shell("find . -type f -exec sha256sum {} + | sort -k 2; git status --porcelain -z | cat -v")
    (counted,) = room.counted()
    notes = tuple(note.format(repo=room.repo) for note in expected.notes)
    assert counted == RepositoryWork(
        str(room.repo), expected.branch, expected.commits, expected.files, expected.untracked, expected.stashes, notes=notes
    )
    if not counted.anything:
        assert room.export()[0] == NOTHING
        return
    again = room.restored()
    assert room.shell("find . -type f -exec sha256sum {} + | sort -k 2; git status --porcelain -z | cat -v") == before
    inside = "find . -name .git -prune -o -path ./.claude -prune -o -type f -exec sha256sum {} + | sort"
    if case != "a conflict":
        assert room.shell(inside, again) == room.shell(inside)
    stashes = "git rev-list -g refs/stash" if expected.stashes else "true"
    for commit in room.shell(f"git rev-list --branches --tags HEAD; {stashes}").split():
        room.shell(f"git cat-file -e {commit}; git merge-base --is-ancestor {commit} refs/codetainer/wip", again)
    if case not in ("a conflict", "assumed unchanged", "skip-worktree", "intent to add"):
        assert room.status(again) == room.status(room.repo).replace("?? .claude/tree/\n", "")


def test_a_work_tree_of_the_same_repository_is_in_the_export(room: Room) -> None:
    room.clone()
    room.shell(f"git worktree add -q ../other -b other; cd ../other; {AHEAD}; echo u > u; echo s >> one; git add one")
    again = room.restored()
    assert room.shell("git show refs/codetainer/worktrees/other:u", again) == "u\n"
    assert room.shell("git show refs/codetainer/worktrees/other^2:one", again) == "one\ns\n"
    assert room.shell("git log -1 --format=%s refs/codetainer/heads/other", again) == "more\n"


def test_without_a_remote_everything_is_only_here(room: Room) -> None:
    room.shell("git init -q repo; cd repo; echo a > a; git add a; git commit -qm a; echo b > b", room.workspace)
    (counted,) = room.counted()
    assert (counted.commits, counted.untracked) == (1, 1)
    again = room.restored(whole=True)
    assert room.shell("cat a b", again) == "a\nb\n"


def test_before_the_first_commit(room: Room) -> None:
    room.shell("git init -q repo; cd repo; echo a > a; git add a; echo b > b", room.workspace)
    (counted,) = room.counted()
    assert (counted.branch, counted.commits, counted.files, counted.untracked) == ("main", 0, 1, 1)
    code, file = room.export()
    assert code == WRITTEN
    room.shell(f"git init -q again; cd again; git fetch -q {file} refs/wip; git checkout -q FETCH_HEAD -- .", room.folder)
    assert room.shell("cat a b", room.folder / "again") == "a\nb\n"


def test_a_bare_repository(room: Room) -> None:
    room.shell("git clone -q --bare ../remote repo", room.workspace)
    (counted,) = room.counted()
    assert (counted.commits, counted.files) == (1, 0)  # its remote is a folder
    assert room.export()[0] == WRITTEN


def test_a_shallow_clone(room: Room) -> None:
    room.shell("cd seed; echo 2 > two; git commit -qam second; git push -q ../remote HEAD:main", room.folder)
    room.clone("--depth", "1")
    room.shell(f"{AHEAD}; echo u > u")
    assert [(work.commits, work.untracked) for work in room.counted()] == [(1, 1)]
    assert room.shell("cat more u", room.restored()) == "more\nu\n"


def test_a_sparse_checkout_loses_nothing(room: Room) -> None:
    room.shell(
        "cd seed; mkdir a b; echo a > a/a; echo b > b/b; git add .; git commit -qm folders; git push -q ../remote HEAD:main",
        room.folder,
    )
    room.clone()
    room.shell("git sparse-checkout set a; echo more >> a/a")
    assert [(work.files, work.untracked) for work in room.counted()] == [(1, 0)]
    again = room.restored()
    assert room.shell("cat a/a b/b", again) == "a\nmore\nb\n"


def test_a_submodule_is_kept_as_the_commit_it_is_at(room: Room) -> None:
    room.clone()
    room.shell(f"git submodule -q add file://{room.folder}/remote sub; cd sub; {AHEAD}")
    (counted,) = room.counted()
    assert counted.files == 2
    code, _ = room.export()
    assert code == WRITTEN


def test_several_repositories(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    room.clone()
    room.shell(
        "git init -q other; cd other; echo a > a; git add a; git commit -qm a; cd ..; git init -q 'new\nline'", room.workspace
    )
    room.shell("git init -q ../elsewhere; mkdir no; ln -s ../elsewhere link; ln -s repo again", room.workspace)
    assert [work.path.removeprefix(f"{room.workspace}/") for work in room.counted()] == ["repo", "new\nline", "other"]
    assert room.export()[0] == NOTHING
    assert "codetainer export other > other.bundle" in capfd.readouterr().err
    code, file = room.export("other")
    assert code == WRITTEN
    room.shell(f"git bundle list-heads {file} | grep refs/heads/main", room.folder)


def test_an_unreadable_repository_is_reported_and_the_others_are_counted(room: Room) -> None:
    room.clone()
    room.shell(AHEAD)
    room.shell("mkdir broken; echo 'gitdir: /nonexistent' > broken/.git", room.workspace)
    repo, broken = room.counted()
    assert repo.commits == 1
    assert "git cannot read this repository (the git folder /nonexistent does not exist)" in broken.notes[0]


def test_a_patch_has_commits_and_files(room: Room) -> None:
    room.clone()
    room.shell(f"{AHEAD}; printf 'a\\0b' > binary; chmod +x one; rm two; ln -s one link")
    code, file = room.export(form=Form.PATCH)
    assert code == WRITTEN
    room.shell(f"git clone -q remote again; cd again; git apply {file}", room.folder)
    assert "\n+more\n" in file.read_text()  # text is not encoded as binary
    inside = "find . -name .git -prune -o -printf '%M %P %l\\n' | sort; cat binary more | sha256sum"
    assert room.shell(inside, room.folder / "again") == room.shell(inside)


def test_a_pipe_is_not_read(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    room.clone()
    room.shell("mkfifo pipe; echo u > u")
    assert [work.untracked for work in room.counted()] == [1]
    assert room.export()[0] == WRITTEN
    assert "/pipe" not in capfd.readouterr().err


def test_a_git_that_hangs_is_killed(room: Room) -> None:
    room.clone()
    os.mkfifo(room.folder / "pipe")
    room.shell(f"git config include.path {room.folder}/pipe")
    with pytest.raises(SystemFailure, match="cannot wait for git"):
        Git(room.environment, room.repo).answer("status", seconds=0.5)
