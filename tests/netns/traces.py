"""What a test's own sandboxes have left on this machine. Other sandboxes may run beside it, come and go."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from backend.sandbox.layout import HOLDERS
from tests.netns.sandbox import eventually

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h: an orphan below this process becomes its child, however it was begun
LINK = "sandbox"  # the end of the pretend internet's link that is not the sandbox's


def descendants() -> set[int]:
    """The processes below this one; those that have ended are reaped on the way."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                with suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)
            else:
                found.add(process.pid)
    return found


def traces() -> set[str]:
    """Processes, by way of these namespaces, where a sandbox would mount, its link, and the names by which it is found."""
    found = {f"process {pid}" for pid in descendants()}
    mounts = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    found |= {f"mount {point}" for point in mounts if point.startswith(HOLDERS)}
    found |= {f"interface {link.name}" for link in Path("/sys/class/net").iterdir() if link.name == LINK}
    names = (line.rpartition("@")[2] for line in Path("/proc/net/unix").read_text().splitlines())
    return found | {f"name {name}" for name in names if name.startswith("codetainer/") and name.endswith(f"-{os.getpid()}")}


def adopt(orphans: int) -> None:
    """Whether (1) or not (0) orphans become children of this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, orphans, 0, 0, 0) == 0, os.strerror(ctypes.get_errno())


@pytest.fixture
def nothing_left() -> Iterator[None]:
    adopt(1)
    try:
        before = traces()
        yield
        eventually("nothing is left of the sandbox", lambda: traces() <= before)
    finally:
        adopt(0)  # other tests wait for processes to go, and nobody would reap them
