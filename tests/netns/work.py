"""Unsaved work for tests, and access from outside to the git host's and the agent's repository, to compare them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.netns.sandbox import CODETAINER, PATIENCE, Running, children

REPOSITORY = "https://github.com/example/demo"
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
    """Maps every file of a work tree to its kind (file, program, link) and its contents."""
    files = {}
    for path in folder.rglob("*"):
        if ".git" in path.relative_to(folder).parts or (path.is_dir() and not path.is_symlink()):
            continue
        kind = "link" if path.is_symlink() else "program" if path.lstat().st_mode & 0o100 else "file"
        files[str(path.relative_to(folder))] = (kind, os.fsencode(path.readlink()) if kind == "link" else path.read_bytes())
    return files


@contextlib.contextmanager
def host(sandbox: Running) -> Iterator[int]:
    """Opens the pretend git host's folder of repositories; the descriptor stays readable after the host has ended."""
    for waiter in children(sandbox.process.pid):
        for process in children(waiter):
            if process != sandbox.init:
                try:
                    lines = Path(f"/proc/{process}/mountinfo").read_text().splitlines()
                except OSError:
                    continue  # it has ended
                for line in lines:
                    mounted = Path(f"/proc/{process}/root{line.split()[4]}/repositories")
                    if " - tmpfs " in line and mounted.is_dir():
                        opened = os.open(mounted, os.O_RDONLY)
                        try:
                            yield opened
                        finally:
                            os.close(opened)
                        return
    raise AssertionError("there is no pretend git host")


def clone(opened: int, to: Path) -> Path:
    """Clones the git host's repository, with all its branches."""
    shutil.copytree(f"/proc/self/fd/{opened}/example/demo", to / "host", symlinks=True)
    git(to, "clone", "--quiet", str(to / "host"), str(to / "clone"))
    return to / "clone"


@contextlib.contextmanager
def workspace(sandbox: Running) -> Iterator[int]:
    """Opens the agent's repository; the descriptor stays readable after the sandbox has stopped."""
    opened = os.open(sandbox.paths.repository, os.O_RDONLY)
    try:
        yield opened
    finally:
        os.close(opened)


def copy(opened: int, to: Path) -> Path:
    shutil.copytree(f"/proc/self/fd/{opened}", to, symlinks=True)
    return to


def export(sandbox: Running, file: Path, *arguments: str, root: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs `codetainer export` in the sandbox and writes its output to a file."""
    options = ["--root"] if root else []
    with file.open("wb") as out:
        return subprocess.run(
            [*CODETAINER, "enter", "--name", sandbox.name, *options, "--", "codetainer", "export", *arguments],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip


def restore(clone: Path, commit: str) -> Path:
    """Restores work with the commands in the commit's message. Returns the folder, ../work."""
    (command,) = [
        line.strip()
        for line in git(clone, "log", "-1", "--format=%B", commit).splitlines()
        if " worktree add --detach ../work " in line
    ]
    command = re.sub(r"(?<= )('?)C(?=[ ^:]|\Z)", rf"\1{commit}", command)
    done = subprocess.run(["sh", "-ec", command], cwd=clone, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return clone.parent / "work"


def as_it_says(clone: Path, output: str, bundle: Path) -> Path:
    """Restores a bundle with the command that `codetainer export` printed. Returns the folder, ../work."""
    (line,) = [line.partition("in a clone: ")[2] for line in output.splitlines() if "in a clone: " in line]
    command = line.replace("work.bundle", str(bundle))
    subprocess.run(["sh", "-ec", command], cwd=clone, capture_output=True, timeout=PATIENCE, check=True)
    return clone.parent / "work"


def same_work(restored: Path, agents: Path, prefix: str) -> None:
    """Checks that a clone has all of the agent's work: work tree, index, branches, stash."""
    assert contents(restored) == {k: v for k, v in contents(agents).items() if k != "ignored.txt"}
    assert git(restored, "write-tree") == git(agents, "write-tree")
    assert git(restored, "status", "--porcelain", "-z") == git(agents, "status", "--porcelain", "-z")
    for branch in ("main", "feature"):
        commit = git(agents, "rev-parse", branch).strip()
        git(restored, "merge-base", "--is-ancestor", commit, prefix)
    stash = git(agents, "rev-parse", "stash@{0}").strip()
    git(restored, "merge-base", "--is-ancestor", stash, prefix)
    assert git(restored, "show", f"{stash}:hidden.txt") == "hidden\n"
