"""Work is not lost: what is only in the sandbox is counted, saved to `wip/` by way of the gate, and exported."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.contract.events import WorkSaved
from tests.netns.conftest import CODETAINER, PATIENCE, Running, eventually, start

pytestmark = pytest.mark.netns

REPOSITORY = "https://github.com/example/demo"
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
printf '* filter=evil\n' > /workspace/attributes
mkdir /workspace/hooks
for hook in pre-push reference-transaction post-index-change; do cp $e /workspace/hooks/$hook; done
chmod +x $e /workspace/hooks/*
"""
WORK = r"""
set -e
cd /workspace/repo
echo one > one.txt; git add one.txt; git commit -qm 'One, on main'
git switch -qc feature; echo two > two.txt; git add two.txt; git commit -qm 'Two, on feature'; git switch -q main
echo hidden > hidden.txt; git add hidden.txt; git stash -q
echo staged >> README.md; git add README.md; echo 'not staged' >> README.md
echo changed >> hello.py; chmod +x hello.py; rm one.txt
printf odd > "$(printf 'a\nline')"; printf 'a\0b' > 'with blank'; ln -s README.md link; printf '\377' > "$(printf '\377name')"
mkdir -p deep/er empty; echo x > deep/er/file; echo ignored.txt > .gitignore; echo i > ignored.txt
"""
ALL_OF_IT = "{ find . -type f -exec sha256sum {} + | sort -k 2; find . -printf '%M %s %T@ %p\\n' | sort; } | cat -v"


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shell(sandbox: Running, script: str, folder: str = "/workspace/repo") -> str:
    done = sandbox.agent("env", "HOME=/home/claude", "bash", "-c", f"cd {folder} && {script}")
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def contents(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Every file of a work tree: its kind and executable bit, and what it holds."""
    found = {}
    for path in folder.rglob("*"):
        if ".git" in path.relative_to(folder).parts or (path.is_dir() and not path.is_symlink()):
            continue
        kind = "link" if path.is_symlink() else "program" if path.lstat().st_mode & 0o100 else "file"
        found[str(path.relative_to(folder))] = (kind, os.fsencode(path.readlink()) if kind == "link" else path.read_bytes())
    return found


@contextlib.contextmanager
def host(sandbox: Running) -> Iterator[int]:
    """The folder of the pretend git host's repositories, which stays readable when the host has gone."""
    for waiter in children(sandbox.process.pid):
        for process in children(waiter):
            if process != sandbox.init:
                for line in Path(f"/proc/{process}/mountinfo").read_text().splitlines():
                    mounted = Path(f"/proc/{process}/root{line.split()[4]}/repositories")
                    if " - tmpfs " in line and mounted.is_dir():
                        opened = os.open(mounted, os.O_RDONLY)
                        try:
                            yield opened
                        finally:
                            os.close(opened)
                        return
    raise AssertionError("there is no pretend git host")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def clone(opened: int, to: Path) -> Path:
    """What the git host has, as a clone with all its branches."""
    shutil.copytree(f"/proc/self/fd/{opened}/example/demo", to / "host", symlinks=True)
    git(to, "clone", "--quiet", str(to / "host"), str(to / "clone"))
    return to / "clone"


def workspace(sandbox: Running, to: Path) -> Path:
    """The agent's repository as it is now."""
    shutil.copytree(sandbox.paths.repository, to, symlinks=True)
    return to


def export(sandbox: Running, file: Path, *arguments: str, root: bool = True) -> subprocess.CompletedProcess[str]:
    """`codetainer export` in the sandbox, with its output in a file."""
    who = ["--root"] if root else []
    with file.open("wb") as out:
        return subprocess.run(
            [*CODETAINER, "enter", "--name", sandbox.name, *who, "--", "codetainer", "export", *arguments],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip


def same_work(restored: Path, agents: Path, prefix: str) -> None:
    """All that the agent had is in this clone: work tree, index, branches, stash."""
    assert contents(restored) == {k: v for k, v in contents(agents).items() if k != "ignored.txt"}
    assert git(restored, "write-tree") == git(agents, "write-tree")
    assert git(restored, "status", "--porcelain", "-z") == git(agents, "status", "--porcelain", "-z")
    for branch in ("main", "feature"):
        commit = git(agents, "rev-parse", branch).strip()
        git(restored, "merge-base", "--is-ancestor", commit, prefix)
    stash = git(agents, "rev-parse", "stash@{0}").strip()
    git(restored, "merge-base", "--is-ancestor", stash, prefix)
    assert git(restored, "show", f"{stash}:hidden.txt") == "hidden\n"


def test_a_signal_in_the_middle_of_work_loses_nothing(tmp_path: Path) -> None:
    """What was not pushed is in wip/ and in the export, whatever the agent has put into its configuration."""
    sandbox = start(tmp_path, f"work-{os.getpid()}", REPO_URL=REPOSITORY, CODETAINER_AUTOSAVE="exit")
    try:
        shell(sandbox, WORK, "/")
        shell(sandbox, HOSTILE)
        agents = workspace(sandbox, tmp_path / "agents")
        git(agents, "config", "--remove-section", "core")
        eventually("it is counted", lambda: sandbox.state.work and sandbox.state.work.anything)
        exported = export(sandbox, tmp_path / "work.bundle")
        assert exported.returncode == 0, exported.stderr
        assert "git stash apply --index" in exported.stderr
        with host(sandbox) as opened:
            assert sandbox.stop() == 128 + signal.SIGTERM
            fetched = clone(opened, tmp_path)
    finally:
        sandbox.process.kill()
    said = (tmp_path / "out").read_text()
    assert "only here: /workspace/repo: 2 commits not pushed, 9 files not committed, 1 stash" in said
    (branch,) = [line.split()[-1] for line in git(fetched, "branch", "-r").splitlines() if "wip/" in line]
    assert f"the work is saved to {branch.removeprefix('origin/')}" in said

    git(fetched, "switch", "--quiet", "--detach", f"{branch}^1")
    git(fetched, "stash", "apply", "--index", branch)
    same_work(fetched, agents, branch)

    git(tmp_path, "clone", "--quiet", "--branch", "main", str(tmp_path / "host"), "other")
    other = tmp_path / "other"
    git(other, "fetch", "--quiet", str(tmp_path / "work.bundle"), "+refs/*:refs/codetainer/*")
    git(other, "switch", "--quiet", "--detach", "refs/codetainer/wip^1")
    git(other, "stash", "apply", "--index", "refs/codetainer/wip")
    same_work(other, agents, "refs/codetainer/wip")
    assert git(other, "rev-parse", "refs/codetainer/heads/feature") == git(agents, "rev-parse", "feature")


@pytest.fixture(scope="module")
def saving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A sandbox that saves often, with little room for copies."""
    running = start(
        tmp_path_factory.mktemp("saving"), f"saving-{os.getpid()}", REPO_URL=REPOSITORY, CODETAINER_AUTOSAVE="1s",
        CODETAINER_TMPFS_HOME="32M", CODETAINER_TMPFS_TMP="32M",
    )  # fmt: skip
    yield running
    if running.process.poll() is None:
        running.stop()


def saves(sandbox: Running) -> list[WorkSaved]:
    return [event for event in sandbox.events(WorkSaved) if not event.problem]


def problems(sandbox: Running) -> list[str]:
    return [event.problem for event in sandbox.events(WorkSaved) if event.problem]


def test_a_save_changes_nothing_of_the_agents(saving: Running) -> None:
    assert saves(saving) == []  # there was no work
    shell(saving, WORK, "/")
    before = shell(saving, ALL_OF_IT)
    eventually("it is saved", lambda: saves(saving))
    assert shell(saving, ALL_OF_IT) == before
    assert saving.root("sh", "-c", "ls -d /home/claude/codetainer-work-* /tmp/codetainer-work-*").stdout == ""
    status = saving.codetainer("status").stdout
    assert f"to {saves(saving)[-1].branch}" in status


def test_a_save_is_made_where_something_has_changed(saving: Running) -> None:
    eventually("it is saved", lambda: saves(saving))
    shell(saving, "echo more > more.txt")
    eventually("it is saved again", lambda: saving.state.saved and holds(saving, "more.txt"))
    branches = {event.branch for event in saves(saving)}
    commits = [event.commit for event in saves(saving)]
    assert len(branches) == 1
    assert len(commits) == len(set(commits)) <= 3  # the first may have come in the middle of the first test's work


def holds(sandbox: Running, name: str) -> bool:
    """Whether the last save on the git host has this file."""
    with host(sandbox) as opened:
        where = f"--git-dir=/proc/self/fd/{opened}/example/demo"
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", where, "ls-tree", "--name-only", saves(sandbox)[-1].branch],
            capture_output=True, text=True, errors="replace", pass_fds=(opened,), check=False,
        )  # fmt: skip
    return name in done.stdout.splitlines()


def test_what_fails_is_said_once_and_what_works_again_is_said_too(saving: Running) -> None:
    with host(saving) as opened:
        hook = Path(f"/proc/self/fd/{opened}/example/demo/hooks/pre-receive")
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
        shell(saving, "echo refused > refused.txt")
        eventually("it is said", lambda: problems(saving))
        tried = saving.asked(kind="http", path="/example/demo/git-receive-pack")
        eventually("it is tried again", lambda: saving.asked(kind="http", path="/example/demo/git-receive-pack") > tried + 1)
        assert len(problems(saving)) == 1
        assert "not saved" in saving.codetainer("status").stdout
        hook.unlink()
    eventually("it is saved", lambda: not saving.state.save_problem)
    assert "not saved" not in saving.codetainer("status").stdout


def test_what_has_no_room_is_left_out_and_named(saving: Running, tmp_path: Path) -> None:
    shell(saving, "truncate -s 200M big.bin")
    try:
        eventually("it is said", lambda: "big.bin" in saves(saving)[-1].left_out)
        exported = export(saving, tmp_path / "work.bundle")
        assert exported.returncode == 4
        assert "left out for want of room: big.bin" in exported.stderr
        assert (tmp_path / "work.bundle").stat().st_size > 0
    finally:
        shell(saving, "rm big.bin")


def test_an_end_of_the_session_says_what_is_only_here(saving: Running) -> None:
    saving.agent("tmux", "-S", "/run/codetainer/tmux/server.sock", "kill-server")
    eventually("it is said", lambda: "codetainer export > work.bundle" in saving.codetainer("logs").stdout)
    assert "Only here" in saving.codetainer("status").stdout


def test_a_frozen_sandbox_saves_nothing_at_its_end(saving: Running) -> None:
    assert saving.codetainer("freeze").returncode == 0
    branch = saves(saving)[-1].branch
    out = saving.seen.with_name("out")
    assert saving.stop() == 128 + signal.SIGTERM
    said = out.read_text()
    assert f"the work is not saved to {branch}: the sandbox is frozen, nothing may leave" in said
