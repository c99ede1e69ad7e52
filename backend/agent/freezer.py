"""Stops the agent's processes all at once: by a cgroup's freezer if one can be made, by signals otherwise.

A frozen cgroup cannot be undone by the agent and catches what is forked in it. Signals can be undone: a timer that was set
before sends SIGCONT to whoever has been stopped (timer_create(2)). So the hierarchy is mounted by boot itself, whatever the
engine has made of /sys/fs/cgroup.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from backend import processes, system
from backend.agent.cgroups import Cgroup, Hierarchy
from backend.contract.paths import AGENT_UID, STOPPER_UID
from backend.system import SystemFailure, describe

ROUNDS = 20  # a process may have forked while its siblings were moved or stopped
FREEZE_SECONDS = 2.0
STANDING = processes.ENDED | frozenset("TtI")  # proc(5): stopped, traced, idle (a thread of the kernel's)

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


def stop_all() -> None:
    """Stops every process of the agent's at one moment. Raises SystemFailure."""
    system.run([sys.executable, "-I", "-c", STOP_ALL])


@dataclass(slots=True)
class Freezer:
    """`listed` lists the pids to stop, below `within` a cgroup of our own is made (None: signals).

    `stop` stops all of them at one moment.
    """

    listed: Callable[[], Iterable[int]]
    within: Hierarchy | None = None
    stop: Callable[[], None] = stop_all
    cgroup: Cgroup | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)
    _taken: set[tuple[int, int]] = field(default_factory=set, init=False)  # processes in the cgroup, with their start

    def freeze(self) -> str:
        """Stops every process; returns by what means. Signals do what a cgroup could not. Raises SystemFailure."""
        if self.within is not None:
            with contextlib.suppress(OSError):
                self._freeze_cgroup(self.within)
                return "cgroup"
        self._stop()
        return "signals"

    def thaw(self) -> None:
        """Undoes `freeze`, by whatever means it was done. Raises SystemFailure if the processes stay stopped."""
        if self.cgroup is not None:
            try:
                self.cgroup.thaw()
            except OSError as error:
                raise SystemFailure(f"the agent stays stopped: its cgroup cannot be thawed: {describe(error)}") from None
            with contextlib.suppress(OSError):
                self.cgroup.remove()
        self.cgroup = None
        self._taken.clear()
        if self._stopped:
            for pid in self.listed():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            self._stopped = False

    def end(self) -> None:
        """Kills what is frozen, so that nothing of ours stays in the hierarchy."""
        if self.cgroup is not None:
            with contextlib.suppress(OSError):
                self.cgroup.end()

    # --- by a cgroup ---

    def _freeze_cgroup(self, within: Hierarchy) -> None:
        """Raises OSError if the kernel does not let us, or does not report it frozen in time."""
        if self.cgroup is None:
            self.cgroup = Cgroup(within)
        self.cgroup.freeze()
        if not self._gather(self.cgroup):
            self._stop()  # somebody forks faster than we look
            if not self._gather(self.cgroup):
                raise TimeoutError("processes are left over")
        self.cgroup.wait_frozen()

    def _gather(self, cgroup: Cgroup) -> bool:
        """Moves every process in; whether none is left outside.

        A zombie is moved like the others: it may have threads that live, and if it has none it stays behind without an error.
        """
        for _ in range(ROUNDS):
            found = set()
            for pid in self.listed():
                with contextlib.suppress(OSError):
                    found.add(processes.born(pid))
            new = found - self._taken
            if not new:
                return True
            for pid, _start in new:
                cgroup.take(pid)
            self._taken |= new
        return False

    # --- by signals ---

    def _stop(self) -> None:
        """Raises SystemFailure if some still run: a stop may be answered by SIGCONT from whoever has not stopped yet."""
        self._stopped = True
        deadline = time.monotonic() + FREEZE_SECONDS
        while True:
            try:
                self.stop()
            except SystemFailure:  # no process can be started, so nobody forks either: one after the other will do
                for pid in self.listed():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGSTOP)
            running = self._running()
            if not running:
                return
            if time.monotonic() > deadline:
                raise SystemFailure(f"cannot stop {len(running)} processes of the agent's, the first of them {running[0]}")

    def _running(self) -> list[int]:
        """Processes with a thread that neither stands still nor is in the frozen cgroup."""
        frozen: set[int] = set()
        if self.cgroup is not None:
            with contextlib.suppress(OSError):  # nothing could be moved there
                frozen = self.cgroup.threads()
        return [
            pid
            for pid in self.listed()
            if any(state not in STANDING and thread not in frozen for thread, state in processes.threads(pid).items())
        ]
