"""Looks for signs that the agent's work goes on: CPU time of the processes that it has started, and changes in its pane."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

from backend import processes
from backend.agent.session import Session
from backend.contract.immutable import dataclass

TICKS = 0.05  # seconds of CPU time between two looks that count as work: idle servers wake now and then


class Children:
    """The processes below the session's tmux server, apart from the server and Claude itself, which redraws its screen."""

    def __init__(self) -> None:
        self._pids: frozenset[int] = frozenset()
        self._seconds = 0.0

    def moved(self, of: Session) -> bool:
        """True if there is another process than at the last look, or if they have used CPU time."""
        pids, seconds = children(of, _stats())
        moved = bool(pids - self._pids) or seconds - self._seconds >= TICKS
        self._pids, self._seconds = pids, seconds
        return moved


@dataclass(frozen=True, slots=True)
class Stat:
    """A process: its parent, and the CPU time of itself and of its children that have ended, in clock ticks (proc(5))."""

    parent: int
    own: int
    ended: int


def _stats() -> Mapping[int, Stat]:
    """All processes of the agent. Reads the kernel's files only."""
    found = {}
    for pid in processes.of_agent():
        with contextlib.suppress(OSError, IndexError, ValueError):  # it has ended meanwhile
            fields = processes.stat(processes.PROC / str(pid))
            utime, stime, cutime, cstime = map(int, fields[11:15])
            found[pid] = Stat(int(fields[1]), utime + stime, cutime + cstime)
    return found


def children(of: Session, stats: Mapping[int, Stat]) -> tuple[frozenset[int], float]:
    """The pids of the session's processes, and the CPU time (seconds) that they and their ended children have used.

    The agent's processes that root starts, such as the self-test's, are not below the server.
    """
    below = frozenset(pid for pid in stats if pid not in (of.server, of.agent) and of.server in _ancestors(pid, stats))
    ticks = sum(stats[pid].own + stats[pid].ended for pid in below)
    if of.agent in stats:
        ticks += stats[of.agent].ended
    return below, ticks / os.sysconf("SC_CLK_TCK")


def _ancestors(pid: int, stats: Mapping[int, Stat]) -> Iterator[int]:
    for _ in range(len(stats)):
        if pid not in stats:
            return
        pid = stats[pid].parent
        yield pid
