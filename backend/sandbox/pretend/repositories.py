"""The git repositories of the pretend git host, and those of them that are awkward to work with.

The awkward ones have fixed names and belong to the owner of the described repository. Each is created at the first request.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from backend import system
from backend.sandbox.pretend.lfs import pointer
from backend.system import SystemFailure

DEMO = {"README.md": "# demo\n\nA repository to work on.\n", "hello.py": 'print("hello")\n'}
MARKETPLACE = "example/plugins"  # a marketplace for Claude Code, with one plugin


def marketplace() -> dict[str, str]:
    """The files of a marketplace (https://code.claude.com/docs/en/plugin-marketplaces)."""
    plugin = {"name": "hello", "version": "1.0.0", "description": "Says hello"}
    listed = {"name": "example-plugins", "owner": {"name": "Example"}, "plugins": [{**plugin, "source": "./hello"}]}
    return {
        ".claude-plugin/marketplace.json": json.dumps(listed),
        "hello/.claude-plugin/plugin.json": json.dumps(plugin),
        "hello/commands/hello.md": "---\ndescription: Says hello\n---\n\nSay hello.\n",
    }


def make_repository(repositories: Path, name: str, files: Mapping[str, str]) -> None:
    """Creates a bare repository with one commit per file. Raises SystemFailure."""
    bare = repositories / name
    system.run([system.GIT, "init", "--quiet", "--bare", "--initial-branch=main", str(bare)])
    commits = (
        _commit("refs/heads/main", {file: text.encode()}, subject=f"Step {number}: {file}", at=int(time.time()))
        for number, (file, text) in enumerate(files.items(), start=1)
    )
    _import(bare, itertools.chain.from_iterable(commits))
    (bare.parent / (bare.name + ".git")).symlink_to(bare.name)


def make_parent(repositories: Path, name: str) -> None:
    """Creates the repository that `name` is a fork of (github.py), with the same history."""
    parent = repositories / f"upstream/{name.rpartition('/')[2]}"
    parent.parent.mkdir(exist_ok=True)
    shutil.copytree(repositories / name, parent)
    (parent.parent / (parent.name + ".git")).symlink_to(parent.name)


# --- awkward repositories ---

RENAMED = "renamed"  # the former name of MIXED
MIXED = "mixed"  # with a file in Git LFS, and two submodules
EMPTY = "empty"  # no commits, and therefore no default branch
HEADLESS = "headless"  # its default branch does not exist
LARGE = "large"
LARGE_FILES = 300  # of a MiB each, which cannot be compressed
LFS_OBJECT = b"an object of Git LFS\n"
ELSEWHERE = "git.elsewhere.test"  # the host of a submodule
# GitHub's `size`, in KiB. EMPTY is 0 there, too.
SIZES = {MIXED: 24, EMPTY: 0, HEADLESS: 24, LARGE: LARGE_FILES << 10}
IMPORT_SECONDS = 60.0


class Awkward:
    """Creates the awkward repositories of `owner`."""

    def __init__(self, repositories: Path, owner: str) -> None:
        self._repositories, self._owner = repositories, owner
        self._lock = threading.Lock()

    def prepare(self, path: str) -> None:
        """Creates the repository that a request's path names, if it is an awkward one. Raises SystemFailure."""
        owner, _, rest = path.lstrip("/").partition("/")
        name = rest.partition("/")[0].removesuffix(".git")
        if owner != self._owner or name not in SIZES:
            return
        bare = self._repositories / owner / name
        with self._lock:
            if not bare.exists():
                new = bare.with_name(f".new-{name}")
                system.run([system.GIT, "init", "--quiet", "--bare", "--initial-branch=main", str(new)])
                for pieces in self._imports(name):
                    _import(new, pieces)
                new.rename(bare)
                (bare.parent / f"{name}.git").symlink_to(name)

    def _imports(self, name: str) -> Iterator[Iterator[bytes]]:
        """Streams for git fast-import."""
        if name == HEADLESS:
            yield _commit("refs/heads/work", {"README.md": b"# headless\n"})
        elif name == LARGE:
            yield _commit("refs/heads/main", {f"{number}.bin": None for number in range(LARGE_FILES)})
        elif name == MIXED:
            inside = self._repositories / MARKETPLACE
            commit = system.run([system.GIT, "-C", str(inside), "rev-parse", "main"]).out.strip()
            yield _commit("refs/heads/main", {
                "README.md": b"# mixed\n",
                ".gitattributes": b"*.bin filter=lfs diff=lfs merge=lfs -text\n",
                "one.bin": pointer(LFS_OBJECT).encode(),
                ".gitmodules": "".join(
                    f'[submodule "{name}"]\n\tpath = {name}\n\turl = {url}\n'
                    for name, url in (("plugins", f"../{MARKETPLACE.rpartition('/')[2]}"), ("far", f"https://{ELSEWHERE}/a/b"))
                ).encode(),
            }, {"plugins": commit, "far": "1" * 40})  # fmt: skip


def _commit(
    ref: str,
    files: Mapping[str, bytes | None],
    links: Mapping[str, str] | None = None,
    *,
    subject: str = "First",
    at: int = 0,
) -> Iterator[bytes]:
    """A commit on top of `ref` in the format of git-fast-import(1), made `at` a time in seconds since the epoch.

    Files without content get a MiB of random bytes; `links` are submodules.
    """
    message = subject.encode()
    yield f"commit {ref}\ncommitter Example <example@example.com> {at} +0000\ndata {len(message)}\n".encode() + message + b"\n"
    for path, content in files.items():
        data = os.urandom(1 << 20) if content is None else content
        yield f"M 100644 inline {_quoted(path)}\ndata {len(data)}\n".encode() + data + b"\n"
    for path, commit in (links or {}).items():
        yield f"M 160000 {commit} {_quoted(path)}\n".encode()


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _import(bare: Path, pieces: Iterator[bytes]) -> None:
    command = [system.GIT, "-C", str(bare), "-c", "core.compression=0", "fast-import", "--quiet", "--depth=0"]
    done = system.feed(command, environment=system.BASE_ENVIRONMENT, cwd="/", pieces=pieces, timeout=IMPORT_SECONDS)
    if done.code != 0:
        raise SystemFailure(f"cannot create {bare}: {done.err}")
