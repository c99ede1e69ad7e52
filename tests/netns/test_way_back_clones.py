"""Hostile clones as results of `codetainer up --work`, read by the agent's side and taken by the operator's.

Also the kinds of repositories that an operator may have.

Length: a case for each trick.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backend.sandbox import way_back
from backend.sandbox.receiver import Failure
from backend.sandbox.way_back import WayBack
from backend.work import place, returning
from tests import reftables
from tests.netns.operators import IDENTITY, SAFE, Operator, contents, git, model, operator

pytestmark = pytest.mark.netns

__all__ = ["model", "operator"]

NOBODY = 65534
ALWAYS = ("-c", "core.fsmonitor=false", *IDENTITY)


@pytest.fixture
def clone(operator: Operator, tmp_path: Path) -> Path:
    """The agent's clone, with a commit on the branch topic."""
    folder = tmp_path / "workspace/repo"
    folder.parent.mkdir()
    git(tmp_path, "clone", "--quiet", "--origin=operator", str(operator.folder), str(folder))
    git(folder, "checkout", "--quiet", "-b", "topic")
    commit(folder, "two")
    return folder


def commit(folder: Path, message: str) -> str:
    git(folder, "commit", "--quiet", "--allow-empty", f"--message={message}")
    return git(folder, "rev-parse", "HEAD")


def answered(clone: Path, target: way_back.Target, so_far: WayBack | None = None, *, most: int = 500) -> bytes:
    """What the agent's side writes for the clone."""
    returned = {name: one.commit for name, one in (so_far or WayBack()).returned.items()}
    request = returning.Request(tuple(target.handed), returned, {}, wait=False, most=most, kind=target.kind)
    file = os.memfd_create("answer")
    try:
        returning.main(clone.parent, clone.parent, request, file)
        return os.pread(file, os.fstat(file).st_size, 0)
    finally:
        os.close(file)


def come_back(clone: Path, operator: Operator) -> way_back.Result:
    taken = operator.take(answered(clone, operator.target))
    assert isinstance(taken, way_back.Result), taken
    return taken


def test_commits_come_back_and_only_once(clone: Path, operator: Operator) -> None:
    so_far = WayBack()
    first = come_back(clone, operator)
    so_far.add(first)
    assert operator.refs() == {"topic": git(clone, "rev-parse", "HEAD")}
    assert b'"refs": []' in answered(clone, operator.target, so_far)
    latest = commit(clone, "three")
    stream = answered(clone, operator.target, so_far)
    assert len(stream) < 600  # the first commit is not sent again
    operator.take(stream, so_far=so_far)
    assert operator.refs() == {"topic": latest}


def _hooks(clone: Path, ran: Path) -> None:
    for name in ("reference-transaction", "pre-auto-gc", "post-checkout", "pre-push"):
        file = clone / ".git/hooks" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\ntouch {ran}\n")
        file.chmod(0o755)


def _programs(clone: Path, ran: Path) -> None:
    for name in (
        "core.fsmonitor",
        "core.sshCommand",
        "filter.x.clean",
        "core.alternateRefsCommand",
        "uploadpack.packObjectsHook",
    ):
        git(clone, "config", name, f"touch {ran}")
    (clone / ".gitattributes").write_text("* filter=x\n")


def _included(clone: Path, ran: Path) -> None:
    os.mkfifo(clone / ".git/more")
    with (clone / ".git/config").open("a") as file:
        file.write("[include]\n\tpath = more\n")


def _no_config(clone: Path, ran: Path) -> None:
    (clone / ".git/config").unlink()
    (clone / ".git/config").mkdir()


def _elsewhere(clone: Path, ran: Path) -> None:
    git(clone, "config", "core.worktree", "/")
    git(clone, "config", "core.bare", "true")


def _alternate(clone: Path, ran: Path) -> None:
    """The objects are in another folder, which the operator's side must not need."""
    place = clone.parent / "objects"
    (clone / ".git/objects").rename(place)
    (clone / ".git/objects/info").mkdir(parents=True)
    (clone / ".git/objects/info/alternates").write_text(f"{place}\n")


def _replaced(clone: Path, ran: Path) -> None:
    other = git(clone, "commit-tree", "-m", "replaced", "HEAD^{tree}")
    git(clone, "replace", "HEAD", other)


def _grafted(clone: Path, ran: Path) -> None:
    (clone / ".git/info").mkdir(exist_ok=True)
    (clone / ".git/info/grafts").write_text(git(clone, "rev-parse", "HEAD") + "\n")


def _shallow(clone: Path, ran: Path) -> None:
    (clone / ".git/shallow").write_text(git(clone, "rev-parse", "HEAD") + "\n")


def _linked(clone: Path, ran: Path) -> None:
    (clone / ".git/refs/heads/passwd").symlink_to("/etc/passwd")
    (clone / ".git/refs/heads/etc").symlink_to("/etc")
    (clone / ".git/refs/heads/dangling").symlink_to("/nowhere")


def _pipes(clone: Path, ran: Path) -> None:
    os.mkfifo(clone / ".git/refs/heads/pipe")
    (clone / ".git/packed-refs").unlink()
    os.mkfifo(clone / ".git/packed-refs")


def _garbage(clone: Path, ran: Path) -> None:
    (clone / ".git/packed-refs").write_bytes(b"\xff\0" * 1000 + b"\n" + b"1" * 40 + b" refs/heads/missing\n")
    (clone / ".git/refs/heads/empty").touch()
    (clone / ".git/index").write_bytes(b"DIRC")


def _moved(clone: Path, ran: Path) -> None:
    (clone / ".git").rename(clone.parent / "git folder")
    (clone / ".git").write_text("gitdir: ../git folder\n")


def _remotes_claim(clone: Path, ran: Path) -> None:
    """A remote-tracking ref claims that the commit is saved elsewhere."""
    git(clone, "update-ref", "refs/remotes/operator/topic", "HEAD")
    git(clone, "update-ref", "refs/remotes/origin/topic", "HEAD")


@pytest.mark.parametrize(
    "change",
    [_hooks, _programs, _included, _no_config, _elsewhere, _alternate, _replaced, _grafted, _shallow, _linked, _pipes, _garbage,
     _moved, _remotes_claim],
)  # fmt: skip
def test_a_hostile_clone_hands_over_its_commits_as_they_are(
    change: Callable[[Path, Path], None], clone: Path, operator: Operator
) -> None:
    expected = git(clone, "rev-parse", "HEAD")
    change(clone, operator.ran)
    come_back(clone, operator)
    assert operator.refs() == {"topic": expected}
    assert git(operator.folder, "log", "--format=%s", expected) == "two\none"


def test_a_damaged_branch_does_not_hold_up_the_others(clone: Path, operator: Operator) -> None:
    good = git(clone, "rev-parse", "HEAD")
    git(clone, "checkout", "--quiet", "-b", "damaged")
    (clone / "new").write_text("x\n")
    git(clone, "add", "new")
    commit(clone, "three")
    blob = git(clone, "rev-parse", "HEAD:new")
    (clone / ".git/objects" / blob[:2] / blob[2:]).unlink()
    taken = come_back(clone, operator)
    assert operator.refs() == {"topic": good}
    assert any("refs/heads/damaged" in note for note in taken.notes)


def test_of_too_many_branches_the_current_one_comes_back(clone: Path, operator: Operator) -> None:
    head = git(clone, "rev-parse", "HEAD")
    for number in range(1000):
        (clone / f".git/refs/heads/b{number}").write_text(f"{head}\n")
    taken = operator.take(answered(clone, operator.target, most=3))
    assert isinstance(taken, way_back.Result)
    assert len(operator.refs()) == 3
    assert "topic" in operator.refs()
    assert taken.more == 998


def test_a_detached_head_comes_back_but_not_a_step_of_a_rebase(clone: Path, operator: Operator) -> None:
    git(clone, "checkout", "--quiet", "--detach")
    latest = commit(clone, "three")
    (clone / ".git/rebase-merge").mkdir()
    come_back(clone, operator)
    assert "detached" not in operator.refs()
    (clone / ".git/rebase-merge").rmdir()
    come_back(clone, operator)
    assert operator.refs()["detached"] == latest


def test_the_signature_changes_with_every_commit(clone: Path) -> None:
    seen = {returning.signature(place.locate(clone))}
    for step in (
        "commit --quiet --allow-empty --message=three",
        "commit --quiet --amend --allow-empty --message=four",
        "branch other",
        "pack-refs --all",
        "checkout --quiet other",
        "branch --delete --force topic",
    ):
        git(clone, *step.split())
        seen.add(returning.signature(place.locate(clone)))
    assert len(seen) == 7


def test_what_has_come_back_does_not_count_as_unsaved(clone: Path, operator: Operator) -> None:
    head = git(clone, "rev-parse", "HEAD")
    request = returning.Request((operator.commit,), {"refs/heads/topic": head}, {"refs/heads/topic": head}, False, 9, "sha1")
    with Path(os.devnull).open("wb") as null:
        returning.main(clone.parent, clone.parent, request, null.fileno())
    assert git(clone, "rev-parse", "refs/remotes/operator/topic") == head


# --- kinds of repositories ---


def own(folder: Path, operator: Operator) -> Operator:
    commit_, tree, blob = git(folder, "rev-parse", "HEAD", "HEAD^{tree}", "HEAD:file").split()
    return replace(operator, folder=folder, commit=commit_, tree=tree, blob=blob)


def test_a_path_with_special_characters(clone: Path, operator: Operator, tmp_path: Path) -> None:
    folder = tmp_path / 'odd: "name"\n#'
    shutil.copytree(operator.folder, folder, symlinks=True)
    odd = own(folder, operator)
    come_back(clone, odd)
    assert list(odd.refs()) == ["topic"]
    odd.unchanged_otherwise()


def test_a_work_tree_of_another_repository(clone: Path, operator: Operator, tmp_path: Path) -> None:
    folder = tmp_path / "beside"
    git(operator.folder, "worktree", "add", "--quiet", "--no-checkout", "--detach", str(folder))
    operator.before = contents(operator.folder)
    beside = own(folder, operator)
    before = contents(folder)
    taken = beside.take(answered(clone, beside.target))
    assert isinstance(taken, way_back.Result)
    assert contents(folder) == before
    assert list(operator.refs()) == ["topic"]


def test_a_repository_that_shares_its_objects(clone: Path, operator: Operator, tmp_path: Path) -> None:
    folder = tmp_path / "sharing"
    git(tmp_path, "clone", "--quiet", "--shared", str(operator.folder), str(folder))
    sharing = own(folder, operator)
    come_back(clone, sharing)
    assert list(sharing.refs()) == ["topic"]
    sharing.unchanged_otherwise()


def test_sha256(operator: Operator, tmp_path: Path) -> None:
    folder, clone = tmp_path / "long", tmp_path / "workspace/repo"
    git(tmp_path, "init", "--quiet", "--object-format=sha256", "--initial-branch=main", str(folder))
    (folder / "file").write_text("x\n")
    git(folder, "add", ".")
    commit(folder, "one")
    git(tmp_path, "clone", "--quiet", str(folder), str(clone))
    latest = commit(clone, "two")
    long = own(folder, operator)
    target = replace(long.target, kind="sha256")
    taken = long.take(answered(clone, target), target=target)
    assert isinstance(taken, way_back.Result)
    assert long.refs() == {"main": latest}
    long.unchanged_otherwise()


def test_reftable(clone: Path, operator: Operator, tmp_path: Path) -> None:
    """git before 2.45 cannot read this format: nothing is taken then, and nothing is changed."""
    folder = tmp_path / "tables"
    shutil.copytree(operator.folder, folder, symlinks=True)
    tables = own(folder, operator)
    branch, commit_ = git(folder, "symbolic-ref", "HEAD"), git(folder, "rev-parse", "HEAD")
    git(folder, "config", "core.repositoryFormatVersion", "1")
    git(folder, "config", "extensions.refStorage", "reftable")
    reftables.convert(folder / ".git", {"HEAD": f"ref: {branch}", branch: commit_})
    tried = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, env=SAFE, check=False, capture_output=True)
    taken = tables.take(answered(clone, tables.target))
    if tried.returncode == 0:
        assert list(tables.refs()) == ["topic"]
    else:
        assert isinstance(taken, Failure)
        assert taken.problem == "unknown repository extension found: refstorage"
        tables.unchanged_otherwise()


def test_root_takes_commits_as_the_owner_of_the_repository(clone: Path, operator: Operator) -> None:
    with tempfile.TemporaryDirectory() as open_folder:  # pytest's own folders are closed to other users
        Path(open_folder).chmod(0o711)
        folder = Path(open_folder) / "own"
        shutil.copytree(operator.folder, folder, symlinks=True)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        theirs = replace(operator, folder=folder)
        taken = theirs.take(answered(clone, theirs.target))
        assert isinstance(taken, way_back.Result), taken
        assert {path.lstat().st_uid for path in folder.rglob("*")} == {NOBODY}
        theirs.unchanged_otherwise()
        assert (folder / ".git/refs/heads/codetainer/box/topic").exists()
