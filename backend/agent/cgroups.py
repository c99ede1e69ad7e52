"""A cgroup in which processes stand still, in a hierarchy that boot mounts itself: version 2, or version 1's freezer.

Sources: Documentation/admin-guide/cgroup-v2.rst ("cgroup.freeze") and cgroup-v1/freezer-subsystem.rst. Both move a process with
all its threads at one moment, given the number of any of them, and a process that is forked in a frozen cgroup is born frozen.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backend import system
from backend.system import SystemFailure

PREFIX = "codetainer-frozen-"  # several sandboxes may share a hierarchy
WAIT_SECONDS = 2.0
POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Version:
    """How one version is mounted and spoken to."""

    kind: str  # of the file system
    controllers: str  # as /proc/PID/cgroup names the hierarchy, and mount(8) wants it
    switch: str  # the file that freezes and thaws
    freeze: str
    thaw: str
    report: str  # the file that tells when everything stands still
    frozen: str
    tasks: str  # the threads in it: a process whose main thread has ended may be missing from cgroup.procs


V2 = Version("cgroup2", "", "cgroup.freeze", "1", "0", "cgroup.events", "frozen 1", "cgroup.threads")
V1 = Version("cgroup", "freezer", "freezer.state", "FROZEN", "THAWED", "freezer.state", "FROZEN", "tasks")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """`above` is the cgroup of this process, below which others may be made."""

    above: Path
    version: Version


def hierarchy(place: Path, proc: Path = Path("/proc/self"), versions: tuple[Version, ...] = (V2, V1)) -> Hierarchy | None:
    """The first version that can be mounted at `place` (root's alone) and freezes; None if there is none.

    Version 2 freezes since Linux 5.2, and is there also on machines whose controllers are all in hierarchies of version 1.
    """
    for version in versions:
        with contextlib.suppress(OSError, SystemFailure):
            place.mkdir(mode=0o700, exist_ok=True)
            if not place.is_mount():
                system.mount(version.kind, place, options=",".join(filter(None, ("nosuid,nodev,noexec", version.controllers))))
            found = Hierarchy(_own(place, proc, version), version)
            if _freezes(found):
                return found
            system.run(["umount", str(place)])
    return None


def _own(place: Path, proc: Path, version: Version) -> Path:
    """The cgroup of this process (cgroups(7), "/proc/pid/cgroup"); a path that is not there if the kernel names none."""
    for line in (proc / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == version.controllers:
            return place / path.lstrip("/")
    return place / "none"


def _freezes(within: Hierarchy) -> bool:
    """Whether a cgroup can be made there that freezes, and tells what is in it."""
    if ".." in within.above.parts:  # above the root of a namespace of cgroups: out of sight
        return False
    try:
        tried = Cgroup(within)
        try:
            tried.threads()
            return (tried.folder / within.version.switch).exists()
        finally:
            tried.folder.rmdir()
    except OSError:
        return False


class Cgroup:
    """A cgroup of our own, below `within.above`. Its methods raise OSError if the kernel refuses, or takes too long."""

    def __init__(self, within: Hierarchy) -> None:
        self._within = within
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=within.above))

    def freeze(self) -> None:
        """Stops what is in it and what will be; `wait_frozen` tells when all of it stands still."""
        self._switch(self._within.version.freeze)

    def wait_frozen(self) -> None:
        version = self._within.version
        deadline = time.monotonic() + WAIT_SECONDS
        while version.frozen not in (self.folder / version.report).read_text():
            if time.monotonic() > deadline:
                raise TimeoutError("the cgroup is not frozen")
            time.sleep(POLL_SECONDS)

    def take(self, pid: int) -> None:
        """Moves a process in, with all its threads. One that has ended does no harm."""
        with contextlib.suppress(ProcessLookupError):
            (self.folder / "cgroup.procs").write_text(str(pid))

    def threads(self) -> set[int]:
        """The threads in it. 0 stands for those of other pid namespaces, which never are here: left out, as kill(0) is ours."""
        return {int(text) for text in (self.folder / self._within.version.tasks).read_text().split()} - {0}

    def thaw(self) -> None:
        """Lets what is in it go on, within it."""
        self._switch(self._within.version.thaw)

    def remove(self) -> None:
        """Lets everything go on, where it was before. What cannot be moved in time stays, thawed."""
        self.thaw()

        def move_out() -> None:
            for thread in self.threads():
                with contextlib.suppress(OSError):  # it has ended meanwhile, or its process has been moved
                    (self._within.above / "cgroup.procs").write_text(str(thread))

        self._empty(move_out)

    def end(self) -> None:
        """Kills everything in it, and removes it. cgroup.kill would pass over a process whose main thread has ended."""

        def kill() -> None:
            for thread in self.threads():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(thread, signal.SIGKILL)  # the whole process ends (kill(2) takes a thread's number, too)

        kill()
        self._switch(
            self._within.version.thaw
        )  # version 1: what is frozen does not end; what is killed runs no more of its code
        self._empty(kill)

    def _switch(self, text: str) -> None:
        (self.folder / self._within.version.switch).write_text(text)

    def _empty(self, again: Callable[[], None]) -> None:
        """Does it `again` until the cgroup can be removed: processes begin and end meanwhile."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            again()
            try:
                self.folder.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)
            else:
                return
