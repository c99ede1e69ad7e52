"""Measures the load of the sandbox: CPU, memory, the agent's share of both, and the use of the file systems in memory.

Measures with psutil, and imports it at the first measurement.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

from backend import processes, tmpfs
from backend.boot.steps.tmpfs import memory_bytes
from backend.context import Boot
from backend.contract.events import Event, SandboxMeasured
from backend.contract.immutable import dataclass
from backend.contract.paths import AGENT_UID
from backend.supervision.largest import Lookout

SECONDS = 5.0
NOTICEABLE = 5.0  # percent of a core


async def watch(boot: Boot, emit: Callable[[Event], None]) -> None:
    """Reports the load every few seconds if it has changed noticeably, and what fills a file system that is nearly full."""
    limit = memory_bytes()
    before, before_at = Load.now(), time.monotonic()
    reported: SandboxMeasured | None = None
    lookout = Lookout()
    while True:
        await asyncio.sleep(SECONDS)
        now, at = Load.now(), time.monotonic()
        spent = at - before_at
        places = (boot.paths.workspace, boot.paths.tmp, boot.paths.home)
        usages = {f"/{place.relative_to(boot.paths.root)}": tmpfs.usage(place) for place in places}
        largest = await lookout.of(dict(zip(usages, zip(places, usages.values(), strict=True), strict=True)), at)
        measured = SandboxMeasured(
            percent(now.cpu_seconds - before.cpu_seconds, spent), now.resident >> 20 << 20, limit,
            {place: (usage.used >> 20 << 20, usage.size) for place, usage in usages.items()},
            percent(now.agent_cpu_seconds - before.agent_cpu_seconds, spent), now.agent_resident >> 20 << 20,
            now.agent_processes, {place: inodes(usage) for place, usage in usages.items() if usage.inode_limit},
            largest,
        )  # fmt: skip
        before, before_at = now, at
        if reported is None or _differs(measured, reported):
            emit(measured)
            reported = measured


def _differs(measured: SandboxMeasured, reported: SandboxMeasured) -> bool:
    if max(abs(measured.cpu - reported.cpu), abs(measured.agent_cpu - reported.agent_cpu)) >= NOTICEABLE:
        return True
    return dataclasses.replace(measured, cpu=reported.cpu, agent_cpu=reported.agent_cpu) != reported


def percent(cpu_seconds: float, of_seconds: float) -> float:
    """Percent of one core; never below 0, though the CPU time of processes that have ended is no longer counted."""
    return round(max(0.0, cpu_seconds) / of_seconds * 100) if of_seconds > 0 else 0.0


def inodes(usage: tmpfs.Usage) -> tuple[int, int]:
    """Inodes used and their limit. The first is rounded down to a percent of the limit, unless all are used."""
    step = max(1, usage.inode_limit // 100)
    used = usage.inodes if usage.inodes >= usage.inode_limit else usage.inodes // step * step
    return used, usage.inode_limit


@dataclass(frozen=True, slots=True)
class Load:
    """CPU time (seconds) and memory (bytes) of all processes, and of the agent's processes."""

    cpu_seconds: float = 0.0
    resident: int = 0
    agent_cpu_seconds: float = 0.0
    agent_resident: int = 0
    agent_processes: int = 0

    @staticmethod
    def now() -> Load:
        """Measures every process in this PID namespace; takes about 30 us for each.

        The owner of /proc/PID tells whose process it is. psutil's `uids` searches /proc/PID/status for a line that the process
        can put there itself, by its name (prctl(2), PR_SET_NAME), before the kernel's own line.
        """
        import psutil  # noqa: TID251  # here, so that boot does not wait for it: about 20 ms

        cpu = agent_cpu = 0.0
        resident = agent_resident = count = 0
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):  # the process has ended meanwhile
                times = process.cpu_times()
                held = process.memory_info().rss or _held_by_threads(processes.PROC / str(process.pid))
                spent = times.user + times.system
                cpu += spent
                resident += held
                if (processes.PROC / str(process.pid)).stat().st_uid == AGENT_UID:
                    agent_cpu += spent
                    agent_resident += held
                    count += 1
        return Load(cpu, resident, agent_cpu, agent_resident, count)


def _held_by_threads(process: Path) -> int:
    """Resident memory in bytes. A main thread that has ended reports none, but the threads that go on share all of it."""
    pages = [int(processes.stat(thread)[21]) for thread in processes.places(process)]
    return max(pages, default=0) * os.sysconf("SC_PAGE_SIZE")
