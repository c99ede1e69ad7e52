"""An operator's repository that came from no sandbox, to which hostile answers are given.

It has a program at each place from which git might start one. After a test each file must have its old contents, mode and time,
except for new packs and the refs below codetainer/box, and none of the programs may have run.
"""

from __future__ import annotations

import hashlib
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from backend.sandbox import receiver, way_back
from backend.sandbox.receiver import Failure
from backend.sandbox.way_back import Target, WayBack

SAFE = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.test")
BELOW = "refs/heads/codetainer/box/"
HOOKS = (
    "reference-transaction", "update", "pre-receive", "post-receive", "post-update", "post-checkout", "post-merge",
    "pre-auto-gc", "post-index-change", "proc-receive", "pre-push",
)  # fmt: skip


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", *IDENTITY, *arguments], cwd=folder,
        env=SAFE, check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.stdout.strip()


@dataclass
class Operator:
    """The operator's repository, with a program at each place from which git might start one."""

    folder: Path
    ran: Path
    commit: str
    tree: str
    blob: str
    before: Mapping[str, object] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        return Target(self.folder, "box", (self.commit,), most=1 << 20, seconds=50)

    def take(self, stream: bytes, *, so_far: WayBack | None = None, target: Target | None = None) -> way_back.Result | Failure:
        """Feeds an answer to the receiver. The writing end stays open: the agent need not close it."""
        self.before = contents(self.folder)
        file = os.memfd_create("answer")
        os.write(file, stream)
        os.lseek(file, 0, os.SEEK_SET)
        try:
            return received(target or self.target, file, so_far or WayBack())
        finally:
            os.close(file)

    def refs(self) -> dict[str, str]:
        """The refs below codetainer/box, without that prefix, with their commits."""
        lines = git(self.folder, "for-each-ref", "--format=%(refname) %(objectname)", BELOW).splitlines()
        return dict(line.removeprefix(BELOW).rsplit(" ", 1) for line in lines)

    def unchanged_otherwise(self) -> None:
        after = contents(self.folder)
        new = {name for name in after if name not in self.before}
        packs = {name for name in new if name.startswith(".git/objects/pack/pack-") and name.endswith((".pack", ".idx"))}
        named = (".git/refs/heads/codetainer/", ".git/logs/refs/heads/codetainer/")  # a reflog only if the operator made one
        allowed = {name for name in after if name.startswith(named[0]) or (name in self.before and name.startswith(named[1]))}
        assert new - packs <= allowed
        assert {name: after.get(name) for name in self.before if name not in allowed} == {
            name: value for name, value in self.before.items() if name not in allowed
        }
        assert not self.ran.exists()


def contents(folder: Path) -> dict[str, object]:
    """Every file and link below a folder: its mode, time and hash, or its target."""
    found: dict[str, object] = {}
    for above, folders, files in os.walk(folder):
        for name in (*files, *(one for one in folders if (Path(above) / one).is_symlink())):
            path = Path(above) / name
            status = path.lstat()
            content = str(path.readlink()) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, content)
    return found


def received(target: Target, stream: int, so_far: WayBack) -> way_back.Result | Failure:
    """Runs the receiver in a process of its own, and checks that nothing of it is left."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            receiver.receive(target, stream, so_far, writing)
        finally:
            os._exit(0)
    os.close(writing)
    data = b""
    while select.select([reading], [], [], 60)[0] and (piece := os.read(reading, 1 << 16)):
        data += piece
    os.close(reading)
    os.waitpid(child, 0)
    with pytest.raises(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return receiver.decoded(data)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    place = tmp_path_factory.mktemp("operator")
    folder, ran = place / "own", place / "ran"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "file").write_text("one\n")
    (folder / ".gitignore").write_text(".env\n")
    (folder / ".gitattributes").write_text("* filter=trap diff=trap merge=trap\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=one")
    git(folder, "tag", "v1")
    (folder / ".env").write_text("secret\n")
    (folder / "untracked").write_text("x\n")
    trap = place / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {ran}\n")
    trap.chmod(0o755)
    (folder / ".git/hooks").mkdir(exist_ok=True)
    for hook in HOOKS:
        shutil.copy(trap, folder / ".git/hooks" / hook)
    for name in (
        "core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.alternateRefsCommand", "core.askPass",
        "diff.external", "filter.trap.smudge", "filter.trap.clean", "filter.trap.process", "diff.trap.textconv",
        "diff.trap.command", "merge.trap.driver", "gpg.program", "credential.helper", "uploadpack.packObjectsHook",
        "trace2.eventTarget", "gc.recentObjectsHook",
    ):  # fmt: skip
        git(folder, "config", name, str(trap))
    git(folder, "config", "gc.auto", "1")
    git(folder, "config", "core.logAllRefUpdates", "always")
    commit, tree, blob = git(folder, "rev-parse", "HEAD", "HEAD^{tree}", "HEAD:file").split()
    return Operator(folder, ran, commit, tree, blob)


@pytest.fixture
def operator(model: Operator, tmp_path: Path) -> Iterator[Operator]:
    folder = tmp_path / "own"
    shutil.copytree(model.folder, folder, symlinks=True)
    here = replace(model, folder=folder, before=contents(folder))
    yield here
    here.unchanged_otherwise()
