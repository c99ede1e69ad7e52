"""An agent's work for tests, and what to compare it with from outside: the git host's repository, the agent's own."""

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


def clone(opened: int, to: Path) -> Path:
    """What the git host has, as a clone with all its branches."""
    shutil.copytree(f"/proc/self/fd/{opened}/example/demo", to / "host", symlinks=True)
    git(to, "clone", "--quiet", str(to / "host"), str(to / "clone"))
    return to / "clone"


@contextlib.contextmanager
def workspace(sandbox: Running) -> Iterator[int]:
    """The agent's repository, which stays readable when the sandbox has gone."""
    opened = os.open(sandbox.paths.repository, os.O_RDONLY)
    try:
        yield opened
    finally:
        os.close(opened)


def copy(opened: int, to: Path) -> Path:
    shutil.copytree(f"/proc/self/fd/{opened}", to, symlinks=True)
    return to


def export(sandbox: Running, file: Path, *arguments: str, root: bool = True) -> subprocess.CompletedProcess[str]:
    """`codetainer export` in the sandbox, with its output in a file."""
    who = ["--root"] if root else []
    with file.open("wb") as out:
        return subprocess.run(
            [*CODETAINER, "enter", "--name", sandbox.name, *who, "--", "codetainer", "export", *arguments],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip


def restore(clone: Path, commit: str) -> Path:
    """Restores a commit in ../work with the command of its own message."""
    (command,) = [
        line.strip()
        for line in git(clone, "log", "-1", "--format=%B", commit).splitlines()
        if " worktree add --detach ../work " in line
    ]
    command = re.sub(r"(?<= )('?)C(?=[ ^:]|\Z)", rf"\1{commit}", command)
    done = subprocess.run(["sh", "-ec", command], cwd=clone, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return clone.parent / "work"


def as_it_says(clone: Path, said: str, bundle: Path) -> Path:
    """Restores an export beside a clone by nothing but the line that came with it; returns where it is then."""
    (line,) = [line.partition("in a clone: ")[2] for line in said.splitlines() if "in a clone: " in line]
    command = line.replace("work.bundle", str(bundle))
    subprocess.run(["sh", "-ec", command], cwd=clone, capture_output=True, timeout=PATIENCE, check=True)
    return clone.parent / "work"


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
