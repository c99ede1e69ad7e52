"""Limits of our file systems in memory (tmpfs).

Without `nr_inodes` the kernel permits one inode per two pages of the machine's memory, whatever `size` is, and `df` counts only
pages: empty files, folders and links can use about 1 KiB of kernel memory each without using any of the size. Source: the
kernel's Documentation/filesystems/tmpfs.rst.
"""

from __future__ import annotations

import os
from pathlib import Path

from backend.contract.immutable import dataclass

BYTES_PER_INODE = 4096  # a page: a file with contents takes at least one, so the size is used up first, except by empty files
MIN_INODES = 1024
NEARLY_FULL = 0.9


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes and inodes in use, and their limits. `inode_limit` is 0 if the file system has none."""

    used: int
    size: int
    inodes: int
    inode_limit: int

    @property
    def crowded(self) -> bool:
        """True if nearly all bytes are in use."""
        return self.size > 0 and self.used >= self.size * NEARLY_FULL

    @property
    def crowded_files(self) -> bool:
        """True if nearly all inodes are in use."""
        return self.inode_limit > 0 and self.inodes >= self.inode_limit * NEARLY_FULL


def inode_limit(size: int) -> int:
    """The number of files, folders and links that a tmpfs of `size` bytes may have."""
    return max(MIN_INODES, size // BYTES_PER_INODE)


def limits(size: int) -> str:
    """Mount options that bound the bytes and the inodes of a tmpfs."""
    return f"size={size},nr_inodes={inode_limit(size)}"


def usage(path: Path) -> Usage:
    """Returns the usage of the file system of a path (statvfs(3)). Raises OSError."""
    status = os.statvfs(path)
    return Usage(
        (status.f_blocks - status.f_bfree) * status.f_frsize,
        status.f_blocks * status.f_frsize,
        max(0, status.f_files - status.f_ffree),
        status.f_files,
    )
