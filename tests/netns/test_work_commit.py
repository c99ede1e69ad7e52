"""The commit that holds the work: its contents, omitted files and their reports, and that only work changes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.work import checkout, place, process, repository, scratch, wip
from backend.work import export as verb
from backend.work.export import LARGEST, PARTLY, WRITTEN
from backend.work.wip import Wip
from tests.netns.work_room import AHEAD, Room

pytestmark = pytest.mark.netns


def test_uncommitted_files_of_another_work_tree_are_exported_too(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    room.clone()
    room.shell("git worktree add -q ../other -b other; echo u > ../other/u; git worktree add -q inside -b inside")
    code, file = room.export()
    assert code == WRITTEN  # a work tree inside is not a separate repository
    assert "unsaved work, too" not in capfd.readouterr().err
    assert "requires this ref" in room.shell(f"git bundle verify {file} 2>&1")  # pushed commits are not included
    room.shell(f"git fetch -q {file} refs/worktrees/other; git show FETCH_HEAD:u", room.folder / "seed")


def test_work_trees_have_distinct_refs_whatever_their_names(room: Room) -> None:
    """The refs contain the folders' names, some of which git does not allow in refs."""
    room.clone()
    for number, name in enumerate(("a b", "../deep/a b", "..~^:", "x.lock")):
        room.shell(f"git worktree add -q --detach '../../{name}'")
        room.shell(f"git commit -q --allow-empty -m {number}; echo {number} > u", room.repo / "../.." / name)
    code, file = room.export()
    assert code == WRITTEN
    seed = room.folder / "seed"
    room.shell(f"git fetch -q {file} '+refs/*:refs/codetainer/*'", seed)
    places = "refs/codetainer/detached refs/codetainer/worktrees"
    names = room.shell(f"git for-each-ref --format='%(refname)' {places}", seed)
    parts = [name.rpartition("/")[2] for name in names.split()]
    assert sorted(parts) == sorted(["a-b", "a-b-2", "tree", "x-lock"] * 2)


def test_the_fingerprint_changes_with_the_work_alone(room: Room) -> None:
    room.clone()
    room.shell("git worktree add -q ../other -b other; echo u > ../other/u; echo u > u")

    def made(largest: int = LARGEST) -> Wip:
        with scratch.workshop(room.home) as workshop:
            here = place.locate(room.repo)
            assert here is not None
            commit = wip.make(repository.read(here, workshop), largest)
        assert commit is not None
        return commit

    first = made()
    room.shell("sleep 1.1")  # commits have their times in seconds
    again = made()
    assert (again.fingerprint, again.commit != first.commit) == (first.fingerprint, True)
    room.shell("head -c 5000 /dev/zero > big.bin")
    large = made(1000)
    assert (large.left_out, large.fingerprint != first.fingerprint) == (
        ("big.bin",),
        True,
    )  # else the omission would not be reported
    room.shell("rm big.bin; echo more >> ../other/u")
    assert made().fingerprint not in (first.fingerprint, large.fingerprint)


def test_work_that_is_saved_already_is_not_pushed_again(room: Room) -> None:
    room.clone()
    room.shell("echo u > u")
    remote = str(room.folder / "remote")
    first = process.save(room.repo, remote, "wip/x", "", room.home)
    assert room.shell("git rev-parse wip/x", room.folder / "remote").strip() == first["commit"]
    assert process.save(room.repo, remote, "wip/x", first["fingerprint"], room.home) == {
        "fingerprint": first["fingerprint"],
        "commit": "",
    }
    room.counted()
    places = (room.folder / "home", Path("/tmp"))
    assert not [left for place in places for left in place.glob(f"{scratch.PREFIX}{os.getpid()}-*")]


def test_the_commit_message(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    """It tells CI not to build the branch, and gives the command that restores the staged files separately if possible."""
    room.clone()
    room.shell("echo 1 >> one")
    again = room.restored()
    message = room.shell("git log -1 --format=%B refs/codetainer/wip", again)
    assert "[skip ci]" in message
    assert "-C ../work reset --quiet" in message
    room.shell("git add one")
    capfd.readouterr()
    room.export()
    assert "stash apply --index refs/codetainer/wip" in capfd.readouterr().err
    room.shell("git stash -q; git switch -qc x; echo x > one; git commit -qam x; git switch -q main")
    room.shell("echo m > one; git commit -qam m; git merge x || :")
    assert room.export()[0] == PARTLY
    assert "there are conflicts" in capfd.readouterr().err


def test_only_files_that_are_too_large_or_do_not_fit_are_left_out(
    room: Room, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    room.clone()
    room.shell("head -c 5000 /dev/zero > 'a*'; head -c 500 /dev/zero > ab; head -c 900 /dev/zero > c")
    monkeypatch.setattr(verb, "LARGEST", 1000)
    assert room.export()[0] == PARTLY
    assert [line for line in capfd.readouterr().err.splitlines() if "left out" in line] == [
        "codetainer: left out because space ran short: a*"
    ]
    assert room.shell("ls", room.restored()).split() == ["ab", "c", "one", "two"]
    capfd.readouterr()
    monkeypatch.setattr(checkout, "room", lambda _: 1000)  # a tenth of it is reserved for the agent
    room.export()
    assert [line.rpartition(" ")[2] for line in capfd.readouterr().err.splitlines() if "left out" in line] == ["a*", "c"]


def test_very_many_files_are_counted_up_to_a_reported_bound(
    room: Room, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    room.clone()
    room.shell(f"for n in a b c; do git worktree add -q ../$n -b $n; (cd ../$n; {AHEAD.replace('-qm more', '-qm $n')}); done")
    monkeypatch.setattr(repository, "MAX_WORKTREES", 2)
    monkeypatch.setattr(wip, "MAX_TIPS", 2)
    assert "more than 2 work trees" in str(room.counted()[0].notes)
    assert room.export()[0] == PARTLY
    assert "left out 1 of 3 branches, tags and stashes (limit 2)" in capfd.readouterr().err
    monkeypatch.setattr(place, "MAX_REPOSITORIES", 1)
    assert len(room.counted()) == 1


def test_no_program_of_the_agents_global_configuration_runs(room: Room) -> None:
    room.clone()
    room.shell("git config --global filter.loud.clean 'touch ~/ran; cat'; echo '* filter=loud' > .git/info/attributes")
    room.shell("echo 1 >> one; echo u > u")
    assert [(work.files, work.untracked) for work in room.counted()] == [(1, 1)]
    assert room.export()[0] == WRITTEN
    assert not (room.folder / "home/ran").exists()


def test_a_repository_with_the_longer_hashes(room: Room) -> None:
    room.shell(
        "git init -q --object-format=sha256 repo; cd repo; echo a > a; git add a; git commit -qm a; echo b > b", room.workspace
    )
    assert [(work.commits, work.untracked, work.notes) for work in room.counted()] == [(1, 1, ())]
    code, file = room.export()
    assert code == WRITTEN
    room.shell(f"git init -q --object-format=sha256 again; cd again; git fetch -q {file} refs/wip", room.folder)
    assert room.shell("git show FETCH_HEAD:b", room.folder / "again") == "b\n"
