"""A cgroup that freezes processes, in a hierarchy that boot mounts itself: version 2, or the freezer of version 1.

Sources: Documentation/admin-guide/cgroup-v2.rst ("cgroup.freeze") and cgroup-v1/freezer-subsystem.rst. Both versions accept the
id of any thread and move the whole process at once. A process forked in a frozen cgroup starts frozen.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from backend import system
from backend.contract.immutable import dataclass
from backend.system import SystemFailure

PREFIX = "codetainer-frozen-"  # several sandboxes may share a hierarchy
WAIT_SECONDS = 2.0
POLL_SECONDS = 0.01
ATTEMPTS = 10  # to create a cgroup while other sandboxes boot


@dataclass(frozen=True, slots=True)
class Version:
    """The file names and values of one cgroup version."""

    kind: str  # file system type
    controllers: str  # the hierarchy's name in /proc/PID/cgroup, also its mount option
    switch: str  # the file that freezes and thaws
    freeze: str
    thaw: str
    report: str  # the file that contains `frozen` when all processes have stopped
    frozen: str
    tasks: str  # lists the threads: cgroup.procs can miss a process whose main thread has exited


V2 = Version("cgroup2", "", "cgroup.freeze", "1", "0", "cgroup.events", "frozen 1", "cgroup.threads")
V1 = Version("cgroup", "freezer", "freezer.state", "FROZEN", "THAWED", "freezer.state", "FROZEN", "tasks")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted hierarchy. `above` is this process's own cgroup, the parent of the cgroups that are created."""

    above: Path
    version: Version


def hierarchy(place: Path, proc: Path = Path("/proc/self"), versions: tuple[Version, ...] = (V2, V1)) -> Hierarchy | None:
    """Mounts, at `place` (mode 0700), the first version that can freeze. Returns None if neither can.

    Version 2 can freeze since Linux 5.2. It can be mounted even if all controllers are in version 1 hierarchies.
    """
    for version in versions:
        with contextlib.suppress(OSError, SystemFailure):
            place.mkdir(mode=0o700, exist_ok=True)
            if not place.is_mount():
                system.mount(version.kind, place, options=",".join(filter(None, ("nosuid,nodev,noexec", version.controllers))))
            mounted = Hierarchy(_own_cgroup(place, proc, version), version)
            if _can_freeze(mounted):
                remove_leftovers(mounted)
                return mounted
            system.run(["umount", str(place)])
    return None


def _own_cgroup(place: Path, proc: Path, version: Version) -> Path:
    """The cgroup of this process (cgroups(7), "/proc/pid/cgroup"). Returns a nonexistent path if the kernel lists none."""
    for line in (proc / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == version.controllers:
            return place / path.lstrip("/")
    return place / "none"


def _can_freeze(within: Hierarchy) -> bool:
    """Creates a cgroup as a test. True if it has a freezer and lists its threads."""
    if ".." in within.above.parts:  # outside this cgroup namespace, so not visible
        return False
    try:
        trial = Cgroup(within)
        try:
            trial.threads()
            return (trial.folder / within.version.switch).exists()
        finally:
            trial.discard()
    except OSError:
        return False


def remove_leftovers(within: Hierarchy) -> None:
    """Removes empty cgroups of sandboxes that were killed while they were frozen.

    Leaves those with processes: the agent in them may be frozen on purpose. A lock marks those whose owner is alive. All mounts
    of a hierarchy share it, also in other cgroup namespaces.
    """
    for folder in within.above.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # locked, not empty, or removed by another boot
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                folder.rmdir()
            finally:
                os.close(lock)


class Cgroup:
    """A new cgroup below `within.above`. Its methods raise OSError if the kernel refuses or takes too long.

    Holds a lock on its folder until it is removed, or the process ends; see `remove_leftovers`.
    """

    def __init__(self, within: Hierarchy) -> None:
        self._within = within
        for _ in range(ATTEMPTS):
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=within.above))
            with contextlib.suppress(FileNotFoundError):  # another boot has taken it for a leftover
                self._lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
                if self._locked():
                    return
                os.close(self._lock)
        raise OSError(errno.EBUSY, "cannot create a cgroup")

    def _locked(self) -> bool:
        """Takes the lock. False if the folder is about to be removed, or has been."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return self.folder.exists()
        except BlockingIOError:
            return False

    def freeze(self) -> None:
        """Starts freezing all current and future members. `wait_frozen` waits until they have stopped."""
        self._switch(self._within.version.freeze)

    def wait_frozen(self) -> None:
        version = self._within.version
        deadline = time.monotonic() + WAIT_SECONDS
        while version.frozen not in (self.folder / version.report).read_text():
            if time.monotonic() > deadline:
                raise TimeoutError("the cgroup is not frozen")
            time.sleep(POLL_SECONDS)

    def take(self, pid: int) -> None:
        """Moves a process with all its threads into the cgroup. Ignores a process that has exited."""
        with contextlib.suppress(ProcessLookupError):
            (self.folder / "cgroup.procs").write_text(str(pid))

    def threads(self) -> set[int]:
        """The ids of the threads in the cgroup.

        Leaves out 0, the kernel's id for a thread outside this pid namespace: kill(0) would signal our own process group.
        """
        return {int(text) for text in (self.folder / self._within.version.tasks).read_text().split()} - {0}

    def thaw(self) -> None:
        """Lets the processes run again. They stay in the cgroup."""
        self._switch(self._within.version.thaw)

    def remove(self) -> None:
        """Thaws the processes, moves them back to the parent cgroup and removes this one.

        Processes that cannot be moved in time stay here, thawed, and OSError is raised.
        """
        self.thaw()

        def move_out() -> None:
            for thread in self.threads():
                with contextlib.suppress(OSError):  # it has exited, or its process has already been moved
                    (self._within.above / "cgroup.procs").write_text(str(thread))

        self._empty(move_out)

    def end(self) -> None:
        """Kills every process in the cgroup and removes it. cgroup.kill would miss processes whose main thread has exited."""

        def kill() -> None:
            for thread in self.threads():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(thread, signal.SIGKILL)  # kills the whole process: kill(2) also accepts a thread's id

        kill()
        # In version 1, a frozen process does not exit before it is thawed. It has SIGKILL pending, so none of its code runs.
        self._switch(self._within.version.thaw)
        self._empty(kill)

    def discard(self) -> None:
        """Removes the cgroup, which must be empty."""
        self.folder.rmdir()
        os.close(self._lock)

    def _switch(self, text: str) -> None:
        (self.folder / self._within.version.switch).write_text(text)

    def _empty(self, attempt: Callable[[], None]) -> None:
        """Repeats `attempt` until the cgroup can be removed, because processes fork and exit in the meantime."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            attempt()
            try:
                self.discard()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)
            else:
                return
