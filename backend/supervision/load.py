"""How loaded the sandbox is: CPU, memory, what of both is the agent's, and how full the memory file systems are."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend import processes
from backend.boot.context import Boot
from backend.boot.steps.tmpfs import memory_bytes
from backend.contract.events import Event, SandboxMeasured
from backend.contract.paths import AGENT_UID

SECONDS = 5.0
NOTICEABLE = 5.0  # percent of a core


async def watch(boot: Boot, emit: Callable[[Event], None]) -> None:
    """CPU, memory, what of it is the agent's, and how full each memory file system is, where that has changed noticeably."""
    limit = memory_bytes()
    before, before_at = Load.now(), time.monotonic()
    said: SandboxMeasured | None = None
    while True:
        await asyncio.sleep(SECONDS)
        now, at = Load.now(), time.monotonic()
        spent = at - before_at
        tmpfs = {
            f"/{p.relative_to(boot.paths.root)}": usage(p) for p in (boot.paths.workspace, boot.paths.tmp, boot.paths.home)
        }
        found = SandboxMeasured(
            percent(now.cpu_seconds - before.cpu_seconds, spent), now.resident >> 20 << 20, limit,
            {k: (u >> 20 << 20, s) for k, (u, s) in tmpfs.items()},
            percent(now.agent_cpu_seconds - before.agent_cpu_seconds, spent), now.agent_resident >> 20 << 20,
            now.agent_processes,
        )  # fmt: skip
        before, before_at = now, at
        if said is None or _has_moved(said, found):
            emit(found)
            said = found


def _has_moved(said: SandboxMeasured, found: SandboxMeasured) -> bool:
    if max(abs(found.cpu - said.cpu), abs(found.agent_cpu - said.agent_cpu)) >= NOTICEABLE:
        return True
    return dataclasses.replace(found, cpu=said.cpu, agent_cpu=said.agent_cpu) != said


def percent(cpu_seconds: float, of_seconds: float) -> float:
    """Of one core. Processes that have ended take their time with them: never less than nothing."""
    return round(max(0.0, cpu_seconds) / of_seconds * 100) if of_seconds > 0 else 0.0


def usage(path: Path) -> tuple[int, int]:
    """Bytes used and size of a file system."""
    found = os.statvfs(path)
    return (found.f_blocks - found.f_bfree) * found.f_frsize, found.f_blocks * found.f_frsize


@dataclass(frozen=True, slots=True)
class Load:
    """CPU time (seconds) and memory (bytes) of all processes there are, and of the agent's among them."""

    cpu_seconds: float = 0.0
    resident: int = 0
    agent_cpu_seconds: float = 0.0
    agent_resident: int = 0
    agent_processes: int = 0

    @staticmethod
    def now() -> Load:
        """From proc(5): utime and stime are fields 14 and 15 of stat, rss is field 24."""
        ticks = os.sysconf("SC_CLK_TCK")
        cpu = agent_cpu = 0.0
        resident = agent_resident = count = 0
        for process in processes.PROC.iterdir():
            if not process.name.isdigit():
                continue
            with contextlib.suppress(OSError):  # it has ended meanwhile
                fields = processes.stat(process)
                spent, held = (int(fields[11]) + int(fields[12])) / ticks, _held(process, fields)
                cpu += spent
                resident += held
                if process.stat().st_uid == AGENT_UID:
                    agent_cpu += spent
                    agent_resident += held
                    count += 1
        return Load(cpu, resident, agent_cpu, agent_resident, count)


def _held(process: Path, fields: Sequence[str]) -> int:
    """Its resident memory in bytes. A main thread that has ended has none: then that of another thread, which shares it."""
    pages = int(fields[21])
    if fields[0] in processes.ENDED:
        for thread in processes.places(process):
            with contextlib.suppress(OSError):
                pages = max(pages, int(processes.stat(thread)[21]))
    return pages * os.sysconf("SC_PAGE_SIZE")
