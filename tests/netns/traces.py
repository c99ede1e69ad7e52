"""Finds traces of a test's own sandboxes on this machine, even while other sandboxes run, start and stop."""

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

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h: orphaned descendants become children of this process
LINK = "sandbox"  # the pretend internet's end of the veth pair


def descendants() -> set[int]:
    """Returns the pids of this process's descendants, and reaps those that have ended."""
    pids = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                with suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)
            else:
                pids.add(process.pid)
    return pids


def traces() -> set[str]:
    """Lists traces of sandboxes: processes, mounts, the pretend internet's interface, and names in the registry."""
    entries = {f"process {pid}" for pid in descendants()}
    mounts = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    entries |= {f"mount {point}" for point in mounts if point.startswith(HOLDERS)}
    entries |= {f"interface {link.name}" for link in Path("/sys/class/net").iterdir() if link.name == LINK}
    names = (line.rpartition("@")[2] for line in Path("/proc/net/unix").read_text().splitlines())
    return entries | {f"name {name}" for name in names if name.startswith("codetainer/") and name.endswith(f"-{os.getpid()}")}


def adopt(orphans: int) -> None:
    """Makes orphaned descendants children of this process (1), or no longer (0)."""
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
        adopt(0)  # other tests wait for processes to disappear, and nothing would reap them
