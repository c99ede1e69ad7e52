"""The process `python3 -I -m backend boot`: sets its limits, creates its folder, takes its lock and runs the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from backend import capabilities, commands, system
from backend.contract.front_end import FrontEndSettings
from backend.contract.paths import Paths
from backend.contract.state import State
from backend.lock import Lock
from backend.settings import Settings
from backend.settings.values import Debug
from backend.supervision.supervisor import Supervisor
from backend.tmpfs import limits

if TYPE_CHECKING:
    from backend.debug_log import DebugLog

RUN_BYTES = 32 << 20
LOGIN_SECONDS = 2.0  # a login may be looking at the lock


def _make_folder(paths: Paths) -> None:
    """Mounts our folder in memory: in a container `/run` is part of the root and becomes read-only with it."""
    paths.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not paths.run.is_mount():
        system.mount("tmpfs", paths.run, source="tmpfs", options=f"nosuid,nodev,noexec,{limits(RUN_BYTES)},mode=0755")


@contextlib.contextmanager
def observed_from_here(settings: Settings, paths: Paths) -> Iterator[DebugLog | None]:
    """With CODETAINER_DEBUG=on, logs every command from here on and yields the log. The block creates the log's folder.

    If the block fails, there is no folder, and the log goes to stderr.
    """
    if settings.debug is Debug.OFF:
        yield None
        return
    from backend.debug_log import DebugLog, write_lines
    from backend.redaction import Redaction

    log = DebugLog(Redaction(settings.secret_values))
    commands.observe(log)
    try:
        yield log
    except BaseException:
        write_lines(2, log.early)
        raise
    log.open(paths.debug_log)


def front_end(settings: Settings) -> FrontEndSettings:
    """The settings that front ends need."""
    return FrontEndSettings(
        login=settings.login, lock_timeout=settings.lock_timeout, log_format=settings.log_format, seccomp=settings.seccomp
    )


def main(settings: Settings, paths: Paths) -> int:
    """Boots, supervises, and returns the exit code. Raises SystemFailure."""
    capabilities.require(Path("/proc/self/status").read_text())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # for this process and its children: a core dump would contain credentials
    with observed_from_here(settings, paths) as log:
        _make_folder(paths)
        alone = Lock(paths.boot_lock)
        alone.acquire()
    system.write(paths.front_end, front_end(settings).render())  # before anything is started as the agent
    lock = Lock(paths.lock)
    lock.acquire(LOGIN_SECONDS)

    async def begin() -> tuple[int, State]:
        supervisor = Supervisor(settings, paths)
        return await supervisor.run(lock), supervisor.journal.state

    system.watch_children()
    code, state = asyncio.run(begin())
    if log is not None:
        log.close(show=state.needs_retry)  # its file disappears with the sandbox
    return code
