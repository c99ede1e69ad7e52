"""Work is not lost: unsaved work is in `wip/` or in the export after the sandbox has stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.sandbox import CODETAINER, Running, eventually, start
from tests.netns.work import REPOSITORY, WORK, as_it_says, clone, copy, export, git, host, restore, same_work, shell, workspace

pytestmark = pytest.mark.netns

HOSTILE = """
set -e
e=/workspace/evil
git config core.fsmonitor $e; git config core.hooksPath /workspace/hooks
git config commit.gpgSign true; git config gpg.program $e
git config filter.evil.clean $e; git config filter.evil.process $e; git config core.pager $e; git config credential.helper "!$e"
git config core.sshCommand $e; git config core.attributesFile /workspace/attributes; git config log.showSignature true
git config url.file:///workspace/elsewhere.insteadOf https://github.com/; git config diff.external $e
git config core.worktree /
git config alias.status "!$e"; git config core.editor $e; git config commit.template /nonexistent
printf '#!/bin/sh\ntouch /workspace/EVIL\nsleep 1000\n' > $e
printf '* filter=evil\n' | tee /workspace/attributes > .git/info/attributes
mkdir /workspace/hooks
for hook in pre-push reference-transaction post-index-change; do cp $e /workspace/hooks/$hook; done
chmod +x $e /workspace/hooks/*
"""
BUSY = """
cd /workspace/repo
i=0; while :; do
    i=$((i + 1)); echo $i > busy-$((i % 5)); git add busy-*; echo staged $i >> hello.py; git add hello.py
    git commit -qm "busy $i"; echo $i > untracked-$((i % 11)); echo not staged $i >> README.md
done
"""


@contextlib.contextmanager
def busy(sandbox: Running) -> Iterator[None]:
    """Lets the agent commit, stage and write without a pause until the sandbox stops."""
    argv = [*CODETAINER, "enter", "--name", sandbox.name, "--", "env", "HOME=/home/claude", "bash", "-c", BUSY]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            eventually("it is at work", lambda: (sandbox.paths.repository / "busy-3").exists())
            yield
        finally:
            process.kill()


def test_a_signal_in_the_middle_of_work_loses_nothing(tmp_path: Path) -> None:
    """Everything committed, staged and written before the signal is in wip/."""
    sandbox = start(tmp_path, f"work-{os.getpid()}", REPO_URL=REPOSITORY, CODETAINER_AUTOSAVE="exit")
    try:
        shell(sandbox, WORK, "/")
        with host(sandbox) as hosted, workspace(sandbox) as opened, busy(sandbox):
            assert sandbox.stop() == 128 + signal.SIGTERM
            agents, fetched = copy(opened, tmp_path / "agents"), clone(hosted, tmp_path)
    finally:
        sandbox.process.kill()
    (agents / ".git/index.lock").unlink(missing_ok=True)  # of the interrupted commit
    branch = saved_branch(fetched, (tmp_path / "out").read_text())
    same_work(restore(fetched, branch), agents, branch)


def saved_branch(fetched: Path, output: str) -> str:
    (branch,) = [line.split()[-1] for line in git(fetched, "branch", "-r").splitlines() if "wip/" in line]
    assert f"saved /workspace/repo to {branch.removeprefix('origin/')}" in output
    return branch


def test_the_agents_configuration_neither_hangs_nor_breaks_it(tmp_path: Path) -> None:
    """None of its programs run, and the save and the export are complete and can be restored by plain git."""
    sandbox = start(tmp_path, f"hostile-{os.getpid()}", REPO_URL=REPOSITORY, CODETAINER_AUTOSAVE="exit")
    try:
        shell(sandbox, WORK, "/")
        shell(sandbox, HOSTILE)
        with host(sandbox) as hosted, workspace(sandbox) as opened:
            exported = export(sandbox, tmp_path / "work.bundle")
            assert exported.returncode == 0, exported.stderr
            assert "stash apply --index" in exported.stderr
            agents = copy(opened, tmp_path / "agents")
            assert sandbox.stop() == 128 + signal.SIGTERM
            fetched = clone(hosted, tmp_path)
    finally:
        sandbox.process.kill()
    for section in ("core", "filter.evil"):
        git(agents, "config", "--remove-section", section)
    output = (tmp_path / "out").read_text()
    assert "unsaved work: /workspace/repo: 2 commits not pushed, 9 files not committed, 1 stash" in output
    branch = saved_branch(fetched, output)
    assert "[skip ci]" in git(fetched, "log", "-1", "--format=%B", branch)  # keeps CI from building the branch
    same_work(restore(fetched, branch), agents, branch)

    shutil.rmtree(fetched.parent / "work")
    git(tmp_path, "clone", "--quiet", "--branch", "main", str(tmp_path / "host"), "other")
    other = tmp_path / "other"
    same_work(as_it_says(other, exported.stderr, tmp_path / "work.bundle"), agents, "refs/codetainer/wip")
    assert git(other, "rev-parse", "refs/codetainer/heads/feature") == git(agents, "rev-parse", "feature")


def test_after_a_halt_nothing_is_pushed_and_the_export_works(tmp_path: Path) -> None:
    sandbox = start(tmp_path, f"halted-{os.getpid()}", REPO_URL=REPOSITORY, CODETAINER_AUTOSAVE="1d", CODETAINER_PROOF="1s")
    try:
        shell(sandbox, "echo u > u")
        assert sandbox.root("nft", "delete", "table", "inet", "codetainer").returncode == 0
        eventually(
            "it is reported", lambda: "Run codetainer export > work.bundle to keep it." in sandbox.codetainer("logs").stdout
        )
        assert "Work that exists only in this sandbox" in sandbox.codetainer("status").stdout
        assert export(sandbox, tmp_path / "work.bundle").returncode == 0
        assert git(tmp_path, "bundle", "list-heads", str(tmp_path / "work.bundle")).endswith("refs/wip\n")
        pushed = sandbox.asked(kind="http", path="/example/demo/git-receive-pack")
        assert sandbox.stop() == 128 + signal.SIGTERM
        assert sandbox.asked(kind="http", path="/example/demo/git-receive-pack") == pushed
    finally:
        sandbox.process.kill()
    assert "a protection failed, no data may leave" in (tmp_path / "out").read_text()


def test_a_git_that_hangs_does_not_delay_the_stop(tmp_path: Path) -> None:
    """.gitignore is a pipe without a writer, and the sandbox still stops within its grace period."""
    sandbox = start(tmp_path, f"hangs-{os.getpid()}", REPO_URL=REPOSITORY, CODETAINER_AUTOSAVE="exit", CODETAINER_GRACE="5s")
    try:
        shell(sandbox, "rm -f .gitignore; mkfifo .gitignore")
        assert sandbox.stop() == 128 + signal.SIGTERM
    finally:
        sandbox.process.kill()
    output = (tmp_path / "out").read_text()
    assert "cannot save /workspace/repo to" in output
    assert "unsaved work is not fully known: cannot be counted: cannot wait for git" in output
    assert "coredns is stopped" in output  # an orderly stop
