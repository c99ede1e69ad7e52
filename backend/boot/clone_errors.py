"""The causes of a failed clone, from what git printed, and what the operator can do about each.

Sources: git's builtin/index-pack.c, wrapper.c, http.c and convert.c; libcurl's error texts; git-lfs. The locale is C.UTF-8, in
which none of them is translated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from backend.contract.immutable import dataclass
from backend.tmpfs import Usage

MAX_REASON = 500  # characters
_MIB = 1 << 20
_TOKEN = "Check that GH_PAT is valid for this repository."
# The first pattern that matches a line of the output decides. The reason replaces git's last line; "" keeps the line itself.
_CAUSES = (
    (
        r"Authentication failed|could not read (Username|Password)|returned error: 401|Invalid username or (token|password)",
        "the host did not accept the token",
        _TOKEN,
    ),
    (r"returned error: 403|Permission to .* denied", "", _TOKEN),
    (
        r"[Rr]epository not found|repository '.*' not found|returned error: 404",
        "the host has no such repository for this token",
        "Check REPO_URL, and that GH_PAT can read this repository.",
    ),
    (
        r"git-lfs.*not found|'lfs' is not a git command|external filter 'git-lfs",
        "the repository uses Git LFS, and git-lfs is missing",
        "Add git-lfs to the image (docs/image.md).",
    ),
    (r"File ?name too long", "a path is too long for the file system", "Shorten the path in the repository."),
    (
        r"signal 9|died of signal|[Oo]ut of memory|Cannot allocate memory",
        "git ran out of memory",
        "Give the sandbox more memory, or reduce the repository's history.",
    ),
    (
        r"[Tt]imed out|timeout|Operation too slow",
        "the host did not answer in time",
        "Run codetainer retry when the host can be reached.",
    ),
    (
        r"early EOF|unexpected disconnect|RPC failed|Connection reset|transfer closed",
        "the host ended the connection early",
        "Run codetainer retry to clone again.",
    ),
    (
        r"certificate|SSL",
        "",
        "Check that the clock is right and that the host has a certificate of a public authority.",
    ),
)
_COMPILED = tuple((re.compile(pattern), reason, remedy) for pattern, reason, remedy in _CAUSES)
_FULL = re.compile(r"No space left on device|Disk quota exceeded|write error: No space")


@dataclass(frozen=True, slots=True)
class Cause:
    """`reason` fits after "cannot clone URL: "; `remedy` is a sentence, "" if git's output has no known cause."""

    reason: str
    remedy: str = ""


def cause(output: Sequence[str], workspace: Usage, code: int) -> Cause:
    """Returns the cause of a failed clone. `output` is git's, `workspace` the file system of /workspace.

    git removes a failed clone, so it is unknown whether bytes or inodes had run out; a larger size has more of both.
    """
    if any(_FULL.search(line) for line in output):
        limits = in_mib(workspace.size) + (f" and room for {workspace.inode_limit} files" if workspace.inode_limit else "")
        return Cause(f"no space left in /workspace, which has {limits}", _larger(2 * workspace.size))
    for pattern, reason, remedy in _COMPILED:
        for line in output:
            if pattern.search(line):
                return Cause((reason or line)[:MAX_REASON], remedy)
    errors = [line for line in output if line.startswith(("fatal:", "error:", "remote:"))]
    last = (errors or list(output) or [f"git exited with code {code}"])[-1]
    return Cause(last[:MAX_REASON])


def too_large(size: int, free: int) -> Cause | None:
    """Returns a cause if a repository of `size` bytes, packed, cannot fit into `free` bytes; else None."""
    if size <= free:
        return None
    return Cause(f"the repository is about {in_mib(size)} large, and /workspace has {in_mib(free)} free", _larger(3 * size))


def _larger(size: int) -> str:
    """The remedy: a workspace of at least `size` bytes, in steps of 512 MiB (a checkout and a build need room, too)."""
    return f"Set CODETAINER_TMPFS_WORKSPACE={max(1, -(-size // (512 * _MIB))) * 512}M or more."


def in_mib(size: int) -> str:
    """`700 MiB`; below one MiB in KiB."""
    return f"{round(size / _MIB)} MiB" if size >= _MIB else f"{size >> 10} KiB"
