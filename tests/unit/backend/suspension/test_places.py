"""Files that are replaced at once, and a folder with the last archives."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from backend.contract.paths import AGENT_UID
from backend.suspension import listing
from backend.suspension.places import Store, part, refuse_agents, replacing
from backend.suspension.process import clear
from backend.system import SystemFailure


def test_a_file_is_replaced_when_it_is_complete(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("old")
    with replacing(file) as out:
        os.write(out, b"new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not part(file).exists()


def test_it_stays_as_it_was_if_writing_fails(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("old")
    with pytest.raises(OSError, match="full"), replacing(file) as out:
        os.write(out, b"ne")
        raise OSError(28, "full")
    assert file.read_text() == "old"
    assert not part(file).exists()


def test_what_a_killed_process_has_left_is_overwritten(tmp_path: Path) -> None:
    part(tmp_path / "a").write_text("a long rest of an archive")
    with replacing(tmp_path / "a") as out:
        os.write(out, b"new")
    assert (tmp_path / "a").read_text() == "new"


def test_two_at_once_do_not_write_into_each_other(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as out:
        with pytest.raises(SystemFailure, match="another process is writing it"), replacing(tmp_path / "a"):
            raise AssertionError
        os.write(out, b"new")
    assert (tmp_path / "a").read_text() == "new"


def test_a_leftover_that_somebody_still_writes_to_is_another_file(tmp_path: Path) -> None:
    """A supervisor may still write to the file of a client that was killed."""
    with part(tmp_path / "a").open("w") as other:
        other.write("x" * 99)
        with replacing(tmp_path / "a") as out:
            other.flush()
            os.write(out, b"new")
    assert (tmp_path / "a").read_text() == "new"


def test_one_that_is_taken_for_a_leftover_is_created_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, taken = fcntl.flock, list[Path]()

    def after_another(descriptor: int, how: int) -> None:
        if not taken:
            taken.append(part(tmp_path / "a"))
            taken[0].unlink()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", after_another)
    with replacing(tmp_path / "a") as out:
        os.write(out, b"new")
    assert (tmp_path / "a").read_text() == "new"


def test_a_link_in_the_place_of_the_new_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("whole")
    part(tmp_path / "a").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="Too many levels"), replacing(tmp_path / "a"):
        raise AssertionError
    assert (tmp_path / "victim").read_text() == "whole"


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for _ in range(4):
        store.next().write_text("x")
        store.prune()
    assert [file.name for file in store.generations()] == ["work-00000004.tar", "work-00000003.tar"]
    assert store.next().name == "work-00000005.tar"


def test_the_newest_usable_one_is_chosen_and_newer_ones_are_put_aside(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in (1, 2, 3):
        (tmp_path / f"work-0000000{number}.tar").write_text(str(number))
    (tmp_path / "work-x.tar").write_text("not one of ours")
    chosen, problems = store.newest(lambda file: "damaged" if file.read_text() == "3" else "")
    assert chosen == tmp_path / "work-00000002.tar"
    assert problems == ("work-00000003.tar: damaged",)
    assert (tmp_path / "work-00000003.tar.broken").read_text() == "3"


def test_none_is_put_aside_if_none_is_usable(tmp_path: Path) -> None:
    (tmp_path / "work-00000001.tar").write_text("x")
    assert Store(tmp_path).newest(lambda _: "damaged") == (None, ("work-00000001.tar: damaged",))
    assert (tmp_path / "work-00000001.tar").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change owners")
def test_a_folder_that_the_agent_can_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    Store(folder).require()
    os.chown(folder, AGENT_UID, 0)
    with pytest.raises(SystemFailure, match="belongs to the agent"):
        refuse_agents(folder)
    os.chown(folder, 0, AGENT_UID)
    folder.chmod(0o775)
    with pytest.raises(SystemFailure, match="belongs to the agent"):
        refuse_agents(folder)
    os.chown(folder, 0, 0)
    folder.chmod(0o1777)
    with pytest.raises(SystemFailure, match="can be written by every user"):
        refuse_agents(folder)
    (folder / "below").mkdir()
    refuse_agents(folder / "below")  # the sticky bit keeps others from replacing it
    folder.chmod(0o777)
    with pytest.raises(SystemFailure, match="can be written by every user"):
        refuse_agents(folder / "below")


def test_leftovers_are_removed_and_a_missing_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / ".work-00000007.tar.part").write_text("half")
    Store(tmp_path).require()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SystemFailure, match="cannot use CODETAINER_STATE="):
        Store(tmp_path / "none").require()


# --- the agent's files ---


def test_the_names_of_the_agents_files(tmp_path: Path) -> None:
    kept = ["repo", "repo/.git", "repo/.git/index", "repo/yarn.lock", "link", "pipe", "x.lock"]
    left = ["repo/.git/index.lock", "repo/.git/refs.lock", "repo/.git/gc.pid"]
    workspace = tmp_path / "workspace"
    (workspace / "repo/.git").mkdir(parents=True)
    for name in (*kept[2:4], kept[6], *left):
        (workspace / name).touch()
    (workspace / "link").symlink_to("/nowhere")
    os.mkfifo(workspace / "pipe")
    home = tmp_path / "home/claude"
    for folder in (".codetainer", ".claude/ide", ".claude.json.lock", "lock"):
        (home / folder).mkdir(parents=True)
    for file in (".codetainer/session.json", ".claude/ide/1.lock", ".claude/x"):
        (home / file).touch()
    reasons: list[str] = []
    names = [os.fsdecode(name) for name in listing.names(tmp_path, ("workspace", "home/claude", "tmp"), reasons.append)]
    of_home = [f"home/claude/{name}" for name in (".claude", ".claude/ide", ".claude/x", "lock")]
    assert sorted(names) == sorted([*(f"workspace/{name}" for name in kept), *of_home])
    assert all(name.rpartition("/")[0] in (*names[:at], "workspace", "home/claude") for at, name in enumerate(names))
    assert reasons == ["/tmp: No such file or directory"]


def test_boots_own_files_get_room(tmp_path: Path) -> None:
    (tmp_path / "folder").symlink_to("/etc")
    (tmp_path / "closed").mkdir(mode=0o500)
    (tmp_path / "file").mkdir()
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "link.before-resume").touch()
    (tmp_path / "read-only").touch(mode=0o400)
    clear(
        [tmp_path / "folder", tmp_path / "closed", tmp_path / "none"],
        [tmp_path / name for name in ("file", "link", "read-only", "nothing")],
    )
    assert (tmp_path / "folder.before-resume").is_symlink()
    assert (tmp_path / "closed").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "file.before-resume").is_dir()
    assert (tmp_path / "link.before-resume1").is_symlink()
    assert (tmp_path / "read-only").stat().st_mode & 0o777 == 0o600
    assert not any((tmp_path / name).exists() for name in ("folder", "file", "link", "none", "nothing"))
