"""Lists the agent's files for tar. Runs as the agent.

tar reads the names on stdin. Leaves out what a resumed sandbox cannot use: sockets and devices, files that the agent itself
cannot read, and those that belong to programs that have ended.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ENDED = (b"gc.pid",)  # in a git folder, besides *.lock: locks of git's processes
HOME = b"home/claude"
CLAUDE = b"home/claude/.claude"  # its locks hold the pids of processes that have ended
MAX_SHOWN = 400  # characters of a name; all reasons together have to fit into the output of one process
REPORTS = (b".codetainer", b".claude.json.lock")  # what the old session's hooks have reported (Paths.agent_report)


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
            is_of_ended = _ended(folder)
            for entry in entries:
                name = folder + b"/" + entry.name
                if is_of_ended(entry.name):
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
        if entry.is_file(follow_symlinks=False):
            return "" if os.access(entry.path, os.R_OK) else "the agent cannot read it"
        if entry.is_dir(follow_symlinks=False):
            return "" if os.access(entry.path, os.R_OK | os.X_OK) else "the agent cannot read it"
        mode = entry.stat(follow_symlinks=False).st_mode
    except OSError as error:
        return error.strerror or "cannot be read"
    return "" if stat.S_ISFIFO(mode) or stat.S_ISLNK(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"


def _ended(folder: bytes) -> Callable[[bytes], bool]:
    """Returns a test for the names in a folder that belong to programs which have ended: their locks and reports."""
    parts = folder.split(b"/")
    if b".git" in parts:
        return lambda name: name.endswith(b".lock") or name in ENDED
    if parts[:3] == CLAUDE.split(b"/"):
        return lambda name: name.endswith(b".lock")
    return {HOME: lambda name: name in REPORTS}.get(folder, lambda name: False)


def _shown(name: bytes) -> str:
    return "/" + name.decode(errors="backslashreplace")[:MAX_SHOWN]
