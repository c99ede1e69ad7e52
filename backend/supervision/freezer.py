"""Stops the agent's processes all at once: by a cgroup's freezer where one may be made, by signals where not.

A frozen cgroup catches what is forked meanwhile and cannot be undone by the agent (source: cgroup-v2, "cgroup.freeze"). In
`codetainer up` there is no cgroup to make one in, and none is left behind: signals it is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

NAME = "codetainer-frozen"
ROUNDS = 20  # a process may have forked while its siblings were stopped
FREEZE_SECONDS = 2.0


def hierarchy(mountinfo: Path = Path("/proc/self/mountinfo")) -> Path | None:
    """Where cgroups of version 2 are mounted and may be made; None where they are not."""
    for line in mountinfo.read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split(" ")[0] == "cgroup2":
            mounted = Path(before.split(" ")[4].replace("\\040", " "))
            if os.access(mounted, os.W_OK) and not os.statvfs(mounted).f_flag & os.ST_RDONLY:
                return mounted
    return None


@dataclass(frozen=True, slots=True)
class Freezer:
    """`processes` lists the pids to stop, `above` is the cgroup in which one of our own is made (None: signals)."""

    processes: Callable[[], Iterable[int]]
    above: Path | None = None

    @property
    def cgroup(self) -> Path | None:
        return self.above / NAME if self.above is not None else None

    def freeze(self) -> str:
        """Stops every process; returns by what means. Signals do what a cgroup could not."""
        if self.cgroup is not None:
            with contextlib.suppress(OSError):
                self._freeze_cgroup(self.cgroup)
                return "cgroup"
        stopped: set[int] = set()
        for _ in range(ROUNDS):
            new = set(self.processes()) - stopped
            if not new:
                break
            self._signal(new, signal.SIGSTOP)
            stopped |= new
        return "signals"

    def thaw(self) -> None:
        """Undoes `freeze`, by whatever means it was done."""
        if self.cgroup is not None and self.cgroup.is_dir():
            with contextlib.suppress(OSError):
                (self.cgroup / "cgroup.freeze").write_text("0")
                self._empty(self.cgroup)
                self.cgroup.rmdir()
        self._signal(self.processes(), signal.SIGCONT)

    def _empty(self, cgroup: Path) -> None:
        """Moves everything out again. Processes begin and end meanwhile; what is left then stays, thawed."""
        for _ in range(ROUNDS):
            inside = (cgroup / "cgroup.procs").read_text().split()
            if not inside and "populated 0" in (cgroup / "cgroup.events").read_text():
                return
            for pid in inside:
                with contextlib.suppress(OSError):
                    (cgroup.parent / "cgroup.procs").write_text(pid)
            time.sleep(0.01)

    def _freeze_cgroup(self, cgroup: Path) -> None:
        """Raises OSError where the kernel does not let us, or does not report it frozen in time."""
        cgroup.mkdir(exist_ok=True)
        members = cgroup / "cgroup.procs"
        (cgroup / "cgroup.freeze").write_text("1")
        inside: set[int] = set()
        for _ in range(ROUNDS):
            new = set(self.processes()) - inside
            if not new:
                break
            for pid in new:
                with contextlib.suppress(ProcessLookupError):
                    members.write_text(str(pid))
            inside |= new
        deadline = time.monotonic() + FREEZE_SECONDS
        while "frozen 1" not in (cgroup / "cgroup.events").read_text():
            if time.monotonic() > deadline:
                raise TimeoutError("the cgroup does not freeze")
            time.sleep(0.01)

    def _signal(self, pids: Iterable[int], number: signal.Signals) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
