"""Stops all processes of the agent at once: with a cgroup freezer if possible, else with signals.

The agent cannot thaw a frozen cgroup, and processes forked in it are frozen, too. It can undo signals: a timer set beforehand
sends SIGCONT to a stopped process (timer_create(2)). A cgroup is always better, so boot mounts a hierarchy of its own and does
not depend on the engine's /sys/fs/cgroup.
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

ROUNDS = 20  # processes fork while others are being moved
FREEZE_SECONDS = 2.0
STANDING = processes.ENDED | frozenset("TtI")  # proc(5): stopped, traced, idle (a kernel thread)

# kill(-1) signals all processes at once, including a fork in progress (kernel/fork.c: multiprocess signals). Signalling one pid
# after the other never catches a program that keeps forking and exiting. kill(-1) reaches the processes that the caller may
# signal, so the effective uid is the agent's. Real and saved uid are not, so the agent cannot signal the caller (kill(2)).
STOP_ALL = f"""import os, signal
os.setresgid({STOPPER_UID}, {STOPPER_UID}, {STOPPER_UID})
os.setgroups([])
os.setresuid({STOPPER_UID}, {AGENT_UID}, {STOPPER_UID})
for _ in range(50):
    os.kill(-1, signal.SIGSTOP)
"""


def stop_all() -> None:
    """Stops all of the agent's processes at once. Raises SystemFailure."""
    system.run([sys.executable, "-I", "-c", STOP_ALL])


@dataclass(slots=True)
class Freezer:
    """Freezes and thaws the processes that `listed` returns.

    `within` is the hierarchy in which a cgroup is created; None means signals only. `stop` sends SIGSTOP to all at once.
    """

    listed: Callable[[], Iterable[int]]
    within: Hierarchy | None = None
    stop: Callable[[], None] = stop_all
    cgroup: Cgroup | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)
    _taken: set[tuple[int, int]] = field(default_factory=set, init=False)  # processes in the cgroup: pid and start time

    def freeze(self) -> str:
        """Stops every process. Returns the means, "cgroup" or, if that failed, "signals". Raises SystemFailure."""
        if self.within is not None:
            with contextlib.suppress(OSError):
                self._freeze_cgroup(self.within)
                return "cgroup"
        self._stop()
        return "signals"

    def thaw(self) -> None:
        """Undoes `freeze`. Raises SystemFailure if the processes stay stopped."""
        if self.cgroup is not None:
            try:
                self.cgroup.thaw()
            except OSError as error:
                raise SystemFailure(f"cannot thaw the agent's cgroup, the agent stays stopped: {describe(error)}") from None
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
        """Kills the frozen processes and removes the cgroup, which would otherwise outlive the sandbox."""
        if self.cgroup is not None:
            with contextlib.suppress(OSError):
                self.cgroup.end()

    # --- by a cgroup ---

    def _freeze_cgroup(self, within: Hierarchy) -> None:
        """Freezes all processes in a cgroup. Raises OSError if the kernel refuses, or does not report it as frozen in time."""
        if self.cgroup is None:
            self.cgroup = Cgroup(within)
        self.cgroup.freeze()
        if not self._gather(self.cgroup):
            self._stop()  # a program forks faster than we can list
            if not self._gather(self.cgroup):
                raise TimeoutError("not all processes could be moved into the cgroup")
        self.cgroup.wait_frozen()

    def _gather(self, cgroup: Cgroup) -> bool:
        """Moves all processes into the cgroup. Returns True if none is left outside.

        Zombies are moved, too: they may have live threads. A zombie without threads stays where it is, without an error.
        """
        for _ in range(ROUNDS):
            current = set()
            for pid in self.listed():
                with contextlib.suppress(OSError):
                    current.add(processes.born(pid))
            new = current - self._taken
            if not new:
                return True
            for pid, _start in new:
                cgroup.take(pid)
            self._taken |= new
        return False

    # --- by signals ---

    def _stop(self) -> None:
        """Repeats SIGSTOP until all processes have stopped, since one may send SIGCONT. Raises SystemFailure after a while."""
        self._stopped = True
        deadline = time.monotonic() + FREEZE_SECONDS
        while True:
            try:
                self.stop()
            except SystemFailure:  # no process can be started, so the agent cannot fork either: signal one after the other
                for pid in self.listed():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGSTOP)
            running = self._running()
            if not running:
                return
            if time.monotonic() > deadline:
                raise SystemFailure(f"cannot stop {len(running)} of the agent's processes, for example pid {running[0]}")

    def _running(self) -> list[int]:
        """The processes with a thread that is neither stopped nor in the frozen cgroup."""
        frozen: set[int] = set()
        if self.cgroup is not None:
            with contextlib.suppress(OSError):  # the cgroup is unusable
                frozen = self.cgroup.threads()
        return [
            pid
            for pid in self.listed()
            if any(state not in STANDING and thread not in frozen for thread, state in processes.threads(pid).items())
        ]
