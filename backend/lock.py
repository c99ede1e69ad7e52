"""The init lock: held from before anybody can log in until the session exists or init has failed.

flock(2), so the kernel lets go of it whenever the process dies: the lock is never stale, and two inits never run at once.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout


class AlreadyRunning(Exception):
    """Another boot holds the lock."""


class InitLock:
    def __init__(self, path: Path) -> None:
        # Root's alone: an agent that could open it could hold it, and with it every login.
        self._lock = FileLock(path, mode=0o600, thread_local=False)

    def acquire(self, seconds: float = 0.0) -> None:
        """Takes the lock, within so many seconds. Raises AlreadyRunning."""
        try:
            self._lock.acquire(timeout=seconds)
        except Timeout as error:
            raise AlreadyRunning("cannot boot: another boot of this sandbox is running") from error

    def release(self) -> None:
        self._lock.release(force=True)
