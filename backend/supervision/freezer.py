"""Stops the agent's processes all at once: by a cgroup's freezer where one may be made, by signals where not.

A frozen cgroup cannot be undone by the agent and catches what is forked in it (source: cgroup-v2, "cgroup.freeze"). Signals
can be undone: a timer that was set before sends SIGCONT to whoever has been stopped (timer_create(2)). So the hierarchy is
mounted where boot may mount, whatever the engine has made of /sys/fs/cgroup.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from backend import system
from backend.contract.paths import AGENT_UID, STOPPER_UID
from backend.system import SystemFailure

PREFIX = "codetainer-frozen-"  # several sandboxes may share a hierarchy
ROUNDS = 20  # a process may have forked while its siblings were moved or stopped
FREEZE_SECONDS = 2.0
STANDING = frozenset("TtZXI")  # proc(5): stopped, traced, ended

# kill(-1) reaches everybody at one moment, a fork that is under way included (kernel/fork.c: multiprocess signals); one pid
# after the other never catches a program that forks and ends. It reaches whom the caller may signal, so it is called as the
# agent; real and saved uid are somebody else's, so that the agent may not signal the caller (kill(2)).
STOP_ALL = f"""import os, signal
os.setresgid({STOPPER_UID}, {STOPPER_UID}, {STOPPER_UID})
os.setgroups([])
os.setresuid({STOPPER_UID}, {AGENT_UID}, {STOPPER_UID})
for _ in range(50):
    os.kill(-1, signal.SIGSTOP)
"""


def hierarchy(place: Path, proc: Path = Path("/proc/self")) -> Path | None:
    """The cgroup of this process, in a mount of our own at `place` (root's alone). None where it may not be made or written."""
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        if not place.is_mount():
            system.mount("cgroup2", place, options="nosuid,nodev,noexec")
    except (OSError, SystemFailure):
        return None
    own = next((line[3:] for line in (proc / "cgroup").read_text().splitlines() if line.startswith("0::/")), "/..")
    above = place / own.lstrip("/")
    return above if ".." not in above.parts and os.access(above, os.W_OK) else None


def states(pids: Iterable[int]) -> dict[int, str]:
    """The state of each process that there still is, as proc(5) has it."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            found[pid] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return found


def stop_all() -> None:
    """Stops every process of the agent's at one moment. Raises SystemFailure."""
    system.run([sys.executable, "-I", "-c", STOP_ALL])


@dataclass(slots=True)
class Freezer:
    """`processes` lists the pids to stop, `above` is the cgroup in which one of our own is made (None: signals).

    `stop` stops all of them at one moment.
    """

    processes: Callable[[], Iterable[int]]
    above: Path | None = None
    stop: Callable[[], None] = stop_all
    cgroup: Path | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)

    def freeze(self) -> str:
        """Stops every process; returns by what means. Signals do what a cgroup could not. Raises SystemFailure."""
        if self.above is not None:
            with contextlib.suppress(OSError):
                self._freeze_cgroup(self.above)
                return "cgroup"
        self._stop()
        return "signals"

    def thaw(self) -> None:
        """Undoes `freeze`, by whatever means it was done."""
        if self.cgroup is not None and self.cgroup.is_dir():
            with contextlib.suppress(OSError):
                (self.cgroup / "cgroup.freeze").write_text("0")
                self._empty(self.cgroup)
                self.cgroup.rmdir()
        self.cgroup = None
        if self._stopped:
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            self._stopped = False

    def end(self) -> None:
        """Kills what is frozen, so that nothing of ours stays in the hierarchy (cgroup-v2, "cgroup.kill")."""
        if self.cgroup is not None and self.cgroup.is_dir():
            with contextlib.suppress(OSError):
                (self.cgroup / "cgroup.kill").write_text("1")
                self._wait(self.cgroup, "populated 0")
                self.cgroup.rmdir()

    def _stop(self) -> None:
        """Raises SystemFailure where some still run: a stop may be answered by SIGCONT from whoever has not stopped yet."""
        self._stopped = True
        deadline = time.monotonic() + FREEZE_SECONDS
        while True:
            try:
                self.stop()
            except SystemFailure:  # no process can be started, so nobody forks either: one after the other will do
                for pid in self.processes():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGSTOP)
            frozen = self._members()
            running = [pid for pid, state in states(self.processes()).items() if state not in STANDING and pid not in frozen]
            if not running:
                return
            if time.monotonic() > deadline:
                raise SystemFailure(f"cannot stop {len(running)} processes of the agent's, the first of them {running[0]}")

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

    def _freeze_cgroup(self, above: Path) -> None:
        """Raises OSError where the kernel does not let us, or does not report it frozen in time."""
        if self.cgroup is None:
            self.cgroup = Path(tempfile.mkdtemp(prefix=PREFIX, dir=above))
        (self.cgroup / "cgroup.freeze").write_text("1")
        if not self._gather(self.cgroup):
            self._stop()  # somebody forks faster than we look
            if not self._gather(self.cgroup):
                raise TimeoutError("processes are left over")
        self._wait(self.cgroup, "frozen 1")

    def _members(self) -> set[int]:
        return set(map(int, (self.cgroup / "cgroup.procs").read_text().split())) if self.cgroup is not None else set()

    def _gather(self, cgroup: Path) -> bool:
        """Moves every process in; whether none is left out there."""
        inside = self._members()
        for _ in range(ROUNDS):
            new = {pid for pid, state in states(set(self.processes()) - inside).items() if state not in "ZX"}
            if not new:
                return True
            for pid in new:
                with contextlib.suppress(ProcessLookupError):
                    (cgroup / "cgroup.procs").write_text(str(pid))
            inside |= new
        return False

    def _wait(self, cgroup: Path, event: str) -> None:
        deadline = time.monotonic() + FREEZE_SECONDS
        while event not in (cgroup / "cgroup.events").read_text():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the cgroup is not {event}")
            time.sleep(0.01)
