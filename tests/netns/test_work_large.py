"""Repositories that are far larger than usual, or in which git waits: all that can be kept is kept, and the rest is named."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from backend.contract.events import RepositoryWork
from backend.work import checkout, commits, process
from tests.netns.work_room import AHEAD, Room

pytestmark = pytest.mark.netns


def saved(room: Room) -> Mapping[str, Any]:
    return process.save(room.repo, str(room.folder / "remote"), "wip/x", "", room.home)


def files(room: Room) -> set[str]:
    """Names of what was saved."""
    return set(room.shell("git ls-tree -r --name-only wip/x", room.folder / "remote").split())


def packed(room: Room, lines: int) -> None:
    """Branches of the remote, as many as the largest public repositories have; one of the agent's; tags."""
    up, head = room.shell("git rev-parse HEAD^ HEAD").split()
    entries = [f"{head} refs/heads/packed\n", *(f"{up} refs/remotes/origin/b{number:08}\n" for number in range(lines))]
    (room.repo / ".git/packed-refs").write_text("".join((*entries, f"{head} refs/tags/v1\n")))


def packed_and_long(room: Room, lines: int) -> None:
    """More than 64 MB."""
    packed(room, lines)
    file = room.repo / ".git/packed-refs"
    file.write_text(file.read_text().replace("origin/b", f"origin/{'x' * 150}"))


def shallow(room: Room, lines: int) -> None:
    """Commits that do not exist. git compares names by their first bytes, and takes minutes for many that begin alike."""
    (room.repo / ".git/shallow").write_text("".join(f"{number:040x}\n" for number in range(1, lines)))


def configuration(room: Room, lines: int) -> None:
    with (room.repo / ".git/config").open("a") as file:
        file.writelines(f'[branch "b{n:08}"]\n\tremote = origin\n\tmerge = refs/heads/b{n:08}\n' for n in range(lines))


LARGE: dict[str, tuple[Callable[[Room, int], None], int]] = {
    "packed-refs": (packed, 400_000),
    "packed-refs of more than 64 MB": (packed_and_long, 400_000),
    "shallow": (shallow, 150_000),
    "config": (configuration, 40_000),
}


@pytest.mark.parametrize("case", LARGE)
def test_a_large_file_of_git_changes_nothing(room: Room, case: str) -> None:
    make, lines = LARGE[case]
    room.clone()
    room.shell(f"{AHEAD}; echo u > u; git update-ref refs/remotes/origin/main HEAD^")
    make(room, lines)
    assert room.counted() == [RepositoryWork(str(room.repo), "main", commits=1, untracked=1)]
    assert saved(room)["left_out"] == []
    assert files(room) == {"one", "two", "more", "u"}


def test_the_latest_stashes_are_kept_and_the_others_are_counted(room: Room) -> None:
    """A log of 86 MB."""
    room.clone()
    room.shell("echo s > one; git stash -q; echo u > u")
    commit, base = room.shell("git rev-parse stash stash^").split()
    line = f"{base} {base} A <a@example.com> 1 +0000\t{'x' * 100}\n"
    last = f"{base} {commit} A <a@example.com> 1 +0000\tlast\n"
    (room.repo / ".git/logs/refs/stash").write_text(line * 400_000 + last)
    (work,) = room.counted()
    assert (work.stashes, work.untracked) == (200, 1)
    assert "the list of stashes is larger than 4 MB" in work.notes[0]
    assert work.notes[1].startswith("there are more than 200 stashes: the oldest ")
    assert [*saved(room)["left_out"]] == [*work.notes]


def test_an_index_that_is_too_large_is_left_out_and_named(room: Room) -> None:
    room.clone()
    room.shell("echo s > one; git add one; echo u > u")
    os.truncate(room.repo / ".git/index", checkout.MAX_INDEX + 1)
    (work,) = room.counted()
    assert (work.files, work.untracked) == (1, 1)
    assert "cannot be read (larger than 512 MB)" in work.notes[0]
    saved(room)
    assert files(room) == {"one", "two", "u"}


def test_refs_whose_objects_take_too_long_to_find_are_named(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit that is checked out is asked about first."""
    room.clone()
    room.shell(f"{AHEAD}; echo u > u")
    packed(room, 3000)
    file = room.repo / ".git/packed-refs"
    up = room.shell("git rev-parse HEAD^").strip()
    entries = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line.replace(up, f"{n:040x}") for n, line in enumerate(entries)))
    monkeypatch.setattr(commits, "BATCH", 1000)
    monkeypatch.setattr(commits, "BEHIND_SECONDS", 0.0)
    (work,) = room.counted()
    assert (work.branch, work.untracked) == ("main", 1)
    assert work.commits >= 1
    assert any(
        note.startswith("branches and tags that are not examined, because git takes too long to find them: ")
        for note in work.notes
    )


def pipe(room: Room, name: str) -> Path:
    path = room.repo / name
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    ("name", "left_out", "note"),
    [
        (".gitignore", {"new", "folder/new"}, "untracked files in {repo} are left out: {repo}/.gitignore is a pipe"),
        ("folder/.gitignore", {"folder/new"}, "untracked files in {repo}/folder are left out: {repo}/folder/.gitignore is a"),
        ("a[b]*/.gitignore", set(), "untracked files in {repo}/a[b]* are left out: {repo}/a[b]*/.gitignore is a pipe"),
        (".gitattributes", set(), "{repo}/.gitattributes is a pipe: files are compared without regard to attributes"),
        ("inner/.git/HEAD", set(), "{repo}/inner is left out: its HEAD is a pipe, which would block git"),
    ],
)
def test_a_pipe_for_which_git_waits_is_named_and_the_rest_is_kept(
    room: Room, monkeypatch: pytest.MonkeyPatch, name: str, left_out: set[str], note: str
) -> None:
    room.clone()
    room.shell(
        f"{AHEAD}; mkdir folder; echo t > folder/tracked; git add folder; git commit -qm t; git init -q inner;"
        "echo changed > one; echo new > new; echo new > folder/new"
    )
    room.shell("git update-index --assume-unchanged two")  # its mark is taken off, which writes an index
    pipe(room, name)
    monkeypatch.setattr(checkout, "LOOK_SECONDS", 1.0)
    (work,) = room.counted()
    expected = {"new", "folder/new"} - left_out
    assert (work.commits, work.files, work.untracked) == (2, 1, len(expected))
    assert any(said.startswith(note.format(repo=room.repo)) for said in work.notes), work.notes
    told = saved(room)["left_out"]
    assert any(said.startswith(note.format(repo=room.repo)) for said in told), told
    assert files(room) == {"one", "two", "more", "folder/tracked", *expected}
    assert room.shell("git show wip/x:one", room.folder / "remote") == "changed\n"


def test_a_pipe_for_the_excluded_names_is_named(room: Room) -> None:
    room.clone()
    room.shell("echo u > u")
    path = pipe(room, ".git/info/exclude")
    (work,) = room.counted()
    assert (work.untracked, work.notes) == (
        1, (f"{path} cannot be read (not a regular file, or too large): files that it ignores count as work",),
    )  # fmt: skip
    saved(room)
    assert files(room) == {"one", "two", "u"}
