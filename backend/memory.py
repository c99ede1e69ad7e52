"""The memory that the C library keeps for a process that runs for days."""

from __future__ import annotations

import ctypes

LARGE = 128 << 10  # bytes: larger blocks have a mapping of their own
# Parameters of mallopt(3), from malloc.h.
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8


def return_freed() -> None:
    """Makes malloc return large blocks to the system when they are freed, and use one heap for all threads.

    By default glibc raises its threshold for large blocks to the largest that was freed, and keeps some MB in each thread's
    heap: for example after pieces of an archive. A C library without mallopt is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((MMAP_THRESHOLD, LARGE), (TRIM_THRESHOLD, LARGE), (ARENA_MAX, 1)):
            mallopt(parameter, value)
