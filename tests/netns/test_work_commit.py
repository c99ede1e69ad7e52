"""The commit that holds the work: what is in it, what is left out and said, and that nothing else changes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.work import checkout, place, process, repository, scratch, wip
from backend.work import export as verb
from backend.work.export import LARGEST, PARTLY, WRITTEN
from backend.work.wip import Wip
from tests.netns.test_work_repositories import AHEAD, Room, room

pytestmark = pytest.mark.netns

__all__ = ["room"]


def test_what_is_not_committed_in_another_work_tree_is_in_the_export_too(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    room.clone()
    room.shell("git worktree add -q ../other -b other; echo u > ../other/u; git worktree add -q inside -b inside")
    code, file = room.export()
    assert code == WRITTEN  # a work tree inside is no repository of its own
    assert "work of its own" not in capfd.readouterr().err
    assert "requires this ref" in room.shell(f"git bundle verify {file} 2>&1")  # what was pushed is not in it again
    room.shell(f"git fetch -q {file} refs/worktrees/other; git show FETCH_HEAD:u", room.folder / "seed")


def test_work_trees_are_told_apart_whatever_they_are_called(room: Room) -> None:
    """Their names stand in refs, where git does not allow all that a folder may be called."""
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
    found = [name.rpartition("/")[2] for name in names.split()]
    assert sorted(found) == sorted(["a-b", "a-b-2", "tree", "x-lock"] * 2)


def test_the_fingerprint_changes_with_the_work_alone(room: Room) -> None:
    room.clone()
    room.shell("git worktree add -q ../other -b other; echo u > ../other/u; echo u > u")

    def made(largest: int = LARGEST) -> Wip:
        with scratch.workshop(room.home) as workshop:
            here = place.locate(room.repo)
            assert here is not None
            found = wip.make(repository.read(here, workshop), largest)
        assert found is not None
        return found

    first = made()
    room.shell("sleep 1.1")  # commits have their times in seconds
    again = made()
    assert (again.fingerprint, again.commit != first.commit) == (first.fingerprint, True)
    room.shell("head -c 5000 /dev/zero > big.bin")
    large = made(1000)
    assert (large.left_out, large.fingerprint != first.fingerprint) == (("big.bin",), True)  # or nobody would be told
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


def test_what_is_said_of_the_commit(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    """A service that sees the branch shall not build it; and what was staged is kept apart where it can be."""
    room.clone()
    room.shell("echo 1 >> one")
    again = room.restored()
    said = room.shell("git log -1 --format=%B refs/codetainer/wip", again)
    assert "[skip ci]" in said
    assert "-C ../work reset --quiet" in said
    room.shell("git add one")
    capfd.readouterr()
    room.export()
    assert "stash apply --index refs/codetainer/wip" in capfd.readouterr().err
    room.shell("git stash -q; git switch -qc x; echo x > one; git commit -qam x; git switch -q main")
    room.shell("echo m > one; git commit -qam m; git merge x || :")
    assert room.export()[0] == PARTLY
    assert "there are conflicts" in capfd.readouterr().err


def test_what_is_too_large_or_has_no_room_is_left_out_and_nothing_else(
    room: Room, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    room.clone()
    room.shell("head -c 5000 /dev/zero > 'a*'; head -c 500 /dev/zero > ab; head -c 900 /dev/zero > c")
    monkeypatch.setattr(verb, "LARGEST", 1000)
    assert room.export()[0] == PARTLY
    assert [line for line in capfd.readouterr().err.splitlines() if "left out" in line] == [
        "codetainer: left out for want of room: a*"
    ]
    assert room.shell("ls", room.restored()).split() == ["ab", "c", "one", "two"]
    capfd.readouterr()
    monkeypatch.setattr(checkout, "room", lambda _: 1000)  # a tenth of it stays the agent's
    room.export()
    assert [line.rpartition(" ")[2] for line in capfd.readouterr().err.splitlines() if "left out" in line] == ["a*", "c"]


def test_very_many_are_counted_up_to_a_bound_and_that_is_said(
    room: Room, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    room.clone()
    room.shell(f"for n in a b c; do git worktree add -q ../$n -b $n; (cd ../$n; {AHEAD.replace('-qm more', '-qm $n')}); done")
    monkeypatch.setattr(repository, "MAX_WORKTREES", 2)
    monkeypatch.setattr(wip, "MAX_TIPS", 2)
    assert "more than 2 work trees" in str(room.counted()[0].notes)
    assert room.export()[0] == PARTLY
    assert "1 branches more than 2 are left out" in capfd.readouterr().err
    monkeypatch.setattr(place, "MAX_REPOSITORIES", 1)
    assert len(room.counted()) == 1


def test_nothing_that_the_agent_has_configured_for_all_repositories_runs(room: Room) -> None:
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
