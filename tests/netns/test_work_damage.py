"""Damaged repositories: all unsaved work is counted, saved and exported byte for byte, or reported as missing.

Length: a table of kinds of damage, and the tests that use it.
"""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from backend.contract.events import RepositoryWork
from backend.hooks import statusline
from backend.system import SETPRIV
from backend.work.export import NOTHING, PARTLY, WRITTEN
from tests import reftables
from tests.netns.work_room import AHEAD, Room

pytestmark = pytest.mark.netns


def kept(room: Room, commit: str, git_folder: Path) -> dict[str, bytes]:
    """Returns the files of a commit, without the conversions of a checkout."""
    blobs = {}
    for entry in filter(None, room.git(git_folder, "ls-tree", "-r", "-z", commit).split(b"\0")):
        about, _, path = entry.partition(b"\t")
        blobs[os.fsdecode(path)] = about.split()[2]
    answer = io.BytesIO(room.git(git_folder, "cat-file", "--batch", stdin=b"".join(blob + b"\n" for blob in blobs.values())))
    files = {}
    for name, blob in blobs.items():
        read, kind, size = answer.readline().split()
        assert (read, kind) == (blob, b"blob"), name
        files[name] = answer.read(int(size))
        assert answer.read(1) == b"\n"
    return files


def lying(room: Room) -> dict[str, bytes]:
    """Returns the regular files of the work tree, without ignored ones."""
    files = {}
    for folder, folders, names in os.walk(room.repo):
        folders[:] = [name for name in folders if name != ".git"]
        for path in (Path(folder, name) for name in names if name != ".git"):
            if stat.S_ISREG(path.lstat().st_mode) and path != room.repo / "ignored":
                files[str(path.relative_to(room.repo))] = path.read_bytes()
    return files


def as_agent(room: Room, call: str, out: Path | None = None) -> tuple[Any, str]:
    """Evaluates `call` without root's right to read everything. Returns the call's result and its stderr."""
    code = (
        "import json, os, sys; from pathlib import Path; from backend.work import process; from backend.work.export import *\n"
        f"room, home = Path(sys.argv[1]), Path(sys.argv[2])\nsys.stderr.write(chr(10) + json.dumps({call}))"
    )
    dropped = "-dac_override,-dac_read_search"
    drop = [SETPRIV, f"--bounding-set={dropped}", f"--inh-caps={dropped}"]
    with (out or Path(os.devnull)).open("wb") as stdout:
        done = subprocess.run(
            [*drop, sys.executable, "-I", "-c", code, room.repo, room.home],
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=120,
        )  # fmt: skip
    stderr, _, value = done.stderr.rpartition("\n")
    assert done.returncode == 0, done.stderr
    return json.loads(value), stderr


COUNT = "process.count(room.parent, home)"
EXPORT = "export(room.parent, None, home, 1, Form.BUNDLE)"
SAVE = "process.save(room, str(home.parent / 'remote'), 'wip/x', {}, home)"


def work_of(counted: Mapping[str, Any]) -> RepositoryWork:
    return RepositoryWork(**{**counted["repositories"][0], "notes": tuple(counted["repositories"][0]["notes"])})


def counted(room: Room) -> RepositoryWork:
    return work_of(as_agent(room, COUNT)[0])


def saved(room: Room, unless: str = "") -> dict[str, Any]:
    return dict(as_agent(room, SAVE.format(repr(unless)))[0])


def fetched(room: Room, code: int) -> dict[str, bytes]:
    """Fetches the export's bundle into a clone. Returns the files, given the exit code of the export."""
    if code == NOTHING:
        return {}
    taken = room.folder / "taken"
    room.shell(
        f"git init -q --bare {taken}; cd {taken}; git fetch -q {room.folder}/remote;"
        f"git fetch -q {room.folder}/bundle '+refs/*:refs/codetainer/*'",
        room.folder,
    )
    return kept(room, "refs/codetainer/wip", taken)


def exported(room: Room) -> tuple[int, dict[str, bytes], str]:
    """Exports, and fetches the bundle into a clone. Returns the exit code, the files, and stderr."""
    code, stderr = as_agent(room, EXPORT, room.folder / "bundle")
    return code, fetched(room, code), stderr


WORK = f"""
{AHEAD}; git switch -qc feature; echo f > feature; git add feature; git commit -qm feature; git switch -q main
echo hidden >> two; git stash -q; echo staged >> one; git add one; echo not staged >> one; echo u > untracked
echo ignored > .gitignore; echo i > ignored; mkdir -p deep/er; echo d > deep/er/file; chmod +x two
"""
HEAD_OBJECT = 'o=$(git rev-parse {}); rm -f ".git/objects/${{o:0:2}}/${{o:2}}"'
DAMAGE = {
    "nothing": "true",
    "core.bare": "git config core.bare true",
    "core.worktree": "mkdir ../elsewhere; git config core.worktree ../../elsewhere",
    "a core.worktree that does not exist": "git config core.worktree /nonexistent",
    "an unknown extension": "git config core.repositoryFormatVersion 1; git config extensions.future x",
    "an unknown format": "git config core.repositoryFormatVersion 99",
    "garbage in HEAD": "echo garbage > .git/HEAD",
    "garbage in HEAD and no reflog": "echo garbage > .git/HEAD; rm -r .git/logs",
    "an empty HEAD": ": > .git/HEAD",
    "no HEAD": "rm .git/HEAD",
    "an unreadable HEAD": "chmod 0 .git/HEAD",
    "HEAD without its object": HEAD_OBJECT.format("HEAD"),
    "HEAD without its tree": HEAD_OBJECT.format("HEAD^{tree}"),
    "HEAD without one of its files": HEAD_OBJECT.format("HEAD:more"),
    "a branch without its object": HEAD_OBJECT.format("feature"),
    "a branch without a file of it": HEAD_OBJECT.format("feature:feature"),
    "a branch that is empty": ": > .git/refs/heads/feature",
    "a branch with garbage": "echo garbage > .git/refs/heads/main; rm -r .git/logs",
    "a stash without its object": HEAD_OBJECT.format("stash"),
    "a file of the index is missing": HEAD_OBJECT.format(":one"),
    "an object is damaged": 'o=$(git rev-parse HEAD:more); f=.git/objects/${o:0:2}/${o:2}; chmod +w $f; echo x > $f',
    "garbage in the index": "echo garbage > .git/index",
    "no index": "rm .git/index",
    "an unreadable index": "chmod 0 .git/index",
    "a pipe for the index": "rm .git/index; mkfifo .git/index",
    "half an index": "truncate -s 100 .git/index",
    "garbage in packed-refs": "git pack-refs --all; echo garbage >> .git/packed-refs",
    "a pipe for packed-refs": "rm -f .git/packed-refs; mkfifo .git/packed-refs",
    "garbage in shallow": "echo garbage > .git/shallow",
    "garbage in config": "echo '[garbage' >> .git/config",
    "garbage for config": "echo garbage > .git/config",
    "a config that includes itself": "printf '[include]\\npath = config\\n' >> .git/config",
    "a config that includes a pipe": "mkfifo ../pipe; printf '[include]\\npath = ../../pipe\\n' >> .git/config",
    "a pipe for config": "rm .git/config; mkfifo .git/config",
    "an unreadable config": "chmod 0 .git/config",
    "no config": "rm .git/config",
    "no objects": "rm -r .git/objects",
    "unreadable objects": "chmod 0 .git/objects",
    "unreadable refs": "chmod 0 .git/refs",
    "no refs": "rm -r .git/refs",
    "alternates that there are not": "echo /nonexistent > .git/objects/info/alternates",
    "an unreadable folder": "chmod 0 .git",
    "no git folder": "rm -r .git",
    "an empty git folder": "rm -r .git; mkdir .git",
    "a link that leads nowhere": "rm -r .git; ln -s /nonexistent .git",
    "a file that leads nowhere": "rm -r .git; echo 'gitdir: /nonexistent' > .git",
    "garbage for the git folder": "rm -r .git; echo garbage > .git",
    "hooks, filters and monitors": "git config core.fsmonitor /bin/false; git config core.hooksPath /nonexistent;"
    "git config filter.x.clean false; git config filter.x.required true; echo '* filter=x' > .git/info/attributes",
    "grafts and replaced objects": "git replace HEAD HEAD^; echo garbage > .git/info/grafts",
    "another owner's signatures": "git config commit.gpgSign true; git config gpg.program false; git config push.gpgSign true",
    "refs of a format that this git may not know": "git config core.repositoryFormatVersion 1;"
    "git config extensions.refStorage reftable; mkdir .git/reftable; echo 'ref: refs/heads/.invalid' > .git/HEAD",
}  # fmt: skip


@pytest.fixture(scope="module")
def worked_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a room whose clone has unsaved work of every kind. Each case damages a copy of it."""
    room = Room(tmp_path_factory.mktemp("worked-in"))
    room.clone()
    room.shell(WORK)
    return room.folder


@pytest.mark.parametrize("case", DAMAGE)
def test_all_files_come_out_of_a_damaged_repository(worked_in: Path, tmp_path: Path, case: str) -> None:
    """One process does everything, in the order: count, export, save, save again."""
    room = Room(tmp_path, worked_in)
    room.shell("git update-index -q --refresh || :")  # the index has the inode numbers of the original
    files = lying(room)
    assert files
    room.shell(DAMAGE[case])
    again = SAVE.format("first['fingerprint']")
    call = f"[{COUNT}, {EXPORT}, first := {SAVE.format(repr(''))}, {again}]"
    (count, code, first, second), stderr = as_agent(room, call, room.folder / "bundle")
    work = work_of(count)
    assert work.anything, work
    assert code in (WRITTEN, PARTLY), stderr
    assert fetched(room, code) == files, stderr
    assert code == PARTLY or not work.notes
    assert kept(room, "wip/x", room.folder / "remote") == files
    assert second == {"fingerprint": first["fingerprint"], "commit": ""}


def test_a_branch_whose_history_is_lost_keeps_its_files(room: Room) -> None:
    room.clone()
    room.shell(
        "git switch -qc feature; for n in 1 2 3; do echo $n > file; git add file; git commit -qm $n; done; git switch -q main"
    )
    room.shell(HEAD_OBJECT.format("feature^"))
    code, exported_files, stderr = exported(room)
    assert (code, exported_files) == (PARTLY, lying(room))
    assert "the history of heads/feature cannot be read" in stderr
    assert "heads/feature is kept without its history" in stderr
    taken = room.folder / "taken"
    assert (
        room.shell("git show refs/codetainer/heads/feature:file; git rev-list --count refs/codetainer/heads/feature", taken)
        == "3\n1\n"
    )


def test_files_in_closed_folders_are_reported(room: Room) -> None:
    """Including tracked files, and also by the count: no report may claim that all work is saved."""
    room.clone()
    room.shell(
        "mkdir open closed; echo x > open/x; echo c > closed/c; git add .; git commit -qm folders; mkdir new; echo n > new/n"
    )
    room.shell("echo changed > closed/c; echo secret > secret; chmod 0 closed new secret")
    try:
        work = counted(room)
        code, exported_files, stderr = exported(room)
        notes = saved(room)["left_out"]
    finally:
        room.shell("chmod 755 closed new")
    assert code == PARTLY
    assert sorted(exported_files) == ["closed/c", "one", "open/x", "two"]  # as it was committed
    for name in ("closed", "new"):
        for lines in (work.notes, stderr.splitlines(), notes):
            assert any(f"{name}: cannot be opened: Permission denied" in line for line in lines), lines
    assert any("closed/c: cannot be examined" in line for line in notes)
    assert any("secret: cannot be read: Permission denied" in line for line in notes)


def test_pipes_in_the_place_of_files_are_reported(room: Room) -> None:
    room.clone()
    room.shell("rm one; mkfifo one; mkfifo untracked; ln -s no\x01where link; echo u > u")
    code, exported_files, stderr = exported(room)
    assert (code, sorted(exported_files)) == (PARTLY, ["link", "two", "u"])
    assert "one: not a file: a pipe, a socket or a device" in stderr


def test_a_repository_that_is_bare_beside_its_work_trees(room: Room) -> None:
    """`git clone --bare` into .git, with work trees below: files outside the work trees do not belong to git."""
    room.shell("mkdir repo; cd repo; git clone -q --bare ../../remote .git; git worktree add -q main", room.workspace)
    room.shell("git config remote.origin.url https://github.com/example/demo; git update-ref refs/remotes/origin/main main")
    room.shell(f"cd main; {AHEAD}; echo u > u")
    work = room.counted()[0]
    assert (work.commits, work.files, work.untracked, work.notes) == (1, 0, 1, ())


def test_the_work_tree_that_its_configuration_names_is_reported(room: Room) -> None:
    room.clone()
    room.shell("mkdir ../elsewhere; git config core.worktree ../../elsewhere")
    (work, *_) = room.counted()
    assert [note.split(": ")[-1] for note in work.notes] == ["files there are not examined"]
    room.shell("git config core.worktree ../../repo")
    assert room.counted()[0].notes == ()


def test_a_sparse_index(room: Room) -> None:
    room.shell(
        "cd seed; mkdir a b; echo a > a/a; echo b > b/b; git add .; git commit -qm folders; git push -q ../remote HEAD:main",
        room.folder,
    )
    room.clone()
    room.shell("git sparse-checkout set --sparse-index a; echo more >> a/a; echo new > a/new")
    assert [(work.files, work.untracked) for work in room.counted()] == [(1, 1)]
    again = room.restored()
    assert room.shell("cat a/a a/new b/b", again) == "a\nmore\nnew\nb\n"


def test_refs_of_the_newer_format(room: Room) -> None:
    """With any git: Debian 12's (2.39) rejects such a repository. Without its tables, work is not known, but exported."""
    room.clone()
    room.shell(f"git switch -qc feature; {AHEAD}; echo s >> one; git stash -q; echo u > u")
    listed = room.shell("git for-each-ref --format='%(refname) %(objectname)'").splitlines()
    stash = room.shell("git rev-parse refs/stash").strip()
    reftables.convert(
        room.repo / ".git", {"HEAD": "ref: refs/heads/feature", **dict(line.split() for line in listed)}, (stash,)
    )
    room.shell(
        "cd .git; rm -rf refs/heads refs/tags refs/remotes refs/stash packed-refs logs; echo tables > refs/heads;"
        "git config -f config core.repositoryFormatVersion 1; git config -f config extensions.refStorage reftable"
    )
    work = room.counted()[0]
    assert (work.branch, work.commits, work.untracked, work.stashes, work.notes) == ("feature", 1, 1, 1, ())
    knows_the_format = tuple(map(int, room.shell("git version").split()[2].split(".")[:2])) >= (2, 45)
    assert statusline.branch(str(room.repo)) == ("feature" if knows_the_format else statusline.UNKNOWN)
    (room.repo / ".git/reftable/a.ref").unlink()
    work = room.counted()[0]
    assert work.branch == ""
    assert "its refs cannot be read" in str(work.notes)
    code, exported_files, _ = exported(room)
    assert (code, sorted(exported_files)) == (PARTLY, ["more", "one", "two", "u"])
