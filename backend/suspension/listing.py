"""Lists the agent's files for tar. Runs as the agent.

tar reads the names on stdin. Leaves out what a resumed sandbox cannot use: sockets and devices, files that the agent itself
cannot read, and those that belong to programs that have ended.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ENDED = ("gc.pid",)  # in a git folder, besides *.lock: locks of git's processes
HOOKS = "home/claude/.codetainer"  # reports of the old session's hooks (contract.paths.Paths.agent_report)
CLAUDE = "home/claude/.claude"  # its locks hold the pids of processes that have ended


def names(root: Path, folders: Iterable[str], leave_out: Callable[[str], None]) -> Iterator[bytes]:
    """Yields the names of all entries of these folders, relative to `root`: each folder before what it contains.

    Calls `leave_out` with the name and the reason of entries that cannot be read.
    """
    for top in folders:
        waiting = [os.fsencode(top)]
        while waiting:
            folder = waiting.pop()
            try:
                entries = list(os.scandir(os.path.join(os.fsencode(root), folder)))  # noqa: PTH118 (bytes)
            except OSError as error:
                leave_out(f"{_shown(folder)}: {error.strerror}")
                continue
            for entry in entries:
                name = folder + b"/" + entry.name
                if _is_of_ended(folder, entry.name):
                    continue
                if why := _unusable(entry):
                    leave_out(f"{_shown(name)}: {why}")
                    continue
                yield name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)


def _unusable(entry: os.DirEntry[bytes]) -> str:
    """Returns why an entry cannot be in the archive, "" if it can."""
    try:
        if entry.is_symlink() or entry.is_dir(follow_symlinks=False):
            return ""
        if entry.is_file(follow_symlinks=False):
            return "" if os.access(entry.path, os.R_OK) else "the agent cannot read it"
        mode = entry.stat(follow_symlinks=False).st_mode >> 12
    except OSError as error:
        return error.strerror or "cannot be read"
    return {0o01: "", 0o14: "a socket"}.get(mode, "a device")  # 1: a pipe (inode(7))


def _is_of_ended(folder: bytes, name: bytes) -> bool:
    """True for a lock or a report of a program that does not run any more when the work is resumed."""
    if folder + b"/" + name == HOOKS.encode():
        return True
    lock = name.endswith(b".lock")
    if b".git" in folder.split(b"/"):
        return lock or name.decode(errors="replace") in ENDED
    in_claude = folder == CLAUDE.encode() or folder.startswith(CLAUDE.encode() + b"/")
    return lock and (in_claude or name == b".claude.json.lock")


def _shown(name: bytes) -> str:
    return "/" + name.decode(errors="backslashreplace")
