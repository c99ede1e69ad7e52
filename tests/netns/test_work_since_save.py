"""The work since a save, and work that an export does not contain. Without a sandbox, with real git."""

from __future__ import annotations

import dataclasses

import pytest

from backend.contract.events import SinceSave
from backend.work import baseline, process
from backend.work.baseline import Baseline
from backend.work.export import WRITTEN
from tests.netns.work_room import AHEAD, Room

pytestmark = pytest.mark.netns


def saved(room: Room) -> Baseline:
    """Saves the clone to a branch of the remote, and reads what is kept of that, as the supervisor does."""
    result = process.save(room.repo, f"file://{room.folder}/remote", "wip/x", "", room.home)
    file = room.folder / "saved-work.json"
    file.write_text(baseline.checked(result["commit"], result["kept"]))
    read = Baseline.read(file)
    assert read is not None
    return read


def since(room: Room, save: Baseline) -> SinceSave | None:
    result = process.count(room.workspace, room.home, save)["since"]
    return result and SinceSave(**result)


SAVED_WORK = f"""
{AHEAD}; git switch -qc side; git commit -q --allow-empty -m side; git switch -q main; git worktree add -q ../tree side
echo 1 >> one; git stash -q; echo 2 >> two; rm one; mkdir -p deep; echo x > deep/new; echo y > ../tree/y
"""
CHANGES = {
    "nothing": ("", SinceSave("")),
    "a commit": ("echo z > z; git add z; git commit -qm z", SinceSave("", commits=1)),
    "a commit of saved files": ("git add deep; git commit -qm deep", SinceSave("", commits=1)),
    "a commit of a work tree": ("git -C ../tree commit -q --allow-empty -m more", SinceSave("", commits=1)),
    "an edit": ("echo 3 >> two", SinceSave("", files=1)),
    "an edit of the same size": ("echo z > deep/new", SinceSave("", untracked=1)),
    "a mode": ("chmod +x deep/new", SinceSave("", untracked=1)),
    "a deleted file that comes back": ("echo 1 > one", SinceSave("", files=1)),
    "another name": ("mv deep deeper", SinceSave("", untracked=1)),
    "a file that was ignored": ("echo .o > .gitignore", SinceSave("", untracked=1)),
    "a file of a work tree": ("echo 2 > ../tree/z", SinceSave("", untracked=1)),
    "a stash": ("git stash -q", SinceSave("", stashes=1)),
    "a dropped stash": ("git stash drop -q", SinceSave("")),
    "what was taken back": ("git checkout -q one two", SinceSave("")),
    "other repositories": ("git init -q ../other; echo o > ../other/o", SinceSave("")),
}


@pytest.mark.parametrize(("script", "expected"), CHANGES.values(), ids=CHANGES)
def test_the_work_since_a_save_is_counted(room: Room, script: str, expected: SinceSave) -> None:
    room.clone()
    room.shell(SAVED_WORK)
    save = saved(room)
    room.shell(script)
    found = since(room, save)
    assert found is not None
    assert dataclasses.replace(found, commit="") == expected
    assert found.commit == save.commit


def test_the_work_since_a_save_is_not_known_without_the_clone(room: Room) -> None:
    room.clone()
    room.shell(SAVED_WORK)
    save = saved(room)
    room.shell("mv repo moved", room.workspace)
    assert since(room, save) is None


def test_a_saved_commit_that_is_gone_does_not_hide_the_work(room: Room) -> None:
    room.clone()
    room.shell(AHEAD)
    save = saved(room)
    room.shell("git commit -q --amend -m other; git reflog expire --expire=now --all; git gc -q --prune=now")
    assert since(room, save) == SinceSave(save.commit, commits=1)


def test_the_export_names_other_repositories_with_the_words_of_the_count(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    """Damage in them, too, which leaves the written export as it is."""
    room.clone()
    room.shell(AHEAD)
    room.shell("git init -q sound; echo s > sound/s; git init -q broken; rm broken/.git/HEAD", room.workspace)
    code, _ = room.export()
    assert code == WRITTEN
    output = capfd.readouterr().err
    assert f"not exported: {room.workspace}/sound: 1 file not committed\n  codetainer export sound > sound.bundle\n" in output
    assert f"not exported: {room.workspace}/broken: not fully known: " in output
    assert "  codetainer export broken > broken.bundle\n" in output
