"""The process `python3 -I -m backend boot`: its limits, its folder, its lock; then the supervisor."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

from backend import capabilities, system
from backend.contract.front_end import FrontEndSettings
from backend.contract.paths import Paths
from backend.lock import Lock
from backend.settings import Settings
from backend.supervision.supervisor import Supervisor

RUN_BYTES = 32 << 20
LOGIN_SECONDS = 2.0  # a login may be looking at the lock


def _make_folder(paths: Paths) -> None:
    """Our own folder, in memory: in a container `/run` is part of the root and becomes read-only with it."""
    paths.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not paths.run.is_mount():
        system.mount("tmpfs", paths.run, source="tmpfs", options=f"nosuid,nodev,noexec,size={RUN_BYTES},mode=0755")


def front_end(settings: Settings) -> FrontEndSettings:
    """What the front ends have to know of the settings."""
    return FrontEndSettings(
        login=settings.login, lock_timeout=settings.lock_timeout, log_format=settings.log_format, seccomp=settings.seccomp
    )


def main(settings: Settings, paths: Paths) -> int:
    """Boots, supervises, and returns the exit code. Raises SystemFailure."""
    capabilities.require(Path("/proc/self/status").read_text())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # here and in all that it starts: a dump would hold credentials
    _make_folder(paths)
    alone = Lock(paths.boot_lock)
    alone.acquire()
    system.write(paths.front_end, front_end(settings).render())  # before anything is started as the agent
    lock = Lock(paths.lock)
    lock.acquire(LOGIN_SECONDS)

    async def begin() -> int:
        return await Supervisor(settings, paths).run(lock)

    system.watch_children()
    return asyncio.run(begin())
